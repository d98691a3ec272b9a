/**
 * Caches checked blocks of pieces that were read lately. They are kept in chunks of as many blocks as one answer of a
 * server may carry, and a chunk is evicted as a whole: the blocks of one answer are views of one buffer, so a chunk
 * never holds more memory than it is charged for. The cache holds that memory until its last block is evicted, or
 * until memory is short.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import { limits } from '../../limits.js'
import { SharedBuffer } from '../../memory/shared-buffer.js'

export const chunkBytes = limits.framePayloadBytesMax
const blocksPerChunk = chunkBytes / limits.blockBytes

/** Memory in bytes that a chunk takes beyond its bytes: for its key, its list and the views. */
const overheadBytes = 8192

export interface Block {
  readonly bytes: Buffer
  readonly memory: SharedBuffer
}

/** The cached blocks of a chunk, with holes for the others. */
export type Chunk = readonly (Block | undefined)[]

const emptyChunk: Chunk = Array.from({ length: blocksPerChunk }, () => undefined)

export class BlockCache {
  readonly #chunks: LRUCache<string, Chunk>
  /** Keys of chunks in lent memory that have been read, the most recently read last. */
  readonly #readInLent = new Set<string>()

  constructor(bytesMax: number = limits.blockCacheBytesMax) {
    this.#chunks = new LRUCache({
      maxSize: bytesMax,
      sizeCalculation: bytesOf,
      dispose: (chunk, key) => {
        this.#readInLent.delete(key)
        release(chunk)
      },
      // The chunk that takes the place of an older one has all that was in it.
      noDisposeOnSet: true,
    })
  }

  /** How many blocks are here, in bytes, and how many chunks they are in. */
  get size(): { readonly entries: number; readonly bytes: number } {
    return { entries: this.#chunks.size, bytes: this.#chunks.calculatedSize }
  }

  /** Returns the chunk with this key, with holes for blocks that are not cached. */
  get(key: string): Chunk {
    const chunk = this.#chunks.get(key)
    if (chunk === undefined) return emptyChunk
    this.noteRead(key)
    return chunk
  }

  /** Notes that a chunk was read without `get`, while it was being fetched. */
  noteRead(key: string): void {
    if (!this.#chunks.peek(key)?.some((block) => block?.memory.isLent)) return
    this.#readInLent.delete(key)
    this.#readInLent.add(key)
  }

  /** Adds blocks that follow each other, from block `first` of the chunk on. */
  add(key: string, first: number, bytes: Buffer, memory: SharedBuffer = new SharedBuffer()): void {
    assert(first >= 0 && first * limits.blockBytes + bytes.length <= chunkBytes, 'beyond the chunk')
    const chunk = [...(this.#chunks.peek(key) ?? emptyChunk)]
    for (let at = 0, block = first; at < bytes.length; at += limits.blockBytes, block += 1) {
      if (chunk[block] !== undefined) continue
      memory.retain()
      chunk[block] = { bytes: bytes.subarray(at, at + limits.blockBytes), memory }
    }
    assert(chunk.length === blocksPerChunk)
    this.#chunks.set(key, chunk)
  }

  forget(key: string): void {
    this.#chunks.delete(key)
  }

  /** Evicts the least recently read chunk in lent memory. Chunks that have not been read yet stay. */
  forgetLent(): void {
    const [key] = this.#readInLent
    if (key !== undefined) this.forget(key)
  }
}

function bytesOf(chunk: Chunk): number {
  let bytes = overheadBytes
  for (const block of chunk) bytes += block?.bytes.length ?? 0
  return bytes
}

function release(chunk: Chunk): void {
  for (const block of chunk) block?.memory.release()
}
