/**
 * Each name of a file with hard links is a file of its own to the kernel, which keeps the attributes of
 * each for a while, and the pages of those that are open. Here it is remembered under which names it
 * was told of such files lately, so that a change under one name can make it forget the others.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.js'
import { limits } from '../limits.js'

/** What the kernel is to forget of a path. Never rejects. */
export type Forget = (path: string, what: 'attributes' | 'all') => Promise<void>

/** A handle that may have filled the kernel's pages under its path. */
interface Reader {
  readonly path: string
  readonly direct: boolean
}

interface Told {
  readonly ino: number
  readonly atMs: number
}

/** The kernel's time begins when our answer arrives, and it counts in ticks of up to 10 ms. */
const slackMs = 100

export class OtherNames {
  readonly #clock: Clock
  readonly #forget: Forget
  readonly #paths = new Map<number, Set<string>>()
  readonly #told = new LRUCache<string, Told>({
    max: limits.kernelCacheEntriesMax,
    dispose: ({ ino }, path) => this.#drop(ino, path),
  })

  constructor(clock: Clock, forget: Forget) {
    this.#clock = clock
    this.#forget = forget
  }

  /** No name of a file with several has been told of lately. */
  get isEmpty(): boolean {
    return this.#told.size === 0
  }

  /** The kernel is about to be told the attributes of `ino`, a file with several names. */
  note(path: string, ino: number): void {
    this.#told.set(path, { ino, atMs: this.#clock.monotonic() })
    const paths = this.#paths.get(ino)
    if (paths === undefined) this.#paths.set(ino, new Set([path]))
    else paths.add(path)
  }

  /** The kernel knows by the path `to`, and below it, what it knew by `from`. */
  moved(from: string, to: string): void {
    if (this.isEmpty) return
    for (const [path, { ino }] of [...this.#told.entries()]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue
      this.#told.delete(path)
      this.note(to + path.slice(from.length), ino)
    }
  }

  /**
   * The file `ino` was changed under the name `path`: resolves when the kernel has forgotten the
   * attributes of all others. `readers` are the open handles if its content was changed.
   */
  async changed(ino: number, path: string, readers: Iterable<Reader> = []): Promise<void> {
    const since = this.#clock.monotonic() - limits.kernelCacheMs - slackMs
    const stale = new Map<string, 'attributes' | 'all'>()
    for (const other of this.#paths.get(ino) ?? []) {
      if (other === path) continue
      if ((this.#told.get(other)?.atMs ?? since) > since) stale.set(other, 'attributes')
      this.#told.delete(other)
    }
    for (const reader of readers) {
      if (!reader.direct && reader.path !== path) stale.set(reader.path, 'all')
    }
    await Promise.all([...stale].map(([other, what]) => this.#forget(other, what)))
  }

  /** The file `path` got a second name, or lost one: the kernel believes that nothing has happened. */
  async relinked(path: string): Promise<void> {
    await this.#forget(path, 'attributes')
  }

  #drop(ino: number, path: string): void {
    const paths = this.#paths.get(ino)
    paths?.delete(path)
    if (paths?.size === 0) this.#paths.delete(ino)
  }
}
