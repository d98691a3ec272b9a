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
import type { Cluster } from '../cluster/cluster.js'
import type { Content } from './content.js'
import { type Digests, localDigests } from './digests.js'
import { type Slice, slices } from './extents.js'
import type { BadCopyListener } from './piece-fetcher.js'
import { ReadAhead, ReadAheadBudget } from './read-ahead.js'
import { SegmentDigests } from './segment-digests.js'
import { SegmentReader } from './segment-reader.js'
import { SegmentWriter } from './segment-writer.js'
import { ContentUpload, type StagedContent } from './upload.js'

export class ContentStore {
  readonly writer: SegmentWriter
  readonly reader: SegmentReader
  /** Computes the digests of written content. */
  readonly digests: Digests
  readonly #cluster: Cluster
  readonly #readAheadBudget = new ReadAheadBudget()

  /** `onBadCopy` is called with copies that are corrupt or not where they belong. */
  constructor(cluster: Cluster, onBadCopy?: BadCopyListener, digests: Digests = localDigests) {
    this.#cluster = cluster
    this.digests = digests
    this.writer = new SegmentWriter(cluster)
    this.reader = new SegmentReader(cluster, onBadCopy)
  }

  /**
   * Uploads content. If it is small enough for a commit, it is returned and not stored. At most two segments are in
   * memory: one is filled while the one before is on its way. Throws what the source throws, and as
   * `SegmentWriter.put`.
   */
  async stage(source: AsyncIterable<Buffer>): Promise<StagedContent> {
    const upload = new ContentUpload(this.writer, this.#cluster.random, this.digests)
    try {
      for await (const bytes of source) await upload.add(bytes)
      return await upload.finish()
    } catch (thrown) {
      await upload.settle()
      if (isError(thrown, 'quota')) await this.writer.remove(upload.segments)
      throw thrown
    } finally {
      await upload.settle()
    }
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
    await this.assertReadable(content)
    const digests = new SegmentDigests()
    const reads = inOrder(steps(content), limits.fetchesInFlightMax, async (slice) => ({
      slice,
      parts: await this.#readSlice(slice),
    }))
    for await (const { slice, parts } of reads) {
      if (slice.kind === 'data') digests.check(slice.segment, slice.offset, parts)
      yield* parts
    }
  }

  /**
   * Throws `incomplete` when some byte of the content cannot be read now. Three servers that have their pieces are
   * enough for every segment; with fewer, the servers are asked for the pieces they have.
   */
  async assertReadable(content: Content): Promise<void> {
    if (this.#cluster.voters.length >= quorum.pieces) return
    if (!(await this.isWhole(content))) throw new DfsError('incomplete')
  }

  /** Asks the servers that are up whether they have every piece, and whether they know of a lost one. */
  async isWhole(content: Content): Promise<boolean> {
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

  async #readSlice(slice: Slice): Promise<readonly Buffer[]> {
    if (slice.kind === 'hole') return zeroBuffers(slice.length)
    return await this.reader.read(slice.segment, slice.offset, slice.length)
  }

  async #readSliceHeld(slice: Slice, holds: BufferRefs): Promise<readonly Buffer[]> {
    if (slice.kind === 'hole') return zeroBuffers(slice.length)
    return await this.reader.readHeld(slice.segment, slice.offset, slice.length, holds)
  }
}

/** The slices of a content in steps of what one request can bring. */
function* steps(content: Content): Iterable<Slice> {
  const stepBytes = limits.framePayloadBytesMax
  for (let at = 0; at < content.size; at += stepBytes) {
    yield* slices(content, at, stepBytes)
  }
}
