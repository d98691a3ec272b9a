/**
 * Collects a stream into segments, in a list of buffers that grows with the content and is used again for the next
 * segment. The digest of each buffer is computed when it is full.
 */
import assert from 'node:assert/strict'
import type { Random } from '../../clock.js'
import { limits } from '../../limits.js'
import type { Digest, Digests } from './digests.js'
import { type PreparedSegment, prepare } from './prepared-segment.js'
import { sharedBuffer } from './thread-digests.js'

const bufferBytes = limits.framePayloadBytesMax

/** One segment being filled. Once it was prepared it is not filled further before `clear`. */
export class SegmentBuffer {
  readonly #buffers: Buffer[] = []
  readonly #digests: Digests
  /** Digest of the full buffers. */
  #digest: Digest | undefined
  #filledBytes = 0
  #isPrepared = false

  constructor(digests: Digests) {
    this.#digests = digests
  }

  get filledBytes(): number {
    return this.#filledBytes
  }

  get isFull(): boolean {
    return this.#filledBytes === limits.segmentBytesMax
  }

  /** Copies as much of `bytes` as fits, and returns how much that was. */
  add(bytes: Buffer): number {
    assert(!this.#isPrepared, 'the bytes of a segment that is on its way change')
    const taken = Math.min(bytes.length, limits.segmentBytesMax - this.#filledBytes)
    for (let at = 0; at < taken; ) {
      const used = this.#filledBytes % bufferBytes
      const buffer = this.#bufferAt(this.#filledBytes)
      const copied = bytes.copy(buffer, used, at, taken)
      at += copied
      this.#filledBytes += copied
      if (used + copied === bufferBytes) {
        this.#digest ??= this.#digests.begin()
        this.#digest.update(buffer)
      }
    }
    return taken
  }

  /** Returns the added bytes as a segment of views. */
  async prepare(random: Random): Promise<PreparedSegment> {
    assert(!this.#isPrepared, 'a segment is prepared twice')
    this.#isPrepared = true
    const parts: Buffer[] = []
    for (let at = 0; at < this.#filledBytes; at += bufferBytes) {
      parts.push(this.#bufferAt(at).subarray(0, this.#filledBytes - at))
    }
    const isRest = this.#filledBytes % bufferBytes > 0
    const digested = await this.#digest?.digest(isRest ? parts.slice(-1) : [])
    return prepare(parts, random, digested)
  }

  /** Empties it and keeps its memory: what was prepared must not be in use any more. */
  clear(): void {
    this.#digest?.end()
    this.#digest = undefined
    this.#filledBytes = 0
    this.#isPrepared = false
  }

  #bufferAt(at: number): Buffer {
    const index = Math.floor(at / bufferBytes)
    const buffer = this.#buffers[index] ?? sharedBuffer(bufferBytes)
    this.#buffers[index] = buffer
    return buffer
  }
}
