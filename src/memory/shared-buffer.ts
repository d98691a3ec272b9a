/**
 * Reference-counted memory that several readers of the same bytes share, such as a cache and its readers. It is given
 * back when every reference is released. Memory of the garbage collector is counted in the same way and simply
 * dropped.
 */
import assert from 'node:assert/strict'

/** A reference-counted buffer. The creator holds one reference; every `retain` needs one `release`. */
export class SharedBuffer {
  #holders = 1
  #release: (() => void) | undefined

  /** Whether the memory is lent, and its lender waits for it to be released. */
  get isLent(): boolean {
    return this.#release !== undefined
  }

  /**
   * Sets the function that gives the memory back after the last release. It is known only once the bytes have
   * arrived.
   */
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

/** The references to shared buffers that one reader holds. */
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

/** Views of buffers that must not be written to, nor read after `release`. */
export interface LentBuffers {
  readonly parts: readonly Buffer[]
  /** Gives the buffers back. Must be called exactly once. */
  readonly release: () => void
}
