/** The numbers by which the kernel knows what programs have opened. Zero stands for none. */
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'

export class Handles<T> {
  readonly #open = new Map<number, T>()
  #next = 1

  get size(): number {
    return this.#open.size
  }

  /** Throws `tooManyOpen`. */
  add(opened: T): number {
    if (this.#open.size >= limits.handlesMax) throw new DfsError('tooManyOpen')
    const number = this.#next
    this.#next += 1
    this.#open.set(number, opened)
    return number
  }

  /** Throws `badHandle`. */
  get(number: number): T {
    const opened = this.#open.get(number)
    if (opened === undefined) throw new DfsError('badHandle')
    return opened
  }

  /** The same, and it is not open any more. */
  take(number: number): T {
    const opened = this.get(number)
    this.#open.delete(number)
    return opened
  }
}
