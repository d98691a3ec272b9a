/**
 * Keeps the event loop awake for a moment after an answer. The program that waited for it most often has
 * something else to ask at once, and to fall asleep and be woken takes longer than that: twice as long in
 * all for a request that is answered from memory, in a virtual machine up to five times.
 */
import { availableParallelism } from 'node:os'
import type { MonotonicClock } from './request.js'

/** How long the event loop is kept awake after an answer, in milliseconds. */
export const busyPollMs = 0.04
/** After this many polls in vain only one in `probeEvery` answers is followed by one. */
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
   * Does nothing where there is only one processor, since the program could not go on meanwhile.
   * `nextTurn` runs an action in the next turn of the event loop.
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

  /** Starts to poll: an answer was sent, and no other request is being worked on. */
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

  /** Stops polling: a request has come. */
  end(): void {
    if (this.#isAwake) this.#vain = 0
    this.#untilMs = 0
  }

  /** While this is called again in each turn, the event loop looks for requests without sleeping. */
  #look(): void {
    if (this.#clock.monotonic() < this.#untilMs) {
      this.#nextTurn(() => this.#look())
      return
    }
    this.#isAwake = false
    if (this.#untilMs > 0) this.#vain += 1
  }
}
