/** Verifies the MD5 of every segment that is read from its first byte to its last. */
import assert from 'node:assert/strict'
import { createHash, type Hash } from 'node:crypto'
import { DfsError } from '../../errors.js'
import type { Segment } from '../../wire/records.js'

export class SegmentDigests {
  #id = ''
  #nextOffset = 0
  #hash: Hash = createHash('md5')

  /** `parts` begin at `offset` of the segment. Throws `corrupt` with the last of them. */
  check(segment: Segment, offset: number, parts: readonly Buffer[]): void {
    if (offset === 0) {
      this.#id = segment.id
      this.#nextOffset = 0
      this.#hash = createHash('md5')
    }
    if (segment.id !== this.#id || offset !== this.#nextOffset) {
      this.#id = ''
      return
    }
    for (const part of parts) {
      this.#hash.update(part)
      this.#nextOffset += part.length
    }
    assert(this.#nextOffset <= segment.length, 'bytes beyond the segment')
    if (this.#nextOffset < segment.length) return
    this.#id = ''
    if (this.#hash.digest('hex') !== segment.md5) {
      throw new DfsError('corrupt', 'A segment does not match its MD5')
    }
  }
}
