/**
 * Reusable, page-aligned memory for parts of pieces, as they arrive and as they are read to be sent. It is used again
 * and again, because a megabyte that is left to the garbage collector costs more than to fill it. Its buffers begin
 * and end at pages, so that files can be read and written directly, past the kernel's cache (O_DIRECT of open(2)),
 * and so that the kernel, which takes a mount's answers page by page, looks up one place for each.
 */
import assert from 'node:assert/strict'
import { limits } from '../limits.js'
import { Listeners } from '../listeners.js'
import { type PagedMemory, pagedMemory } from '../node-internals.js'
import { poisonOf } from './poison.js'

/** Alignment in bytes that O_DIRECT needs of addresses, offsets and lengths. */
export const pageBytes = 4096

/** Size of a buffer: one part of a piece, and in front of it the fields that travel with it. */
export const pageBufferBytes = limits.framePayloadBytesMax + pageBytes

export class PageMemory {
  readonly #memory: PagedMemory
  readonly #free: Buffer[] = []
  readonly #lent = new Set<Buffer>()
  readonly #poison = poisonOf()
  readonly #shortages = new Listeners()

  /** Reserves `count` buffers. The system supplies the memory when it is first written to. */
  constructor(count: number = limits.pageBuffersMax) {
    this.#memory = pagedMemory(count * pageBufferBytes)
    for (let at = (count - 1) * pageBufferBytes; at >= 0; at -= pageBufferBytes) {
      this.#free.push(Buffer.from(this.#memory.buffer, at, pageBufferBytes))
    }
  }

  /**
   * Calls `listener` when a buffer is wanted and all are in use, so that it can give back less important ones.
   * Returns the function that removes the listener.
   */
  onShortage(listener: () => void): () => void {
    return this.#shortages.add(listener)
  }

  /** Takes the buffer of `pageBufferBytes` that was given back last. Undefined when all are in use. */
  take(): Buffer | undefined {
    if (this.#free.length === 0) this.#shortages.call()
    const buffer = this.#free.pop()
    if (buffer !== undefined) this.#lent.add(buffer)
    return buffer
  }

  /** Takes back what `take` returned. No view of it may be used afterwards. */
  give(buffer: Buffer): void {
    assert(this.#lent.delete(buffer), 'memory was given back twice')
    this.#poison(buffer)
    this.#free.push(buffer)
  }

  /** Whether these bytes can be read or written with O_DIRECT. */
  isAligned({ buffer, byteOffset, length }: Buffer): boolean {
    if (!this.#memory.isAligned || buffer !== this.#memory.buffer) return false
    return byteOffset % pageBytes === 0 && length % pageBytes === 0
  }
}
