/**
 * The names in the kernel's cache, by inode. For a while the kernel uses them without asking, so that a program may
 * reach an inode by any of them, although another mount has given that name to another file meanwhile, or has moved a
 * folder on the way. Names that this mount has removed itself are not in the kernel's cache.
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
  /** The inode that the kernel has for the name. */
  readonly ino: number
}

/** A way to an inode: names in folders, one in the other, beginning in the folder `from`. */
export interface Route {
  readonly from: number
  readonly steps: readonly Step[]
}

interface Told extends Place {
  atMs: number
  /** How long the kernel may use the name without asking, if the mount stays alone for that long. */
  validMs: number
}

interface Names {
  /** The names of the inode, the one sent last at the end. */
  readonly told: Told[]
  /** Until this time the kernel may have more names of the inode than are kept here. */
  moreUntilMs: number
}

export class ToldNames {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #names: LRUCache<number, Names>
  /** Until this time the kernel may have names of inodes that are not kept here. */
  #moreUntilMs = Number.NEGATIVE_INFINITY
  /** When the kernel was last made to look up all names again. */
  #doubtedMs = Number.NEGATIVE_INFINITY

  constructor(clock: Pick<Clock, 'monotonic'>, max: number = limits.kernelCacheEntriesMax) {
    this.#clock = clock
    this.#names = new LRUCache<number, Names>({
      max,
      dispose: (names, _, reason) => {
        if (reason === 'evict') this.#moreUntilMs = this.#endOf(names)
      },
    })
  }

  /**
   * Notes that the kernel learns that `name` means `ino`, from an answer or its own change, and may believe it for
   * `validMs`, or until `doubtAll`.
   */
  tell(ino: number, parent: number, name: string, validMs: number = limits.kernelCacheMs): void {
    const atMs = this.#clock.monotonic()
    const names = this.#names.get(ino)
    if (names === undefined) {
      // The inode may be one of those that were dropped.
      const told = [{ parent, name, atMs, validMs }]
      this.#names.set(ino, { told, moreUntilMs: this.#moreUntilMs })
      return
    }
    const { told } = names
    const last = told.at(-1)
    if (last?.parent === parent && last.name === name) {
      last.atMs = atMs
      last.validMs = validMs
      return
    }
    remove(told, parent, name)
    while (told[0] !== undefined && this.#believedUntilMs(told[0]) < atMs) told.shift()
    told.push({ parent, name, atMs, validMs })
    if (told.length <= limits.namesToldMax) return
    const oldest = told.shift()
    assert(oldest !== undefined && told.length === limits.namesToldMax, 'more names than are kept')
    assert(oldest.atMs <= atMs, 'names are told in their order')
    names.moreUntilMs = Math.max(names.moreUntilMs, this.#believedUntilMs(oldest))
  }

  /** Notes that the kernel was made to look up all names again. A program may have used one just before. */
  doubtAll(): void {
    this.#doubtedMs = this.#clock.monotonic()
    const untilMs = this.#doubtedMs + limits.nameBelievedMs
    this.#moreUntilMs = Math.min(this.#moreUntilMs, untilMs)
    for (const names of this.#names.values())
      names.moreUntilMs = Math.min(names.moreUntilMs, untilMs)
  }

  /** Until when a program may arrive that has used the name. */
  #believedUntilMs({ atMs, validMs }: Told): number {
    if (validMs <= limits.kernelCacheMs) return atMs + limits.nameBelievedMs
    const endMs = atMs + validMs
    const usedMs = this.#doubtedMs >= atMs ? Math.min(this.#doubtedMs, endMs) : endMs
    return usedMs + limits.nameBelievedMs
  }

  /** Until when the kernel may have one of these names, or one of those that are not kept. */
  #endOf({ told, moreUntilMs }: Names): number {
    const ends = told.map((one) => this.#believedUntilMs(one))
    return Math.max(this.#moreUntilMs, moreUntilMs, ...ends)
  }

  /** Notes that the file has lost a name, and the kernel knows it. */
  forget(ino: number, parent: number, name: string): void {
    const told = this.#names.get(ino)?.told
    if (told !== undefined) remove(told, parent, name)
  }

  /** The name of the inode sent to the kernel last, however long ago. */
  lastOf(ino: number): Place | undefined {
    return this.#names.get(ino)?.told.at(-1)
  }

  /**
   * All ways by which a program may have reached the inode without a request; none when it cannot have used a name.
   * Undefined when there may be more than are kept here.
   */
  routesTo(ino: number): readonly Route[] | undefined {
    return this.#routes({ from: ino, steps: [] }, new Set())
  }

  /** All ways that end with `route`. */
  #routes(route: Route, below: ReadonlySet<number>): readonly Route[] | undefined {
    const { from, steps } = route
    const ended = steps.length === 0 ? [] : [route]
    if (from === rootIno) return ended
    // A folder below itself: the names are of different times.
    if (below.has(from) || steps.length >= limits.lookupNamesMax) return undefined
    const now = this.#clock.monotonic()
    const names = this.#names.get(from)
    if (now < (names?.moreUntilMs ?? this.#moreUntilMs)) return undefined
    const believed = names?.told.filter((one) => now <= this.#believedUntilMs(one)) ?? []
    // A program that came from further above would have caused a request: this way begins here.
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

function remove(told: Told[], parent: number, name: string): void {
  const at = told.findIndex((one) => one.parent === parent && one.name === name)
  if (at !== -1) told.splice(at, 1)
}
