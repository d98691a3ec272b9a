/**
 * Reads ranges of segments: finds the blocks of the pieces that cover a range, takes them from the
 * cache or from a fetch that is on its way already, and fetches the rest, neighbours together. Nothing
 * is copied: the answer is a list of views, whose memory the reader holds.
 */
import assert from 'node:assert/strict'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { appendBuffer, lengthOfBuffers } from '../../memory/buffer-list.js'
import { BufferRefs, SharedBuffer } from '../../memory/shared-buffer.js'
import { pieceNumbers, pieceRange, rotationOf } from '../../wire/placement.js'
import type { Segment } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import { type Block, BlockCache, chunkBytes } from './block-cache.js'
import { type BadCopyListener, PieceFetcher } from './piece-fetcher.js'
import type { PreparedSegment } from './prepared-segment.js'

const { blockBytes } = limits

/** A range within one chunk of one piece, in bytes of the piece: as much as one request can bring. */
interface ChunkRange {
  readonly key: string
  readonly segment: Segment
  readonly piece: number
  readonly pieceLength: number
  /** Where the chunk begins. */
  readonly chunkAt: number
  readonly start: number
  readonly end: number
}

/** Blocks on their way: `first` .. `end` of a chunk. */
interface Fetch {
  readonly first: number
  readonly end: number
  readonly bytes: Promise<Buffer>
  readonly memory: SharedBuffer
  /** Whether a reader waits for it: if not, it was only fetched ahead. */
  isRead: boolean
  /** Whether it can be dropped once the reads that wait for it have it. */
  isForgotten: boolean
}

/** Where blocks of a chunk come from: bytes at hand, or a fetch. */
type Source =
  | { readonly block: number; readonly known: Block }
  | { readonly block: number; readonly fetch: Fetch }

export class SegmentReader {
  readonly #cache: BlockCache
  readonly #fetcher: PieceFetcher
  /** By the chunk's key. */
  readonly #fetches = new Map<string, Fetch[]>()
  /** By the segment's id, the oldest first. */
  readonly #stored = new Map<string, PreparedSegment>()
  /** Segments that no server has yet, by their id. */
  readonly #unstored = new Map<string, PreparedSegment>()
  #hits = 0
  #misses = 0

  constructor(
    cluster: Cluster,
    onBadCopy: BadCopyListener = () => {},
    cache: BlockCache = new BlockCache(),
  ) {
    this.#fetcher = new PieceFetcher(cluster, onBadCopy)
    this.#cache = cache
  }

