/**
 * Keeps the event loop awake for a moment after an answer, as SO_BUSY_POLL does in the kernel. The program that
 * waited for the answer most often sends its next request at once, and falling asleep and waking up takes longer than
 * that: a request answered from memory would take twice as long in all, in a virtual machine up to five times.
 */
import { availableParallelism } from 'node:os'
import type { MonotonicClock } from './request.js'

/** How long the event loop is kept awake after an answer, in milliseconds. */
export const busyPollMs = 0.04
/** Polls in vain after which only one in `probeEvery` answers is followed by a poll. */
const vainMax = 8
const probeEvery = 32

export class BusyPoll {
  readonly #clock: MonotonicClock
  readonly #processors: number
  readonly #nextTurn: (action: () => void) => void
  #untilMs = 0
  #isAwake = false
  #vain = 0
  #skipped = 0

  /**
   * Does nothing with only one processor, since the program could not continue meanwhile. `nextTurn` runs an action
   * in the next turn of the event loop.
   */
  constructor(
    clock: MonotonicClock,
    processors: number = availableParallelism(),
    nextTurn: (action: () => void) => void = setImmediate,
  ) {
    this.#clock = clock
    this.#processors = processors
    this.#nextTurn = nextTurn
  }

  /** Starts to poll, when an answer was sent and no other request is in progress. */
  begin(): void {
    if (this.#processors < 2) return
    if (this.#vain >= vainMax) {
      this.#skipped = (this.#skipped + 1) % probeEvery
      if (this.#skipped !== 0) return
    }
    this.#untilMs = this.#clock.monotonic() + busyPollMs
    if (this.#isAwake) return
    this.#isAwake = true
    this.#nextTurn(() => this.#look())
  }

  /** Stops polling, because a request has arrived. */
  end(): void {
    if (this.#isAwake) this.#vain = 0
    this.#untilMs = 0
  }

  /** Polls once. As long as it is called in each turn, the event loop checks for requests without sleeping. */
  #look(): void {
    if (this.#clock.monotonic() < this.#untilMs) {
      this.#nextTurn(() => this.#look())
      return
    }
    this.#isAwake = false
    if (this.#untilMs > 0) this.#vain += 1
  }
}
