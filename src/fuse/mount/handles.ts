/** Numbers by which the kernel names open files and folders. Zero stands for none. */
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'

export class Handles<T> {
  readonly #open = new Map<number, T>()
  #next = 1

  /** Adds an open file and returns its number. Throws `tooManyOpen`. */
  add(opened: T): number {
    if (this.#open.size >= limits.handlesMax) throw new DfsError('tooManyOpen')
    const number = this.#next
    this.#next += 1
    this.#open.set(number, opened)
    return number
  }

  /** Returns what `number` stands for. Throws `badHandle`. */
  get(number: number): T {
    const opened = this.#open.get(number)
    if (opened === undefined) throw new DfsError('badHandle')
    return opened
  }

  /** Removes a handle and returns what it stood for. Throws `badHandle`. */
  take(number: number): T {
    const opened = this.get(number)
    this.#open.delete(number)
    return opened
  }
}