  /** How many blocks that were asked for were in the cache, or not, and how much is in it. */
  get figures(): {
    readonly hits: number
    readonly misses: number
    readonly entries: number
    readonly bytes: number
  } {
    return { hits: this.#hits, misses: this.#misses, ...this.#cache.size }
  }

  /**
   * Returns the bytes `offset` .. `offset + length` of the segment, in memory that is not used again. The caller must
   * not write to them. Throws `incomplete`, `corrupt` or `dataLost` when a block of the range cannot be had; blocks
   * outside the range do not matter.
   */
  async read(segment: Segment, offset: number, length: number): Promise<readonly Buffer[]> {
    const holds = new BufferRefs()
    try {
      const parts = await this.readHeld(segment, offset, length, holds)
      return holds.isLent ? parts.map((part) => Buffer.from(part)) : parts
    } finally {
      holds.release()
    }
  }

  /** Reads as views of memory that `holds` refers to, even when this throws. */
  async readHeld(
    segment: Segment,
    offset: number,
    length: number,
    holds: BufferRefs,
  ): Promise<readonly Buffer[]> {
    const parts: Buffer[] = []
    const ranges = chunkRanges(segment, offset, length)
    const plans = ranges.map((range) => ({ range, sources: this.#heldSources(range, holds) }))
    for (const { range, sources } of plans) {
      for (const source of sources) await this.#append(parts, range, source, holds)
    }
    assert(lengthOfBuffers(parts) === length, 'a read is as long as what was asked for')
    return parts
  }

  /**
   * Begins to fetch what a read of this range would have to wait for, as far as there is capacity.
   * Failures are left to that read.
   */
  prefetch(segment: Segment, offset: number, length: number): void {
    for (const range of chunkRanges(segment, offset, length)) {
      if (this.#fetcher.isBusy) return
      this.#sources(range)
    }
  }

  /** Drops the chunks that end in this range, which is not expected to be read again. */
  forget(segment: Segment, offset: number, length: number): void {
    for (const { key, chunkAt, pieceLength, end } of chunkRanges(segment, offset, length)) {
      if (end !== Math.min(chunkAt + chunkBytes, pieceLength)) continue
      this.#cache.forget(key)
      for (const fetch of this.#fetches.get(key) ?? []) fetch.isForgotten = true
    }
  }

  /** Evicts a chunk from lent memory, which would otherwise stay full of chunks that were read long ago. */
  forgetLent(): void {
    this.#cache.forgetLent()
  }

  /** Reads this segment from here, and not from the servers, until `release`. Its bytes must not change any more. */
  hold(unstored: PreparedSegment): void {
    this.#unstored.set(unstored.segment.id, unstored)
  }

  /** Whether the segment is held. */
  holds(id: string): boolean {
    return this.#unstored.has(id)
  }

  /** Ends what `hold` began. */
  release(id: string): void {
    this.#unstored.delete(id)
  }

  /**
   * Keeps a small segment that was just stored for a while; its bytes must not change any more. Repeated appends to a
   * small file join its last segment with new bytes, and so need not fetch it.
   */
  remember(stored: PreparedSegment): void {
    this.#stored.set(stored.segment.id, stored)
    if (this.#stored.size <= limits.storedSegmentsMax) return
    for (const oldest of this.#stored.keys()) {
      this.#stored.delete(oldest)
      return
    }
  }

  /**
   * Brings a remembered segment to the cache when it is read. Most are never read, and the cache costs several times
   * as much.
   */
  #recall({ id }: Segment): void {
    const stored = this.#unstored.get(id) ?? this.#stored.get(id)
    if (stored === undefined) return
    this.#stored.delete(id)
    for (const { piece, length, parts } of stored.pieces) {
      const key = chunkKey(stored.segment, piece, 0)
      if (this.#cache.get(key)[0] !== undefined) continue
      // The parts may be views of larger buffers than the cache would charge for.
      const bytes = Buffer.allocUnsafeSlow(length)
      let at = 0
      for (const part of parts) at += part.copy(bytes, at)
      this.#cache.add(key, 0, bytes)
    }
  }

  /** Finds the sources of a range and takes references to their memory, before anything else can release it. */
  #heldSources(range: ChunkRange, holds: BufferRefs): Source[] {
    const sources = this.#sources(range)
    for (const source of sources) {
      holds.add('known' in source ? source.known.memory : source.fetch.memory)
      if ('fetch' in source) source.fetch.isRead = true
    }
    return sources
  }

  /** Returns the source of each block of the range. Missing blocks are being fetched afterwards. */
  #sources(range: ChunkRange): Source[] {
    this.#recall(range.segment)
    const chunk = this.#cache.get(range.key)
    const first = blockOf(range, range.start)
    const end = blockOf(range, range.end - 1) + 1
    const sources: Source[] = []
    for (let block = first; block < end; block += 1) {
      const known = chunk[block]
      if (known !== undefined) {
        this.#hits += 1
        sources.push({ block, known })
        continue
      }
      this.#misses += 1
      let missingEnd = block + 1
      const running = this.#runningFetch(range.key, block)
      if (running === undefined) {
        while (
          missingEnd < end &&
          chunk[missingEnd] === undefined &&
          this.#runningFetch(range.key, missingEnd) === undefined
        ) {
          missingEnd += 1
        }
      }
      const fetch = running ?? this.#fetch(range, block, missingEnd)
      sources.push({ block, fetch })
      block = Math.min(fetch.end, end) - 1
    }
    return sources
  }

  #runningFetch(key: string, block: number): Fetch | undefined {
    return this.#fetches.get(key)?.find(({ first, end }) => first <= block && block < end)
  }

  #fetch(range: ChunkRange, first: number, end: number): Fetch {
    const { key, segment, piece, pieceLength, chunkAt } = range
    const offset = chunkAt + first * blockBytes
    const length = Math.min(chunkAt + end * blockBytes, pieceLength) - offset
    const wanted = {
      segment,
      rotation: rotationOf(segment.md5),
      piece,
      pieceLength,
      offset,
      length,
    }
    const memory = new SharedBuffer()
    const bytes = this.#fetcher.fetch(wanted).then((fetched) => {
      memory.lend(fetched.release)
      return fetched.bytes
    })
    const fetch: Fetch = { first, end, bytes, memory, isRead: false, isForgotten: false }
    this.#fetches.set(key, [...(this.#fetches.get(key) ?? []), fetch])
    bytes
      .then((fetched) => {
        if (fetch.isForgotten) return
        this.#cache.add(key, first, fetched, memory)
        if (fetch.isRead) this.#cache.noteRead(key)
      })
      .catch((error: unknown) => debugDfc('fetch %s: %o', key, error))
      .finally(() => {
        this.#ended(key, fetch)
        memory.release()
      })
    return fetch
  }

  #ended(key: string, fetch: Fetch): void {
    const running = this.#fetches.get(key) ?? []
    assert(running.includes(fetch), 'a fetch ends once')
    const others = running.filter((other) => other !== fetch)
    if (others.length > 0) this.#fetches.set(key, others)
    else this.#fetches.delete(key)
  }

