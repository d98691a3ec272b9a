/**
 * Decides what is kept of a file when its content is replaced, or when it loses its last name: everything of a file that
 * is saved or removed now and then, and one in a while where that happens all the time, so that a log, a database or the
 * lock of a program does not become thousands of records, which would push out what matters.
 */
import { LRUCache } from 'lru-cache'
import { limits } from '../../limits.js'
import { msOfVersion } from '../../wire/version.js'
import type { Content } from '../content/content.js'
import type { Node } from './cache/node.js'

/** How many records of a file, or of a name, may still follow one another quickly, as of a time in ms since 1970. */
interface Allowance {
  readonly count: number
  readonly atMs: number
}

/** A name in a folder. */
interface Place {
  readonly parent: number
  readonly name: string
}

export class VersionRule {
  /** By the number of the file, or its place where it loses that. */
  readonly #allowances = new LRUCache<number | string, Allowance>({
    max: limits.versionedFilesMax,
  })

  /** Whether the content of `node` is to be kept when `after` replaces it at `nowMs`, in ms since 1970. */
  keeps(node: Node, after: Content, nowMs: number): boolean {
    const { inode, version, ino } = node
    if (inode.nlink === 0 || inode.segments.length === 0 || isSame(inode, after)) return false
    const grows = isContinued(inode, after)
    const intervalMs = grows ? limits.appendIntervalMs : limits.versionIntervalMs
    // What stood at the end of an interval is kept: so there is one of each.
    if (intervalOf(msOfVersion(version), intervalMs) < intervalOf(nowMs, intervalMs)) return true
    return !grows && this.#allowance(ino, nowMs).count >= 1
  }

  /**
   * Whether a file is to be kept that loses its last name at `nowMs`. One that was last changed in an earlier minute is,
   * in any case: a program that makes and removes, or replaces, a file of one name all the time takes no other with it.
   */
  keepsRemoved({ version }: Node, place: Place, nowMs: number): boolean {
    const intervalMs = limits.versionIntervalMs
    if (intervalOf(msOfVersion(version), intervalMs) < intervalOf(nowMs, intervalMs)) return true
    return this.#allowance(keyOf(place), nowMs).count >= 1
  }

  /** Notes that a content of the file was kept. */
  kept(ino: number, nowMs: number): void {
    this.#take(ino, nowMs)
  }

  /** Notes that a file was kept that had this name. */
  keptRemoved(place: Place, nowMs: number): void {
    this.#take(keyOf(place), nowMs)
  }

  #take(key: number | string, nowMs: number): void {
    const { count } = this.#allowance(key, nowMs)
    this.#allowances.set(key, { count: Math.max(0, count - 1), atMs: nowMs })
  }

  #allowance(key: number | string, nowMs: number): Allowance {
    const { count, atMs } = this.#allowances.get(key) ?? { count: limits.versionBurst, atMs: nowMs }
    const more = Math.max(0, nowMs - atMs) / limits.versionIntervalMs
    return { count: Math.min(limits.versionBurst, count + more), atMs: nowMs }
  }
}

function keyOf({ parent, name }: Place): string {
  return `${parent}/${name}`
}

function intervalOf(ms: number, intervalMs: number): number {
  return Math.floor(ms / intervalMs)
}

function isSame(before: Content, after: Content): boolean {
  return (
    before.size === after.size &&
    before.extents.length === after.extents.length &&
    isContinued(before, after)
  )
}

/** Whether everything that `before` has is in `after` at its place: it was only appended to. */
function isContinued(before: Content, after: Content): boolean {
  if (after.size < before.size || after.extents.length < before.extents.length) return false
  const last = before.extents.length - 1
  return before.extents.every(({ at, segment, offset, length }, index) => {
    const now = after.extents[index]
    return (
      now?.at === at &&
      now.offset === offset &&
      (now.length === length || (index === last && now.length > length)) &&
      after.segments[now.segment]?.id === before.segments[segment]?.id
    )
  })
}
