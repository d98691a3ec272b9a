/**
 * Decides which contents of a file are kept when they are replaced: all of a file that is saved now and then, and one in
 * a while of a file that is written all the time, so that a log or a database does not become thousands of versions.
 */
import { LRUCache } from 'lru-cache'
import { limits } from '../../limits.js'
import { msOfVersion } from '../../wire/version.js'
import type { Content } from '../content/content.js'
import type { Node } from './cache/node.js'

/** How many versions of a file may still follow one another quickly, as of a time in ms since 1970. */
interface Allowance {
  readonly count: number
  readonly atMs: number
}

export class VersionRule {
  readonly #allowances = new LRUCache<number, Allowance>({ max: limits.versionedFilesMax })

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

  /** Notes that a content of the file was kept. */
  kept(ino: number, nowMs: number): void {
    const { count } = this.#allowance(ino, nowMs)
    this.#allowances.set(ino, { count: Math.max(0, count - 1), atMs: nowMs })
  }

  #allowance(ino: number, nowMs: number): Allowance {
    const { count, atMs } = this.#allowances.get(ino) ?? { count: limits.versionBurst, atMs: nowMs }
    const more = Math.max(0, nowMs - atMs) / limits.versionIntervalMs
    return { count: Math.min(limits.versionBurst, count + more), atMs: nowMs }
  }
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
