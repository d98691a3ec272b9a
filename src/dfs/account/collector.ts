/**
 * Collects garbage: segments that no register refers to any more, and uploads that were never
 * committed. It begins when a floor was raised, because only then do all four servers agree on what
 * is referred to, and works in small steps between the requests.
 */
import assert from 'node:assert/strict'
import type { Clock, Timer } from '../../clock.js'
import { limits } from '../../limits.js'
import { debugDfs } from '../../log.js'
import type { Version } from '../../wire/version.js'
import type { AccountIndex } from '../index/account-index.js'

const segmentsPerStep = 64
const stepPauseMs = 5

export class Collector {
  readonly #index: AccountIndex
  readonly #clock: Clock
  readonly #removePieces: (segment: string) => void
  readonly #onFailure: (thrown: unknown) => void
  #timer: Timer | undefined

  /** `onFailure` is called with why collecting ended early: what is left is collected after the next floor. */
  constructor(
    index: AccountIndex,
    clock: Clock,
    removePieces: (segment: string) => void,
    onFailure: (thrown: unknown) => void,
  ) {
    this.#index = index
    this.#clock = clock
    this.#removePieces = removePieces
    this.#onFailure = onFailure
  }

  /** Removes what was released by a version up to `floor`, or was abandoned long ago. */
  collect(floor: Version): void {
    this.#timer?.cancel()
    this.#timer = this.#clock.after(stepPauseMs, () => {
      try {
        this.#step(floor)
      } catch (thrown) {
        this.#onFailure(thrown)
      }
    })
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #step(floor: Version): void {
    this.#timer = undefined
    const abandonedMs = this.#index.now() - limits.abandonedPieceGraceMs
    const dead = this.#index.segments.dead(floor, abandonedMs, segmentsPerStep)
    assert(dead.length <= 2 * segmentsPerStep, 'a step takes no longer than others may wait')
    if (dead.length === 0) return
    this.#index.group(() => {
      for (const segment of dead) {
        this.#removePieces(segment)
        this.#index.segments.forget(segment)
      }
    })
    debugDfs('collected %d segments', dead.length)
    this.collect(floor)
  }
}
