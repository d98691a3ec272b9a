/**
 * The lines of the log about connections that were refused. A peer that guesses passwords makes one
 * for each guess: a few of them are told, the others are counted, so that they cannot fill a disk.
 */
import assert from 'node:assert/strict'
import type { Clock } from '../../clock.js'
import { limits } from '../../limits.js'
import { notice } from '../../log.js'

export class Refusals {
  readonly #clock: Clock
  #sinceMs = Number.NEGATIVE_INFINITY
  #told = 0
  #untold = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  tell(line: string): void {
    const now = this.#clock.monotonic()
    assert(now >= this.#sinceMs, 'the time of the last lines is over')
    if (now - this.#sinceMs >= limits.refusalLinesMs) {
      if (this.#untold > 0) notice(`${this.#untold} more connections were refused`)
      this.#sinceMs = now
      this.#told = 0
      this.#untold = 0
    }
    if (this.#told >= limits.refusalLinesMax) {
      this.#untold += 1
      return
    }
    this.#told += 1
    assert(this.#told <= limits.refusalLinesMax)
    notice(line)
  }
}
