/**
 * Collects a stream into segments in memory that is used again and again: a list of buffers that grows
 * with the content, so that a small file takes little. The digest is made while the bytes arrive.
 */
import { createHash, type Hash } from 'node:crypto'
import type { Random } from '../clock.js'
import { limits } from '../limits.js'
import { type PreparedSegment, prepare } from './prepared-segment.js'

const bufferBytes = limits.framePayloadBytesMax

/** One segment being filled. It must not be filled further once it was prepared, before `clear`. */
export class SegmentBuffer {
  readonly #buffers: Buffer[] = []
  #hash: Hash = createHash('md5')
  #filledBytes = 0

  get filledBytes(): number {
    return this.#filledBytes
  }

  get isFull(): boolean {
    return this.#filledBytes === limits.segmentBytesMax
  }

  /** Copies as much of `bytes` as fits, and returns how much that was. */
  add(bytes: Buffer): number {
    const taken = Math.min(bytes.length, limits.segmentBytesMax - this.#filledBytes)
    this.#hash.update(taken === bytes.length ? bytes : bytes.subarray(0, taken))
    for (let at = 0; at < taken; ) {
      const used = this.#filledBytes % bufferBytes
      const copied = bytes.copy(this.#bufferAt(this.#filledBytes), used, at, taken)
      at += copied
      this.#filledBytes += copied
    }
    return taken
  }

  /** What was added, as a segment of views. */
  prepare(random: Random): PreparedSegment {
    const parts: Buffer[] = []
    for (let at = 0; at < this.#filledBytes; at += bufferBytes) {
      parts.push(this.#bufferAt(at).subarray(0, this.#filledBytes - at))
    }
    return prepare(parts, random, this.#hash.digest('hex'))
  }

  /** Empties it and keeps its memory: what was prepared must not be in use any more. */
  clear(): void {
    this.#hash = createHash('md5')
    this.#filledBytes = 0
  }

  #bufferAt(at: number): Buffer {
    const index = Math.floor(at / bufferBytes)
    const buffer = this.#buffers[index] ?? Buffer.allocUnsafeSlow(bufferBytes)
    this.#buffers[index] = buffer
    return buffer
  }
}
