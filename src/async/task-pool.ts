/** Runs several actions at once, but never more than a given number. */
export class TaskPool {
  readonly #count: number
  readonly #running = new Set<Promise<void>>()

  constructor(count: number) {
    this.#count = count
  }

  /** Resolves once `action`, which must not fail, has begun. */
  async start(action: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#count) await Promise.race(this.#running)
    const running = action().finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  /** Resolves when nothing runs any more. */
  async finish(): Promise<void> {
    await Promise.all(this.#running)
  }
}
