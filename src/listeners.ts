/**
 * Functions that are called when something happens, until they are removed. The object that calls them is made
 * first and knows none of them, so that no constructor needs an object that does not exist yet.
 */
export type Listener<A extends readonly unknown[]> = (...what: A) => void

export class Listeners<A extends readonly unknown[] = []> {
  readonly #listeners = new Set<{ readonly listener: Listener<A> }>()

  /** Adds a listener, to be called after the earlier ones. Returns the function that removes it. */
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
