/**
 * The bytes of files, above segments: uploads a stream as segments, reads ranges of a content, and streams a whole
 * one with its digests checked. The namespace decides which content a file has: an upload is garbage until a commit
 * refers to it.
 */

import { inOrder } from '../../async/ordered.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { joinBuffers, zeroBuffers } from '../../memory/buffer-list.js'
import { BufferRefs, type LentBuffers } from '../../memory/shared-buffer.js'
import { isReadableFrom } from '../../wire/placement.js'
import { quorum } from '../../wire/quorum.js'
import type { Segment } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Content, DataChunk } from './content.js'
import { type Digests, localDigests } from './digests.js'
import { type DataSlice, dataSlices, type Slice, slices } from './extents.js'
import type { BadCopyListener } from './piece-fetcher.js'
import { ReadAhead, ReadAheadBudget } from './read-ahead.js'
import { SegmentDigests } from './segment-digests.js'
import { SegmentReader } from './segment-reader.js'
import { type MakesRoom, SegmentWriter } from './segment-writer.js'
import { ContentUpload, type StagedContent, type UploadOptions } from './upload.js'

export class ContentStore {
  readonly writer: SegmentWriter
  readonly reader: SegmentReader
  /** Computes the digests of written content. */
  readonly digests: Digests
  readonly #cluster: Cluster
  readonly #readAheadBudget = new ReadAheadBudget()

  /**
   * `onBadCopy` is called with copies that are corrupt or not where they belong, `makeRoom` with failures for lack of
   * room.
   */
  constructor(
    cluster: Cluster,
    onBadCopy?: BadCopyListener,
    digests: Digests = localDigests,
    makeRoom?: MakesRoom,
  ) {
    this.#cluster = cluster
    this.digests = digests
    this.writer = new SegmentWriter(cluster, makeRoom)
    this.reader = new SegmentReader(cluster, onBadCopy)
  }

  /**
   * Uploads content. If it is small enough for a commit, it is returned and not stored. At most two segments are in
   * memory: one is filled while the one before is on its way. Throws what the source throws, and as
   * `SegmentWriter.put`.
   */
  stage(source: AsyncIterable<Buffer>, options?: UploadOptions): Promise<StagedContent> {
    return this.stageData(inARow(source), undefined, options)
  }

  /** Uploads a file of `size` bytes of which the source yields what is not a hole, as `stage` does. */
  async stageData(
    source: AsyncIterable<DataChunk>,
    size: number | undefined,
    options?: UploadOptions,
  ): Promise<StagedContent> {
    const upload = new ContentUpload(this.writer, this.#cluster.random, this.digests, options)
    try {
      for await (const chunk of source) await upload.add(chunk)
      return await upload.finish(size)
    } catch (thrown) {
      await upload.settle()
      if (isError(thrown, 'quota')) await this.writer.remove(upload.segments)
      throw thrown
    } finally {
      await upload.settle()
    }
  }

  /** Those of `segments` of which two servers that are up have each piece, and none has lost one. */
  async storedTwice(segments: readonly Segment[]): Promise<readonly Segment[]> {
    const found: Segment[] = []
    for (let at = 0; at < segments.length; at += limits.segmentsPerRequestMax) {
      const some = segments.slice(at, at + limits.segmentsPerRequestMax)
      const ids = some.map(({ id }) => id)
      const outcomes = await this.#cluster.ask(this.#cluster.up, 'held', () => ({ segments: ids }))
      const answers = outcomes.flatMap(({ answer }) => answer?.reply ?? [])
      for (const [index, segment] of some.entries()) {
        const held = answers.flatMap((answer) => answer.held[index] ?? [])
        if (held.some(({ lost }) => lost !== 0)) continue
        // Without any one of the servers, the others still have everything.
        const isTwice = held.every((_, one) =>
          isReadableFrom(
            segment,
            held.map(({ pieces }, other) => (other === one ? 0 : pieces)),
          ),
        )
        if (held.length > 0 && isTwice) found.push(segment)
      }
    }
    return found
  }

  /** Returns the bytes `at` .. `at + length`, fewer at the end of the content. The caller must not write to them. */
  async read(content: Content, at: number, length: number): Promise<Buffer> {
    const holds = new BufferRefs()
    try {
      const parts = await this.#readHeld(content, at, length, holds)
      return holds.isLent ? Buffer.concat(parts) : joinBuffers(parts)
    } finally {
      holds.release()
    }
  }

  /** Reads without copying, as lent views. Throws as `SegmentReader.read` does. */
  async readLent(content: Content, at: number, length: number): Promise<LentBuffers> {
    const holds = new BufferRefs()
    try {
      const parts = await this.#readHeld(content, at, length, holds)
      return { parts, release: () => holds.release() }
    } catch (error) {
      holds.release()
      throw error
    }
  }

  async #readHeld(
    content: Content,
    at: number,
    length: number,
    holds: BufferRefs,
  ): Promise<readonly Buffer[]> {
    const reads = slices(content, at, length).map((slice) => this.#readSliceHeld(slice, holds))
    const [only] = reads
    if (only !== undefined && reads.length === 1) return only
    // All have ended before the first failure is thrown: none holds memory later.
    await Promise.allSettled(reads)
    return (await Promise.all(reads)).flat()
  }

  /** The state that one open handle needs so that reading it from front to back is fast. */
  readAhead(): ReadAhead {
    return new ReadAhead(this.#readAheadBudget, {
      fetch: (content, at, length) => this.prefetch(content, at, length),
      forget: (content, at, length) => {
        for (const slice of slices(content, at, length)) {
          if (slice.kind === 'data') this.reader.forget(slice.segment, slice.offset, slice.length)
        }
      },
    })
  }

