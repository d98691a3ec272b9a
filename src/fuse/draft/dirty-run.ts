/**
 * Consecutive written bytes of a file in memory, at most a segment. They grow at the end. Whole chunks are digested
 * while more is written, so that a segment that was written from front to back needs no second pass.
 */
import assert from 'node:assert/strict'
import {
  type Digest,
  type Digested,
  type Digests,
  localDigests,
} from '../../dfc/content/digests.js'
import { limits } from '../../limits.js'
import { sliceBuffers } from '../../memory/buffer-list.js'
import type { ChunkPool } from './chunk-pool.js'

export class DirtyRun {
  /** Offset in the file, in bytes. */
  readonly at: number
  readonly #pool: ChunkPool
  readonly #digests: Digests
  #length = 0
  /** The buffers of the run. All but the last are full. */
  readonly #chunks: Buffer[] = []
  /** The buffers that came from the pool and go back to it. */
  readonly #pooled = new Set<Buffer>()
  #heldBytes = 0
  /** Digest of the first `#digestedChunks` chunks; undefined before there is one. */
  #digest: Digest | undefined
  /** Whether a digested byte was changed afterwards. */
  #isSpoilt = false
  #digestedChunks = 0
  #digestedBytes = 0

  constructor(pool: ChunkPool, at: number, digests: Digests = localDigests) {
    this.#pool = pool
    this.#digests = digests
    this.at = at
  }

  get length(): number {
    return this.#length
  }

  get end(): number {
    return this.at + this.#length
  }

  get isFull(): boolean {
    return this.#length === limits.segmentBytesMax
  }

  /** Memory that the run takes, in bytes. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /**
   * Appends a copy of as many bytes as fit into a segment, and returns their number. The first bytes get exactly the
   * memory that they need: many files and many changes are small.
   */
  append(bytes: Buffer): number {
    const taken = Math.min(bytes.length, limits.segmentBytesMax - this.#length)
    if (this.#length === 0 && taken < limits.draftChunkBytes) {
      this.#hold(Buffer.from(bytes.subarray(0, taken)))
      this.#length = taken
      return taken
    }
    for (let from = 0; from < taken; ) {
      let room = this.#heldBytes - this.#length
      if (room === 0) {
        this.#digestChunks(this.#chunks.length)
        const chunk = this.#pool.take(this.#length)
        this.#pooled.add(chunk)
        this.#hold(chunk)
        room = chunk.length
      }
      const chunk = this.#last()
      const part = Math.min(room, taken - from)
      bytes.copy(chunk, chunk.length - room, from, from + part)
      this.#length += part
      from += part
    }
    return taken
  }

  /** Overwrites bytes of the run from the file offset `at` on. */
  overwrite(at: number, bytes: Buffer): void {
    assert(at >= this.at && at + bytes.length <= this.end, 'an overwrite beyond the run')
    const start = at - this.at
    if (start < this.#digestedBytes) this.#spoil()
    let from = 0
    for (const view of sliceBuffers(this.#chunks, start, bytes.length)) {
      bytes.copy(view, 0, from, from + view.length)
      from += view.length
    }
  }

  /** Drops everything from the file offset `end` on. At least one byte must remain. */
  cutAt(end: number): void {
    const length = end - this.at
    assert(length > 0 && length <= this.#length)
    this.#length = length
    for (let last = this.#last(); this.#heldBytes - last.length >= length; last = this.#last()) {
      this.#chunks.pop()
      this.#heldBytes -= last.length
      if (this.#pooled.delete(last)) this.#pool.give(last)
    }
    if (length < this.#digestedBytes) this.#spoil()
  }

  /** Views of the bytes `from` .. `to` of the file, valid until the next change. */
  parts(from = this.at, to = this.end): Buffer[] {
    return sliceBuffers(this.#chunks, from - this.at, to - from)
  }

  /** Returns the digest of all bytes; undefined when they have to be read again for it. */
  async digest(): Promise<Digested | undefined> {
    return await this.#digest?.digest(this.parts(this.at + this.#digestedBytes))
  }

  /** Gives the run's memory back. It must not be used afterwards. */
  release(): void {
    this.#digest?.end()
    for (const chunk of this.#pooled) this.#pool.give(chunk)
    this.#pooled.clear()
    this.#chunks.length = 0
    this.#heldBytes = 0
  }

  #hold(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#heldBytes += chunk.length
  }

  #last(): Buffer {
    const last = this.#chunks.at(-1)
    assert(last !== undefined, 'an empty run has no bytes')
    return last
  }

  #digestChunks(count: number): void {
    for (; !this.#isSpoilt && this.#digestedChunks < count; this.#digestedChunks += 1) {
      const chunk = this.#chunks[this.#digestedChunks]
      if (chunk === undefined) return
      this.#digest ??= this.#digests.begin()
      this.#digest.update(chunk)
      this.#digestedBytes += chunk.length
    }
  }

  #spoil(): void {
    this.#isSpoilt = true
    this.#digest?.end()
    this.#digest = undefined
  }
}
