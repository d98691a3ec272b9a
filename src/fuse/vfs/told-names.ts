/**
 * The names by which the kernel was told of inodes. For a while it goes by them without asking, so that a
 * program may come to an inode by any one of them, although others have given that name to another
 * file meanwhile; and by a folder's, although that was moved. Names that this mount has taken away itself
 * the kernel does not believe.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../clock.js'
import { limits } from '../../limits.js'
import { rootIno } from '../../wire/records.js'

/** A name in a folder. */
export interface Place {
  readonly parent: number
  readonly name: string
}

export interface Step {
  readonly name: string
  /** What the kernel takes it for. */
  readonly ino: number
}

/** A way to an inode: names in folders, one in the other, that begin in `from`. */
export interface Route {
  readonly from: number
  readonly steps: readonly Step[]
}

interface Told extends Place {
  atMs: number
}

interface Names {
  /** The one that was told last is the last. */
  readonly told: Told[]
  /** Until then the kernel may believe more of them than are kept here. */
  moreUntilMs: number
}

export class ToldNames {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #names: LRUCache<number, Names>
  /** Until then the kernel may believe names of inodes that are not kept here. */
  #moreUntilMs = Number.NEGATIVE_INFINITY

  constructor(clock: Pick<Clock, 'monotonic'>, max: number = limits.kernelCacheEntriesMax) {
    this.#clock = clock
    this.#names = new LRUCache<number, Names>({
      max,
      dispose: (names, _, reason) => {
        if (reason === 'evict') this.#moreUntilMs = Math.max(this.#moreUntilMs, untilMs(names))
      },
    })
  }

  /** The kernel is being told that `name` means `ino`, or has itself given it that name. */
  tell(ino: number, parent: number, name: string): void {
    const atMs = this.#clock.monotonic()
    const names = this.#names.get(ino)
    if (names === undefined) {
      // It may be one of those that had to go.
      this.#names.set(ino, { told: [{ parent, name, atMs }], moreUntilMs: this.#moreUntilMs })
      return
    }
    const { told } = names
    const last = told.at(-1)
    if (last?.parent === parent && last.name === name) {
      last.atMs = atMs
      return
    }
    remove(told, parent, name)
    while (told[0] !== undefined && told[0].atMs + limits.nameBelievedMs < atMs) told.shift()
    told.push({ parent, name, atMs })
    if (told.length <= limits.namesToldMax) return
    const oldest = told.shift()
    assert(oldest !== undefined && told.length === limits.namesToldMax, 'more names than are kept')
    assert(oldest.atMs <= atMs, 'names are told in their order')
    names.moreUntilMs = oldest.atMs + limits.nameBelievedMs
  }

  /** The file has lost that name, and the kernel knows. */
  forget(ino: number, parent: number, name: string): void {
    const told = this.#names.get(ino)?.told
    if (told !== undefined) remove(told, parent, name)
  }

  /** The name by which the kernel was told of the file last, however long ago. */
  lastOf(ino: number): Place | undefined {
    return this.#names.get(ino)?.told.at(-1)
  }

  /**
   * All ways by which a program may have come to the inode without a question to us; none where it cannot
   * have come by a name. Undefined: there may be more than are known here.
   */
  routesTo(ino: number): readonly Route[] | undefined {
    return this.#routes({ from: ino, steps: [] }, new Set())
  }

  /** Those that end with `route`. */
  #routes(route: Route, below: ReadonlySet<number>): readonly Route[] | undefined {
    const { from, steps } = route
    const ended = steps.length === 0 ? [] : [route]
    if (from === rootIno) return ended
    // A folder below itself: the names are of different times.
    if (below.has(from) || steps.length >= limits.lookupNamesMax) return undefined
    const now = this.#clock.monotonic()
    const names = this.#names.get(from)
    if (now < (names?.moreUntilMs ?? this.#moreUntilMs)) return undefined
    const believed = names?.told.filter(({ atMs }) => now <= atMs + limits.nameBelievedMs) ?? []
    // Whoever came from above would have asked for it: they have begun here.
    if (believed.length === 0) return ended
    const all: Route[] = []
    for (const { parent, name } of believed) {
      const longer = { from: parent, steps: [{ name, ino: from }, ...steps] }
      const found = this.#routes(longer, new Set([...below, from]))
      if (found === undefined || all.length + found.length > limits.namesToldMax) return undefined
      all.push(...found)
    }
    return all
  }
}

function untilMs({ told, moreUntilMs }: Names): number {
  return Math.max(moreUntilMs, (told.at(-1)?.atMs ?? moreUntilMs) + limits.nameBelievedMs)
}

function remove(told: Told[], parent: number, name: string): void {
  const at = told.findIndex((one) => one.parent === parent && one.name === name)
  if (at !== -1) told.splice(at, 1)
}