  /** Begins to fetch a range, as far as there is capacity, and does not wait for it. */
  prefetch(content: Content, at = 0, length = content.size): void {
    for (const slice of slices(content, at, length)) {
      if (slice.kind === 'data') this.reader.prefetch(slice.segment, slice.offset, slice.length)
    }
  }

  /**
   * All bytes in order. Throws `incomplete` before the first one when it is known to be so, and
   * `corrupt` when a segment that the content has as a whole does not match its MD5. Parts of a
   * segment are protected by the checksums of their blocks.
   */
  async *stream(content: Content): AsyncGenerator<Buffer> {
    let end = 0
    for await (const { at, bytes } of this.streamData(content)) {
      yield* zeros(at - end)
      yield bytes
      end = at + bytes.length
    }
    yield* zeros(content.size - end)
  }

  /** Yields the bytes from `from` on that are not in holes, in order. Throws as `stream` does. */
  async *streamData(content: Content, from = 0): AsyncGenerator<DataChunk> {
    await this.assertReadable(content)
    const digests = new SegmentDigests()
    const reads = inOrder(steps(content, from), limits.fetchesInFlightMax, async (slice) => ({
      slice,
      parts: await this.reader.read(slice.segment, slice.offset, slice.length),
    }))
    for await (const { slice, parts } of reads) {
      digests.check(slice.segment, slice.offset, parts)
      let at = slice.at
      for (const bytes of parts) {
        yield { at, bytes }
        at += bytes.length
      }
    }
  }

  /**
   * Throws `incomplete` when some byte of the content cannot be read now. Three servers that have their pieces are
   * enough for every segment; with fewer, the servers are asked for the pieces they have.
   */
  async assertReadable(content: Content): Promise<void> {
    await this.#cluster.reconnecting
    if (this.#cluster.voters.length >= quorum.pieces) return
    if (!(await this.isWhole(content))) throw new DfsError('incomplete')
  }

  /** Asks the servers that are up whether they have every piece, and whether they know of a lost one. */
  async isWhole(content: Content): Promise<boolean> {
    await this.#cluster.reconnecting
    const { up } = this.#cluster
    const segments = content.segments.filter(({ id }) => !this.reader.holds(id))
    if (segments.length === 0) return true
    const ids = segments.map(({ id }) => id)
    const outcomes = await this.#cluster.ask(up, 'held', () => ({ segments: ids }))
    const answers = outcomes.flatMap(({ answer }) => (answer === undefined ? [] : [answer.reply]))
    return segments.every((segment, index) => {
      const held = answers.flatMap((answer) => answer.held[index] ?? [])
      const isLost = held.some(({ lost }) => lost !== 0)
      const masks = held.map(({ pieces }) => pieces)
      return !isLost && isReadableFrom(segment, masks)
    })
  }

  async #readSliceHeld(slice: Slice, holds: BufferRefs): Promise<readonly Buffer[]> {
    if (slice.kind === 'hole') return zeroBuffers(slice.length)
    return await this.reader.readHeld(slice.segment, slice.offset, slice.length, holds)
  }
}

/** The data of a content from `from` on, in steps of what one request can bring. */
function* steps(content: Content, from: number): Iterable<DataSlice> {
  const stepBytes = limits.framePayloadBytesMax
  for (const { at, length, segment, offset } of dataSlices(content, from, content.size - from)) {
    const end = at + length
    // A step ends where a multiple of its size does, so that the parts of a segment are those of its pieces.
    for (let begin = at; begin < end; ) {
      const next = Math.min(end, (Math.floor(begin / stepBytes) + 1) * stepBytes)
      yield { kind: 'data', at: begin, length: next - begin, segment, offset: offset + begin - at }
      begin = next
    }
  }
}

/** Zeros in parts of at most one step. */
function* zeros(length: number): Iterable<Buffer> {
  for (let left = length; left > 0; left -= limits.framePayloadBytesMax) {
    yield* zeroBuffers(Math.min(left, limits.framePayloadBytesMax))
  }
}

async function* inARow(source: AsyncIterable<Buffer>): AsyncGenerator<DataChunk> {
  let at = 0
  for await (const bytes of source) {
    yield { at, bytes }
    at += bytes.length
  }
}
