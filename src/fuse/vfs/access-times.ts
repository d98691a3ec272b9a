/**
 * The times of the last reads, with the rules of relatime and lazytime on ext4: the atime changes when it is not
 * later than the mtime and ctime, or a day old. A new atime is visible in this mount, stored together with the next
 * change of the file's attributes, and never by itself.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import { compareTimes, type Time } from '../../clock.js'
import { limits } from '../../limits.js'

const daySeconds = 24 * 60 * 60

interface Times {
  readonly atime: Time
  readonly mtime: Time
  readonly ctime: Time
}

/** The atimes that are newer than the stored ones, by inode number. */
export class AccessTimes {
  readonly #times = new LRUCache<number, Time>({ max: limits.kernelCacheEntriesMax })

  /** Notes a read of a file with these stored times. Returns true when that changes its atime. */
  read(ino: number, stored: Times, now: Time): boolean {
    const atime = this.of(ino, stored.atime)
    const isOfNow =
      compareTimes(atime, stored.mtime) > 0 &&
      compareTimes(atime, stored.ctime) > 0 &&
      now.seconds - atime.seconds < daySeconds
    if (isOfNow || compareTimes(now, atime) <= 0) return false
    assert(compareTimes(now, stored.atime) > 0, 'reading takes an atime back')
    this.#times.set(ino, now)
    return true
  }

  /** The atime to show for a file whose stored atime is `stored`. */
  of(ino: number, stored: Time): Time {
    const read = this.#times.size === 0 ? undefined : this.#times.get(ino)
    return read !== undefined && compareTimes(read, stored) > 0 ? read : stored
  }

  /** Forgets a newer atime, because the stored one was set. */
  forget(ino: number): void {
    this.#times.delete(ino)
  }
}
