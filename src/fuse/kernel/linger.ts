/**
 * Keeps the event loop awake for a moment after an answer. The program that waited for it most often has
 * something else to ask at once, and to fall asleep and be woken takes longer than that: twice as long in
 * all for a request that is answered from memory, in a virtual machine up to five times.
 */
import { availableParallelism } from 'node:os'
import type { Clock } from '../../clock.js'
import { limits } from '../../limits.js'

/** After so many times in vain it is tried now and then only. */
const vainMax = 8
const nowAndThen = 32

export class Linger {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #processors: number
  readonly #nextTurn: (action: () => void) => void
  #untilMs = 0
  #isAwake = false
  #vain = 0
  #skipped = 0

  /** With one processor the program could not go on meanwhile. `nextTurn` is of the event loop. */
  constructor(
    clock: Pick<Clock, 'monotonic'>,
    processors: number = availableParallelism(),
    nextTurn: (action: () => void) => void = setImmediate,
  ) {
    this.#clock = clock
    this.#processors = processors
    this.#nextTurn = nextTurn
  }

  /** An answer was sent, and nobody waits for another one. */
  begin(): void {
    if (this.#processors < 2) return
    if (this.#vain >= vainMax) {
      this.#skipped = (this.#skipped + 1) % nowAndThen
      if (this.#skipped !== 0) return
    }
    this.#untilMs = this.#clock.monotonic() + limits.lingerMs
    if (this.#isAwake) return
    this.#isAwake = true
    this.#nextTurn(() => this.#look())
  }

  /** A request has come. */
  end(): void {
    if (this.#isAwake) this.#vain = 0
    this.#untilMs = 0
  }

  /** As long as this comes again the event loop looks for requests without waiting for them. */
  #look(): void {
    if (this.#clock.monotonic() < this.#untilMs) {
      this.#nextTurn(() => this.#look())
      return
    }
    this.#isAwake = false
    if (this.#untilMs > 0) this.#vain += 1
  }
}
