/**
 * Functions that want to be called when something happens, each for as long as it likes. What calls them is
 * made first and knows none of them, so that no part of a program is given something that is not made yet.
 */
export type Listener<A extends readonly unknown[]> = (...what: A) => void

export class Listeners<A extends readonly unknown[] = []> {
  readonly #listeners = new Set<{ readonly listener: Listener<A> }>()

  /** Calls `listener` from now on, after those that are there; returns how to stop that. */
  add(listener: Listener<A>): () => void {
    const own = { listener }
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  call(...what: A): void {
    for (const { listener } of this.#listeners) listener(...what)
  }

  clear(): void {
    this.#listeners.clear()
  }
}
