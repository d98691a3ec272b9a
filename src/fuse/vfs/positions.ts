/**
 * Positions in listings, telldir(3). The number behind a name follows from the name alone, so that it is the same for
 * each open folder and each mount, whatever was added or removed meanwhile. A listing continues with the names behind
 * that one in their order, even when it is gone.
 */
import assert from 'node:assert/strict'
import { limits } from '../../limits.js'

/** The position before all names, behind "." and "..". */
export const beginning = 2

/**
 * The position behind a name: one of the 2^52 numbers above `beginning`. Two names of one folder have the same only
 * by chance: in a folder of a million names with a probability of one in ten thousand.
 */
export function positionBehind(name: string): number {
  let low = 0x9e3779b9
  let high = 0x41c6ce57
  for (let index = 0; index < name.length; index += 1) {
    const unit = name.charCodeAt(index)
    low = Math.imul(low ^ unit, 2654435761)
    high = Math.imul(high ^ unit, 1597334677)
  }
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909)
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909)
  return beginning + 1 + (high & 0xfffff) * 2 ** 32 + (low >>> 0)
}

/** The names whose positions were sent to the kernel last, of all folders together. */
export class Positions {
  readonly #max: number
  #names = new Map<number, string>()
  /** The generation before: it is dropped when as many newer ones have been added. */
  #older = new Map<number, string>()

  constructor(max: number = limits.positionsRememberedMin) {
    this.#max = max
  }

  /** Returns the position behind `name`, and remembers it. */
  behind(name: string): number {
    const position = positionBehind(name)
    if (this.#names.size >= this.#max) {
      this.#older = this.#names
      this.#names = new Map()
    }
    assert(position > beginning && Number.isSafeInteger(position), 'no position behind a name')
    this.#names.set(position, name)
    return position
  }

  /** Returns the name before a position; undefined when it was sent too long ago, or by another mount. */
  nameBefore(position: number): string | undefined {
    return this.#names.get(position) ?? this.#older.get(position)
  }
}
