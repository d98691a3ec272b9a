/**
 * A simulated process: it has a clock (perhaps wrong), chance of its own, can be stopped and continued
 * like by SIGSTOP and SIGCONT, and dies in such a way that none of its code has an effect any more.
 */
import { type Clock, timeOfMs } from '../../src/clock.js'
import type { Seeded } from '../fixtures/seeded.js'
import type { Scheduler } from './scheduler.js'

/** The time of the simulated world's clocks when it begins, in ms since 1970. */
export const beginMs = 1_700_000_000_000

export class Participant {
  readonly name: string
  readonly random: Seeded
  readonly clock: Clock
  /** Its wall clock is so far ahead. */
  skewMs: number
  readonly #scheduler: Scheduler
  #isAlive = true
  #held: (() => void)[] | undefined

  constructor(name: string, scheduler: Scheduler, random: Seeded, skewMs = 0) {
    this.name = name
    this.random = random
    this.#scheduler = scheduler
    this.skewMs = skewMs
    const now = (): number => beginMs + this.skewMs + scheduler.nowMs
    this.clock = {
      now,
      time: () => timeOfMs(now()),
      monotonic: () => scheduler.nowMs,
      after: (delayMs, action) => {
        let isCancelled = false
        scheduler.after(delayMs, () => {
          if (!isCancelled) this.run(() => isCancelled || action())
        })
        return {
          cancel: () => {
            isCancelled = true
          },
        }
      },
    }
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  get isStopped(): boolean {
    return this.#held !== undefined
  }

  /** Lets the process do something: now, when it is continued, or never. */
  run(action: () => void): void {
    if (!this.#isAlive) return
    if (this.#held === undefined) action()
    else this.#held.push(action)
  }

  stop(): void {
    this.#held ??= []
  }

  continue(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const action of held) this.#scheduler.after(0, () => this.run(action))
  }

  kill(): void {
    this.#isAlive = false
    this.#held = undefined
  }
}
