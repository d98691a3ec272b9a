/**
 * The uncommitted version of one open file, on top of the content that it was opened with. Written ranges are in
 * memory or in a spill file; a run of the length of a segment is uploaded while writing continues. `store` brings
 * everything to the servers and returns the content to commit; only the commit makes it visible to others.
 *
 * Changes come one at a time, under the lock of the open file. Reads may come at any time.
 */

import assert from 'node:assert/strict'
import { inOrder } from '../../async/ordered.js'
import type { Semaphore } from '../../async/semaphore.js'
import type { Random, Time } from '../../clock.js'
import type { Content } from '../../dfc/content/content.js'
import type { ContentStore } from '../../dfc/content/content-store.js'
import {
  copyRange,
  overlay,
  punch,
  type Run as Slot,
  slicesOfRuns,
  truncate,
} from '../../dfc/content/extents.js'
import { type PreparedSegment, prepare } from '../../dfc/content/prepared-segment.js'
import { asDfsError, DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { joinBuffers, lengthOfBuffers, zeroBuffers } from '../../memory/buffer-list.js'
import type { Segment } from '../../wire/records.js'
import type { ChunkPool } from './chunk-pool.js'
import { DirtyRanges, join, type Part, type Range } from './dirty-ranges.js'
import { DirtyRun } from './dirty-run.js'
import { dataRanges, rangesToStore, segmentsOf } from './packing.js'
import type { SpillFile, SpillSpace } from './spill-file.js'

/** Resources that all drafts of a mount share. */
export interface DraftTools {
  readonly content: Pick<ContentStore, 'digests' | 'read' | 'readLent'> & {
    readonly writer: Pick<ContentStore['writer'], 'put' | 'remove'>
  }
  readonly random: Random
  readonly pool: ChunkPool
  readonly spill: SpillSpace
  /** Bounds how many segments are uploaded at once. */
  readonly uploads: Semaphore
}

/** The content to commit. `inline` must travel inside the commit; everything else is stored. */
export interface StoredDraft {
  readonly content: Content
  readonly inline: PreparedSegment | undefined
}

interface Upload {
  readonly run: DirtyRun
  /** Settles at the end of the upload. Never rejects. */
  done: Promise<void>
  slot: Content['segments'][number] | undefined
  failure: DfsError | undefined
}

/** Most parts of a segment that are read or spilled at once, since there may be very many small ones. */
const partsAtOnce = 64

export class Draft {
  /** Time of the last write, or one set by a program since. The file's mtime once committed. */
  mtime: Time
  /** Time of the last write or change of attributes. The file's ctime once committed. */
  ctime: Time
  /**
   * Whether data was only added, so that a commit in the middle of the work shows other mounts no mixture of an old
   * version and a new one.
   */
  onlyAppends = true
  readonly #tools: DraftTools
  readonly #baseSize: number
  #size: number
  /** The content that the draft is on top of, including what has been uploaded since. Never longer than `#size`. */
  #stored: Content
  /** Uploads on top of `#stored`, the oldest first. */
  readonly #uploads: Upload[] = []
  /** Written ranges on top of `#stored` and all uploads. */
  readonly #dirty: DirtyRanges
  #spill: SpillFile | undefined
  /** Segments that were stored for this draft. */
  readonly #ownSegments: Segment[] = []
  /** True when something may refer to what was stored: a commit that was tried, or another file. */
  #mayBeReferred = false
  #isChanging = false
  #isReleased = false

  constructor(tools: DraftTools, base: Content, now: Time) {
    this.#tools = tools
    this.#stored = base
    this.#baseSize = base.size
    this.#size = base.size
    this.#dirty = new DirtyRanges(tools.pool, tools.content.digests)
    this.mtime = now
    this.ctime = now
  }

  /** Size of the file in bytes. */
  get size(): number {
    return this.#size
  }

  get memoryBytes(): number {
    return this.#uploads.reduce((sum, { run }) => sum + run.heldBytes, this.#dirty.memoryBytes)
  }

  get spillableBytes(): number {
    return this.#dirty.memoryBytes
  }

  get uploading(): Promise<void> | undefined {
    return this.#uploads.find(({ failure }) => failure === undefined)?.done
  }

  /** The ranges of the file that hold data, in order. The rest is holes. */
  get data(): readonly Range[] {
    return dataRanges(this.#stored, this.#changed)
  }

  get #changed(): Range[] {
    const uploading = this.#uploads.map(({ run: { at, end } }) => ({ at, end }))
    return join([...uploading, ...this.#dirty.joined].sort((a, b) => a.at - b.at))
  }

  // -- reading -----------------------------------------------------------------------------------

  /** Reads the bytes `at` .. `at + length`, fewer at the end of the file. The result must not be written to. */
  async read(at: number, length: number): Promise<Buffer> {
    assert(!this.#isReleased, 'a draft is read after its end')
    const end = Math.min(at + length, this.#size)
    if (at >= end) return Buffer.alloc(0)
    const parts = this.#sources(at, end)
    const stored = this.#stored
    if (parts.every(({ source }) => source === undefined)) {
      return joinBuffers(await this.#readStored(stored, at, end))
    }
    const bytes = Buffer.allocUnsafeSlow(end - at)
    const fill = (part: Range, from: readonly Buffer[]): void => {
      let position = part.at - at
      for (const piece of from) position += piece.copy(bytes, position)
    }
    const spill = this.#spill
    const waits: Promise<void>[] = []
    // Bytes in memory are copied before anything else happens; the other sources stay as they are now.
    for (const part of parts) {
      const { source, at: from, end: to } = part
      if (source instanceof DirtyRun) fill(part, source.parts(from, to))
      else if (source === undefined) {
        waits.push(this.#readStored(stored, from, to).then((found) => fill(part, found)))
      } else if (spill !== undefined) {
        waits.push(spill.read(from, to - from).then((found) => fill(part, [found])))
      }
    }
    await Promise.all(waits)
    return bytes
  }

  /** The source of each part of a range: the latest writes, then uploads, then the stored content. */
  #sources(at: number, end: number): Part[] {
    let parts = this.#dirty.cover(at, end)
    for (const { run } of this.#uploads.toReversed()) {
      parts = parts.flatMap((part) => (part.source === undefined ? coverByRun(run, part) : [part]))
    }
    return parts
  }

  /** Reads from the stored content, with zeros behind its end. */
  async #readStored(stored: Content, at: number, end: number): Promise<readonly Buffer[]> {
    const storedEnd = Math.max(at, Math.min(end, stored.size))
    const found = storedEnd > at ? [await this.#tools.content.read(stored, at, storedEnd - at)] : []
    return storedEnd < end ? [...found, ...zeroBuffers(end - storedEnd)] : found
  }

  // -- changing ----------------------------------------------------------------------------------

  /**
   * Writes a copy of `bytes`, which the caller must not change before this resolves. Waits while too many uploads are
   * in progress. Throws, without having written, when earlier data cannot be stored.
   */
  write(at: number, bytes: Buffer): Promise<void> {
    return this.#alone(() => this.#write(at, bytes))
  }

  async #write(at: number, bytes: Buffer): Promise<void> {
    const end = at + bytes.length
    if (end > limits.fileBytesMax) throw new DfsError('tooLarge')
    if (bytes.length === 0) return
    await this.#drain(limits.uploadsInFlightMax)
    if (at < this.#baseSize) this.onlyAppends = false
    if (this.#dirty.memoryRuns >= limits.draftRunsMax) await this.#spillAll()
    if (this.#spill === undefined) this.#dirty.write(at, bytes)
    else await this.#writeAround(this.#spill, at, bytes)
    this.#size = Math.max(this.#size, end)
    for (let run = this.#dirty.takeFull(); run !== undefined; run = this.#dirty.takeFull()) {
      this.#startUpload(run)
    }
  }

  /** Cuts the file off at `size` or extends it with zeros. */
  truncate(size: number): Promise<void> {
    return this.#alone(() => this.#truncate(size))
  }

  async #truncate(size: number): Promise<void> {
    if (size > limits.fileBytesMax) throw new DfsError('tooLarge')
    if (size < this.#size) {
      await this.#drain(0)
      if (size < this.#baseSize) this.onlyAppends = false
      this.#dirty.cut(size, Number.POSITIVE_INFINITY)
      if (this.#stored.size > size) this.#stored = truncate(this.#stored, size)
    }
    this.#size = size
  }

  /** Replaces a range by a hole, as far as it lies within the file. */
  punch(at: number, length: number): Promise<void> {
    return this.#alone(() => this.#punch(at, length))
  }

  async #punch(at: number, length: number): Promise<void> {
    const end = Math.min(at + length, this.#size)
    if (at >= end) return
    await this.#keepExtentsFew()
    await this.#drain(0)
    if (at < this.#baseSize) this.onlyAppends = false
    this.#dirty.cut(at, end)
    const storedEnd = Math.min(end, this.#stored.size)
    if (at < storedEnd) this.#stored = punch(this.#stored, at, storedEnd - at)
  }

  /** Inserts a range of `source`, which is stored, at `at`, without moving its bytes. */
  paste(source: Content, from: number, length: number, at: number): Promise<void> {
    return this.#alone(() => this.#paste(source, from, length, at))
  }

  async #paste(source: Content, from: number, length: number, at: number): Promise<void> {
    if (at + length > limits.fileBytesMax) throw new DfsError('tooLarge')
    await this.#keepExtentsFew()
    await this.#drain(0)
    if (at < this.#baseSize) this.onlyAppends = false
    this.#dirty.cut(at, at + length)
    this.#stored = copyRange(source, from, length, this.#stored, at)
    this.#size = Math.max(this.#size, this.#stored.size)
  }

  /**
   * Bounds the extents: endless punching and pasting would take endless memory, and each change a look at all of it.
   */
  async #keepExtentsFew(): Promise<void> {
    if (this.#stored.extents.length >= limits.extentsMax) await this.#flatten()
  }

  /** Spills the bytes in memory to the local disk. Throws `noSpace`. */
  spill(): Promise<void> {
    return this.#alone(() => this.#spillAll())
  }

  async #spillAll(): Promise<void> {
    this.#spill ??= await this.#tools.spill.open()
    const spill = this.#spill
    const written = inOrder(this.#dirty.runs, partsAtOnce, async (run) => {
      // The file may lose its last name and its last handle meanwhile.
      if (!this.#isReleased) await spill.write(run.at, run.parts(), run.length)
      return run
    })
    for await (const run of written) this.#dirty.spilled(run)
  }

  async #writeAround(spill: SpillFile, at: number, bytes: Buffer): Promise<void> {
    for (const part of this.#dirty.cover(at, at + bytes.length)) {
      const slice = bytes.subarray(part.at - at, part.end - at)
      if (part.source === 'spilled') await spill.write(part.at, [slice], 0)
      else this.#dirty.write(part.at, slice)
    }
  }

  // -- storing -----------------------------------------------------------------------------------

  /**
   * Stores everything on the servers in as few segments as possible. The draft stays as it is, so that nothing is
   * lost when the commit fails. Small content is stored by the commit itself.
   */
  async store(): Promise<StoredDraft> {
    const stored = await this.#alone(() => this.#store())
    this.#mayBeReferred = true
    return stored
  }

  async #store(): Promise<StoredDraft> {
    await this.#drain(0)
    const written = this.#dirty.joined
    try {
      return await this.#storeRanges(rangesToStore(this.#stored, written))
    } catch (error) {
      if (!isError(error, 'incomplete', 'corrupt', 'dataLost')) throw error
      // Stored data that was to be merged cannot be read, which is no reason not to store the written data.
      return await this.#storeRanges(written)
    }
  }

  async #storeRanges(ranges: readonly Range[]): Promise<StoredDraft> {
    const segments = segmentsOf(ranges)
    const [only] = segments
    if (only !== undefined && segments.length === 1) {
      if (lengthOfSlots(only) <= limits.inlineContentBytesMax) {
        const inline = await this.#prepare(only)
        return { content: this.#with(slicesOfRuns(inline.segment, only)), inline }
      }
    }
    const before = this.#ownSegments.length
    const stored = await Promise.allSettled(segments.map((slots) => this.#put(slots)))
    const failure = stored.find((outcome) => outcome.status === 'rejected')
    if (failure !== undefined) {
      const why = asDfsError(failure.reason)
      // The next attempt stores all of it anew, for which there is less room otherwise.
      if (isError(why, 'quota')) {
        await this.#tools.content.writer.remove(this.#ownSegments.splice(before))
      }
      throw why
    }
    const slices = stored.flatMap((outcome) =>
      outcome.status === 'fulfilled' ? outcome.value : [],
    )
    return { content: this.#with(slices), inline: undefined }
  }

  /** Stores everything and makes it the draft's base. Returns the content, which is not committed yet. */
  async flatten(): Promise<Content> {
    const content = await this.#alone(() => this.#flatten())
    this.#mayBeReferred = true
    return content
  }

  async #flatten(): Promise<Content> {
    const { content, inline } = await this.#store()
    if (inline !== undefined) await this.#putSegment(inline)
    this.#stored = content
    this.#dirty.clear()
    this.#dropSpill()
    return content
  }

  /** Runs a change, asserting that it is the only one. */
  async #alone<T>(change: () => Promise<T>): Promise<T> {
    assert(!this.#isReleased, 'a draft is changed after its end')
    assert(!this.#isChanging, 'two changes of a draft at once')
    this.#isChanging = true
    try {
      return await change()
    } finally {
      this.#isChanging = false
      const isWithin = this.#dirty.end <= this.#size && this.#stored.size <= this.#size
      assert(isWithin, 'something is beyond the end of the file')
    }
  }

  /** Removes from the servers what was stored for a draft of which nothing was committed. */
  async removeStored(): Promise<void> {
    assert(!this.#isReleased, 'a draft is given up once')
    await Promise.all(this.#uploads.map(({ done }) => done))
    if (!this.#mayBeReferred) await this.#tools.content.writer.remove(this.#ownSegments)
  }

  async #putSegment(prepared: PreparedSegment): Promise<void> {
    await this.#tools.content.writer.put(prepared)
    this.#ownSegments.push(prepared.segment)
  }

  /** Gives back all memory and disk space. The draft must not be used afterwards. */
  release(): void {
    this.#isReleased = true
    this.#dirty.clear()
    this.#dropSpill()
    for (const { run, done } of this.#uploads) void done.then(() => run.release())
    this.#uploads.length = 0
  }

  #dropSpill(): void {
    this.#spill?.close()
    this.#spill = undefined
  }

  /** The stored content with newly stored slices, at the file's true size. */
  #with(slices: Parameters<typeof overlay>[1]): Content {
    const content = overlay(this.#stored, slices)
    return content.size === this.#size ? content : truncate(content, this.#size)
  }

  async #put(slots: readonly Slot[]): Promise<ReturnType<typeof slicesOfRuns>> {
    return this.#tools.uploads.run(async () => {
      const prepared = await this.#prepare(slots)
      await this.#putSegment(prepared)
      return slicesOfRuns(prepared.segment, slots)
    })
  }

  async #prepare(slots: readonly Slot[]): Promise<PreparedSegment> {
    const sources = slots.flatMap(({ at, length }) => this.#dirty.cover(at, at + length))
    const parts: Buffer[] = []
    for await (const some of inOrder(sources, partsAtOnce, (part) => this.#bytesOf(part))) {
      for (const part of some) parts.push(part)
    }
    const [only] = sources
    const whole = sources.length === 1 && only?.source instanceof DirtyRun ? only.source : undefined
    const isWhole = whole?.length === lengthOfBuffers(parts)
    return prepare(parts, this.#tools.random, isWhole ? await whole?.digest() : undefined)
  }

  async #bytesOf({ source, at, end }: Part): Promise<readonly Buffer[]> {
    if (source instanceof DirtyRun) return source.parts(at, end)
    if (source === undefined) return this.#readStored(this.#stored, at, end)
    return this.#spill === undefined ? [] : [await this.#spill.read(at, end - at)]
  }

  #startUpload(run: DirtyRun): void {
    const upload: Upload = { run, done: Promise.resolve(), slot: undefined, failure: undefined }
    this.#uploads.push(upload)
    upload.done = this.#upload(upload)
  }

  async #upload(upload: Upload): Promise<void> {
    upload.failure = undefined
    try {
      await this.#tools.uploads.run(async () => {
        const { run } = upload
        const prepared = prepare(run.parts(), this.#tools.random, await run.digest())
        await this.#putSegment(prepared)
        upload.slot = prepared.segment
      })
      this.#applyUploads()
    } catch (thrown) {
      upload.failure = asDfsError(thrown)
    }
  }

  /** Adds finished uploads to the stored content, in the order in which they were written. */
  #applyUploads(): void {
    for (let first = this.#uploads[0]; first?.slot !== undefined; first = this.#uploads[0]) {
      const { run, slot } = first
      this.#stored = overlay(this.#stored, slicesOfRuns(slot, [{ at: run.at, length: run.length }]))
      this.#uploads.shift()
      run.release()
    }
  }

  /** Waits until at most `count` uploads are left. A failed one is tried once more. */
  async #drain(count: number): Promise<void> {
    while (this.#uploads.length > count) {
      const [first] = this.#uploads
      if (first === undefined) return
      await first.done
      if (first.failure === undefined) continue
      first.done = this.#upload(first)
      await first.done
      if (first.failure !== undefined) throw first.failure
    }
  }
}

function coverByRun(run: DirtyRun, { at, end }: Range): Part[] {
  const from = Math.max(at, run.at)
  const to = Math.min(end, run.end)
  if (from >= to) return [{ at, end, source: undefined }]
  const parts: Part[] = [
    { at, end: from, source: undefined },
    { at: from, end: to, source: run },
    { at: to, end, source: undefined },
  ]
  return parts.filter((part) => part.at < part.end)
}

function lengthOfSlots(slots: readonly Slot[]): number {
  return slots.reduce((sum, { length }) => sum + length, 0)
}
