/**
 * Memory that is lent to several who look at the same bytes, such as a cache and readers: it goes back
 * when all have let go. Memory that is nobody's is held in the same way, and left to the garbage collector.
 */
import assert from 'node:assert/strict'

/** Who makes it holds it, as all do who call `hold`, until each has called `letGo` once. */
export class HeldMemory {
  #holders = 1
  #release: (() => void) | undefined

  /** Somebody waits for these bytes to be used no more. */
  get isLent(): boolean {
    return this.#release !== undefined
  }

  /** What to do when all have let go, which is known when the bytes have come. */
  lend(release: (() => void) | undefined): void {
    this.#release = release
  }

  hold(): void {
    assert(this.#holders > 0, 'memory was held after it had been given back')
    this.#holders += 1
  }

  letGo(): void {
    assert(this.#holders > 0, 'memory was given back twice')
    this.#holders -= 1
    if (this.#holders === 0) this.#release?.()
  }
}

/** All that one reader holds. */
export class Holds {
  readonly #held = new Set<HeldMemory>()

  get isLent(): boolean {
    for (const memory of this.#held) if (memory.isLent) return true
    return false
  }

  add(memory: HeldMemory): void {
    if (this.#held.has(memory)) return
    memory.hold()
    this.#held.add(memory)
  }

  letGo(): void {
    for (const memory of this.#held) memory.letGo()
    this.#held.clear()
  }
}

/** Views that nobody may write to, and nobody may look at any more after `release`. */
export interface LentParts {
  readonly parts: readonly Buffer[]
  /** Must be called once. */
  readonly release: () => void
}
