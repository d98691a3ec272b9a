/**
 * When files were read last, as ext4 keeps it with relatime and lazytime: the atime changes when it is not
 * later than the mtime and ctime, or a day old. It is shown by this mount, stored with the next change of the
 * file's attributes, and never for itself.
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

/** Everything is by inode number. */
export class AccessTimes {
  readonly #times = new LRUCache<number, Time>({ max: limits.kernelCacheEntriesMax })

  /** The file with these stored times is being read `now`. True when its atime changes by that. */
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

  /** The atime to be shown of a file for which `stored` is stored. */
  of(ino: number, stored: Time): Time {
    const read = this.#times.size === 0 ? undefined : this.#times.get(ino)
    return read !== undefined && compareTimes(read, stored) > 0 ? read : stored
  }

  /** Its atime was set to what is stored. */
  forget(ino: number): void {
    this.#times.delete(ino)
  }
}
