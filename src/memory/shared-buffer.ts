/**
 * Memory that is lent to several who look at the same bytes, such as a cache and readers: it goes back
 * when all have let go. Memory that is nobody's is held in the same way, and left to the garbage collector.
 */
import assert from 'node:assert/strict'

/** Who makes it holds it, as all do who call `hold`, until each has called `letGo` once. */
export class SharedBuffer {
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

  retain(): void {
    assert(this.#holders > 0, 'memory was held after it had been given back')
    this.#holders += 1
  }

  release(): void {
    assert(this.#holders > 0, 'memory was given back twice')
    this.#holders -= 1
    if (this.#holders === 0) this.#release?.()
  }
}

/** All that one reader holds. */
export class BufferRefs {
  readonly #held = new Set<SharedBuffer>()

  get isLent(): boolean {
    for (const memory of this.#held) if (memory.isLent) return true
    return false
  }

  add(memory: SharedBuffer): void {
    if (this.#held.has(memory)) return
    memory.retain()
    this.#held.add(memory)
  }

  release(): void {
    for (const memory of this.#held) memory.release()
    this.#held.clear()
  }
}

/** Views that nobody may write to, and nobody may look at any more after `release`. */
export interface LentBuffers {
  readonly parts: readonly Buffer[]
  /** Must be called once. */
  readonly release: () => void
}
