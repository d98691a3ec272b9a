/** Uploads a stream segment by segment, in the memory of two: one is filled while the one before is being sent. */
import assert from 'node:assert/strict'
import type { Random } from '../../clock.js'
import { limits } from '../../limits.js'
import type { Segment } from '../../wire/records.js'
import type { Content } from './content.js'
import type { Digests } from './digests.js'
import { build, wholeSlice } from './extents.js'
import type { PreparedSegment } from './prepared-segment.js'
import { SegmentBuffer } from './segment-buffer.js'
import type { SegmentWriter } from './segment-writer.js'

/** Content that may be referred to by a commit, which must bring `inline` along when there is any. */
export interface StagedContent {
  readonly content: Content
  /** The only segment, when it is small enough to travel inside the commit. It is on no server yet. */
  readonly inline: PreparedSegment | undefined
}

export class ContentUpload {
  readonly #writer: SegmentWriter
  readonly #random: Random
  readonly #digests: Digests
  readonly #segments: Segment[] = []
  #filling: SegmentBuffer
  #spare: SegmentBuffer | undefined
  /** The segment before the one being filled; it never rejects. */
  #sending: Promise<void> = Promise.resolve()
  #failure: unknown

  constructor(writer: SegmentWriter, random: Random, digests: Digests) {
    this.#writer = writer
    this.#random = random
    this.#digests = digests
    this.#filling = new SegmentBuffer(digests)
  }

  async add(bytes: Buffer): Promise<void> {
    let rest = bytes
    while (rest.length > 0) {
      // A full buffer is sent only when more follows: content that just fits one segment may not need to be sent.
      if (this.#filling.isFull) await this.#send()
      rest = rest.subarray(this.#filling.add(rest))
    }
  }

  async finish(): Promise<StagedContent> {
    const length = this.#filling.filledBytes
    const isInline = this.#segments.length === 0 && length <= limits.inlineContentBytesMax
    let inline: PreparedSegment | undefined
    if (isInline && length > 0) {
      assert(this.#spare === undefined, 'what came before would be missing')
      inline = await this.#filling.prepare(this.#random)
      this.#segments.push(inline.segment)
    } else if (length > 0) {
      await this.#send()
    }
    await this.#sent()
    return { content: contentOf(this.#segments), inline }
  }

  /** The segments that were sent so far, stored or not. */
  get segments(): readonly Segment[] {
    return this.#segments
  }

  /** Resolves when nothing reads the buffers any more. */
  settle(): Promise<void> {
    return this.#sending
  }

  /** Sends what is filled, once the segment before it was stored, and goes on in a free buffer. */
  async #send(): Promise<void> {
    await this.#sent()
    const filled = this.#filling
    const prepared = await filled.prepare(this.#random)
    this.#segments.push(prepared.segment)
    const isFirst = this.#segments.length === 1
    assert(isFirst || this.#spare !== undefined, 'more than two segments in memory')
    this.#filling = this.#spare ?? new SegmentBuffer(this.#digests)
    this.#spare = undefined
    this.#sending = this.#put(prepared, filled)
  }

  async #put(prepared: PreparedSegment, filled: SegmentBuffer): Promise<void> {
    try {
      await this.#writer.put(prepared)
      filled.clear()
      this.#spare = filled
    } catch (thrown) {
      this.#failure = thrown
    }
  }

  async #sent(): Promise<void> {
    await this.#sending
    if (this.#failure !== undefined) throw this.#failure
  }
}

function contentOf(segments: readonly Segment[]): Content {
  let at = 0
  const whole = segments.map((segment) => {
    const slice = wholeSlice(segment, at)
    at += segment.length
    return slice
  })
  return build(at, whole)
}
