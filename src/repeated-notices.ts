/**
 * Notices that somebody else can cause again and again, such as a peer that guesses passwords. Of each kind and
 * object a few are printed in a while and the others are counted, so that they cannot fill a disk.
 */
import assert from 'node:assert/strict'
import type { Clock } from './clock.js'
import { limits } from './limits.js'
import { notice } from './log.js'

interface Told {
  readonly sinceMs: number
  count: number
}

export class RepeatedNotices {
  readonly #clock: Pick<Clock, 'monotonic'>
  /** By kind and object, the ones that began first in front. */
  readonly #told = new Map<string, Told>()

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** Prints the line, unless there were enough of this kind about this object. How many is said with the next one. */
  tell(kind: string, object: string, line: string): void {
    const told = this.#toldOf(JSON.stringify([kind, object]), kind, object)
    told.count += 1
    if (told.count <= limits.repeatedNoticesMax) notice(line, 'warning')
  }

  #toldOf(key: string, kind: string, object: string): Told {
    const now = this.#clock.monotonic()
    const known = this.#told.get(key)
    if (known !== undefined) {
      assert(now >= known.sinceMs, 'a notice from before the first one')
      if (now - known.sinceMs < limits.repeatedNoticesMs) return known
      const untold = known.count - limits.repeatedNoticesMax
      if (untold > 0)
        notice(`${object === '' ? '' : `${object}: `}${untold} more: ${kind}`, 'warning')
      this.#told.delete(key)
    }
    // With too many of them the first one is forgotten: an object in a notice is a user, of whom there are few.
    const [first] = this.#told.keys()
    if (first !== undefined && this.#told.size >= limits.repeatedObjectsMax)
      this.#told.delete(first)
    const fresh = { sinceMs: now, count: 0 }
    this.#told.set(key, fresh)
    return fresh
  }
}
