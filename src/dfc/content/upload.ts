/** Uploads a stream segment by segment, in the memory of two: one is filled while the one before is being sent. */
import assert from 'node:assert/strict'
import type { Random } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Segment } from '../../wire/records.js'
import type { Content, DataChunk } from './content.js'
import type { Digests } from './digests.js'
import { build, type Run, slicesOfRuns } from './extents.js'
import type { PreparedSegment } from './prepared-segment.js'
import { SegmentBuffer } from './segment-buffer.js'
import type { SegmentWriter } from './segment-writer.js'

/** Content that may be referred to by a commit, which must bring `inline` along when there is any. */
export interface StagedContent {
  readonly content: Content
  /** The only segment, when it is small enough to travel inside the commit. It is on no server yet. */
  readonly inline: PreparedSegment | undefined
}

/** The segments of an upload, for a later one that goes on with it when this one is interrupted. */
export interface UploadRecord {
  /** A segment with these bytes that is stored already. */
  find(md5: string, length: number): Segment | undefined
  /** Notes a segment that was stored. */
  note(segment: Segment): Promise<void>
}

export interface UploadOptions {
  readonly record?: UploadRecord | undefined
  /** Called with numbers of bytes as servers take them. A small content travels with its commit, and is not counted. */
  readonly onSent?: ((bytes: number) => void) | undefined
  /** Called with numbers of bytes that need not be sent: servers have them. */
  readonly onFound?: ((bytes: number) => void) | undefined
}

/** A segment, and the places of the file that it fills, one behind the other. */
interface Placed {
  readonly segment: Segment
  readonly runs: readonly Run[]
}

export class ContentUpload {
  readonly #writer: SegmentWriter
  readonly #random: Random
  readonly #digests: Digests
  readonly #options: UploadOptions
  readonly #placed: Placed[] = []
  readonly #sentSegments: Segment[] = []
  /** The places of what is being filled. */
  #runs: Run[] = []
  /** The end of what was added. */
  #end = 0
  #filling: SegmentBuffer
  #spare: SegmentBuffer | undefined
  /** The segment before the one being filled; it never rejects. */
  #sending: Promise<void> = Promise.resolve()
  #failure: unknown

  constructor(
    writer: SegmentWriter,
    random: Random,
    digests: Digests,
    options: UploadOptions = {},
  ) {
    this.#writer = writer
    this.#options = options
    this.#random = random
    this.#digests = digests
    this.#filling = new SegmentBuffer(digests)
  }

  /** Adds bytes behind all that were added before. What is in between is a hole. Throws `tooLarge`. */
  async add({ at, bytes }: DataChunk): Promise<void> {
    assert(at >= this.#end, 'bytes come in their order')
    if (at + bytes.length > limits.fileBytesMax) throw new DfsError('tooLarge')
    let rest = bytes
    this.#end = at
    while (rest.length > 0) {
      // A full buffer is sent only when more follows: content that just fits one segment may not need to be sent.
      if (this.#filling.isFull) await this.#send()
      const taken = this.#filling.add(rest)
      this.#place(taken)
      rest = rest.subarray(taken)
    }
  }

  /** Ends the file at `size`, or where the bytes end. */
  async finish(size = this.#end): Promise<StagedContent> {
    assert(size >= this.#end, 'a file ends behind its bytes')
    const length = this.#filling.filledBytes
    const isInline = this.#placed.length === 0 && length <= limits.inlineContentBytesMax
    let inline: PreparedSegment | undefined
    if (isInline && length > 0) {
      assert(this.#spare === undefined, 'what came before would be missing')
      inline = await this.#filling.prepare(this.#random)
      this.#placed.push({ segment: inline.segment, runs: this.#runs })
    } else if (length > 0) {
      await this.#send()
    }
    await this.#sent()
    return { content: contentOf(size, this.#placed), inline }
  }

  /** Notes that the next `length` bytes of the segment are the next ones of the file. */
  #place(length: number): void {
    const last = this.#runs.at(-1)
    if (last !== undefined && last.at + last.length === this.#end) {
      this.#runs[this.#runs.length - 1] = { at: last.at, length: last.length + length }
    } else {
      this.#runs.push({ at: this.#end, length })
    }
    this.#end += length
  }

  /** The segments that were sent so far, stored or not, without those that were found: a file may have them. */
  get segments(): readonly Segment[] {
    return this.#sentSegments
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
    const { md5, length } = prepared.segment
    const earlier = this.#options.record?.find(md5, length)
    this.#placed.push({ segment: earlier ?? prepared.segment, runs: this.#runs })
    this.#runs = []
    if (earlier !== undefined) {
      this.#options.onFound?.(length)
      filled.clear()
      return
    }
    const isFirst = this.#sentSegments.length === 0
    this.#sentSegments.push(prepared.segment)
    assert(isFirst || this.#spare !== undefined, 'more than two segments in memory')
    this.#filling = this.#spare ?? new SegmentBuffer(this.#digests)
    this.#spare = undefined
    this.#sending = this.#put(prepared, filled)
  }

  async #put(prepared: PreparedSegment, filled: SegmentBuffer): Promise<void> {
    try {
      await this.#writer.put(prepared, this.#options.onSent)
      await this.#options.record?.note(prepared.segment)
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

function contentOf(size: number, placed: readonly Placed[]): Content {
  return build(
    size,
    placed.flatMap(({ segment, runs }) => slicesOfRuns(segment, runs)),
  )
}
