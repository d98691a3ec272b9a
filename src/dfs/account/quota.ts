/**
 * The bytes that a user may store on this server. A quota is of the user's files, each of which takes half of its
 * size on each of the four servers: so a server allows half of it. What counts are the bytes of all pieces that it
 * has of the user, also of files that were deleted or replaced and are not collected yet and of uploads that were
 * never committed; of pieces that are arriving, from their first part on; and of those that were moved aside. Names
 * and attributes do not count.
 */
import assert from 'node:assert/strict'
import { DfsError } from '../../errors.js'

export class Quota {
  readonly #quotaBytes: () => number | undefined
  readonly #storedBytes: () => number
  #arrivingBytes = 0

  /** `quotaBytes` of the user's files, undefined for no quota; `storedBytes`: what this server has of their pieces. */
  constructor(quotaBytes: () => number | undefined, storedBytes: () => number) {
    this.#quotaBytes = quotaBytes
    this.#storedBytes = storedBytes
  }

  /** Bytes of pieces that this server allows; undefined where there is no quota. */
  get allowedBytes(): number | undefined {
    const bytes = this.#quotaBytes()
    return bytes === undefined ? undefined : Math.floor(bytes / 2)
  }

  /** Bytes of further pieces that there is room for; infinite where there is no quota. */
  get freeBytes(): number {
    const allowed = this.allowedBytes ?? Number.POSITIVE_INFINITY
    return Math.max(0, allowed - this.#storedBytes() - this.#arrivingBytes)
  }

  /** Throws `quota` when there is no room for so many bytes more. */
  assertRoomFor(bytes: number): void {
    if (bytes <= 0 || bytes <= this.freeBytes) return
    throw new DfsError('quota')
  }

  /** Counts a piece of so many bytes that begins to arrive. Throws `quota`. */
  reserve(bytes: number): void {
    this.assertRoomFor(bytes)
    this.#arrivingBytes += bytes
  }

  /** Counts it no more: it is stored now, or will never be. */
  release(bytes: number): void {
    this.#arrivingBytes -= bytes
    assert(this.#arrivingBytes >= 0, 'more is released than was reserved')
  }
}
