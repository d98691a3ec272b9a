/** Actions of which one run serves all that ask for it while it is under way. */

/** Runs an action once for all calls that come while it runs. The next call after its end runs it again. */
export class SingleFlight<T> {
  #running: Promise<T> | undefined

  /** The run in progress, if there is one. */
  get running(): Promise<T> | undefined {
    return this.#running
  }

  /** Joins the run in progress, also if that is of another `action`, or else runs `action`. */
  run(action: () => Promise<T>): Promise<T> {
    this.#running ??= action().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }
}

/** Runs an action for each of several keys, once for all calls with a key that come while it runs for that key. */
export class KeyedSingleFlight<Key, T> {
  readonly #running = new Map<Key, Promise<T>>()

  isRunning(key: Key): boolean {
    return this.#running.has(key)
  }

  /** Joins the run in progress for `key`, or else runs `action`. */
  run(key: Key, action: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key) ?? action().finally(() => this.#running.delete(key))
    this.#running.set(key, running)
    return running
  }
}