  /** Appends what `source` has of the range. */
  async #append(
    parts: Buffer[],
    range: ChunkRange,
    source: Source,
    holds: BufferRefs,
  ): Promise<void> {
    if ('known' in source) {
      appendBuffer(parts, cut(range, source.block, source.known.bytes))
      return
    }
    const { fetch, block } = source
    try {
      const at = (block - fetch.first) * blockBytes
      appendBuffer(parts, cut(range, block, (await fetch.bytes).subarray(at)))
    } catch (thrown) {
      if (!isError(thrown, 'incomplete', 'corrupt', 'dataLost') || fetch.end - fetch.first === 1)
        throw thrown
      const end = Math.min(fetch.end, blockOf(range, range.end - 1) + 1)
      await this.#appendOneByOne(parts, range, block, end, holds)
    }
  }

  /**
   * Fetches the blocks one by one: a fetch of many fails for one that is bad, which may be none of those wanted here.
   */
  async #appendOneByOne(
    parts: Buffer[],
    range: ChunkRange,
    first: number,
    end: number,
    holds: BufferRefs,
  ): Promise<void> {
    for (let block = first; block < end; block += 1) {
      const known = this.#cache.get(range.key)[block]
      const { bytes, memory } = known ?? this.#fetch(range, block, block + 1)
      holds.add(memory)
      appendBuffer(parts, cut(range, block, await bytes))
    }
  }
}

function chunkKey({ id }: Segment, piece: number, chunkAt: number): string {
  return `${id}.${piece}.${chunkAt}`
}

/** The block of the chunk that byte `at` of the piece is in. */
function blockOf({ chunkAt }: ChunkRange, at: number): number {
  return Math.floor((at - chunkAt) / blockBytes)
}

/** Returns the part of `bytes` that lies in the range. `bytes` begin with block `block` of the chunk. */
function cut({ chunkAt, start, end }: ChunkRange, block: number, bytes: Buffer): Buffer {
  const at = chunkAt + block * blockBytes
  return bytes.subarray(Math.max(start - at, 0), Math.max(end - at, 0))
}

function chunkRanges(segment: Segment, offset: number, length: number): ChunkRange[] {
  const end = offset + length
  if (end > segment.length) throw new DfsError('corrupt', 'An extent goes beyond its segment')
  const ranges: ChunkRange[] = []
  for (const piece of pieceNumbers) {
    const { start: pieceAt, length: pieceLength } = pieceRange(segment.length, piece)
    let from = Math.max(offset - pieceAt, 0)
    const to = Math.min(end - pieceAt, pieceLength)
    while (from < to) {
      const chunkAt = from - (from % chunkBytes)
      const chunkEnd = Math.min(chunkAt + chunkBytes, to)
      const key = chunkKey(segment, piece, chunkAt)
      ranges.push({ key, segment, piece, pieceLength, chunkAt, start: from, end: chunkEnd })
      from = chunkEnd
    }
  }
  return ranges
}
