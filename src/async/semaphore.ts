/** Bounds how many actions run at once. Waiters get a slot in the order of asking. */
import assert from 'node:assert/strict'

export class Semaphore {
  #free: number
  readonly #count: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#count = count
    this.#free = count
  }

  /** Number of callers that wait for a slot. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Resolves with a slot, which the caller must give back. */
  take(): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1
      return Promise.resolve()
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  give(): void {
    const next = this.#waiting.shift()
    if (next !== undefined) {
      next()
      return
    }
    this.#free += 1
    assert(this.#free <= this.#count, 'a slot was given back twice')
  }

  /** Runs `action` in a slot. */
  async run<T>(action: () => Promise<T>): Promise<T> {
    await this.take()
    try {
      return await action()
    } finally {
      this.give()
    }
  }
}
