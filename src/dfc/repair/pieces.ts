/**
 * Brings pieces where the placement says: what a server missed while it was away, what its neighbours
 * took for it meanwhile, what rotted. Servers say of which of their segments other pieces are there
 * than belong there, so the work is what is out of place and not what there is.
 */
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { matchesChecksums } from '../../wire/checksum.js'
import {
  holdersOf,
  maskOf,
  pairOf,
  pieceNumbers,
  pieceRange,
  piecesFor,
  rotationOf,
  serverIndexes,
  wholeMask,
} from '../../wire/placement.js'
import type { Segment } from '../../wire/records.js'
import type { Cluster } from '../cluster.js'
import { Lanes } from '../lanes.js'
import { preparePiece } from '../prepared-segment.js'
import type { SegmentReader } from '../segment-reader.js'
import type { SegmentWriter } from '../segment-writer.js'
import { askEach, askOne } from './ask-voters.js'

export interface PlacedPieces {
  /** Pieces copied to the server that should hold them. */
  readonly copied: number
  /** Extra copies removed. */
  readonly dropped: number
  /** Segments of which some piece is nowhere to be had. */
  readonly lost: readonly Segment[]
  /** Segments that could not be put right now: a server went away, or its disk is full. */
  readonly left: number
}

/** Whatever has the pieces and takes them. */
export interface PieceMover {
  readonly cluster: Cluster
  readonly reader: SegmentReader
  readonly writer: SegmentWriter
}

const lanesMax = 3

/** Segments of which some server in `servers` holds other pieces than belong there. */
export async function misplacedSegments(
  cluster: Cluster,
  servers: readonly number[],
): Promise<Segment[]> {
  const found = new Map<string, Segment>()
  for (const server of servers) {
    for (let after = '', more = true; more; ) {
      const page = await askOne(cluster, server, 'segments', {
        after,
        misplacedOnly: true,
        limit: limits.surveyEntriesAtOnce,
      })
      for (const { segment } of page.segments) found.set(segment.id, segment)
      after = page.segments.at(-1)?.segment.id ?? after
      more = page.more
    }
  }
  return [...found.values()]
}

/** Puts the pieces of `segments` in their places, a few segments at a time. */
export async function placePieces(
  mover: PieceMover,
  segments: readonly Segment[],
  progress: (done: number) => void,
): Promise<PlacedPieces> {
  const lost: Segment[] = []
  let copied = 0
  let dropped = 0
  let left = 0
  let done = 0
  const lanes = new Lanes(lanesMax)
  for (let at = 0; at < segments.length; at += limits.surveyEntriesAtOnce) {
    const some = segments.slice(at, at + limits.surveyEntriesAtOnce)
    for (const { segment, masks } of await heldMasks(mover.cluster, some)) {
      await lanes.start(async () => {
        try {
          const placed = await placeSegment(mover, segment, masks)
          copied += placed.copied
          dropped += placed.dropped
          // Only when all four could be asked is a piece that nobody has lost for good.
          const isWhole = masks.size === limits.serverCount
          const isSure = isWhole && mover.cluster.voters.length === masks.size
          if (placed.isMissing && isSure) lost.push(segment)
          else if (placed.isMissing) left += 1
        } catch (error) {
          debugDfc('repair of segment %s: %o', segment.id, error)
          left += 1
        }
        done += 1
        progress(done)
      })
    }
  }
  await lanes.finish()
  return { copied, dropped, lost, left }
}

/**
 * One segment: first the copies that are missing, those of a server that is away on its neighbours;
 * then, with all four there, the ones too many. When a piece is nowhere to be had (`isMissing`) the
 * others still get their second copies, and nothing is dropped.
 */
async function placeSegment(
  mover: PieceMover,
  segment: Segment,
  masks: ReadonlyMap<number, number>,
): Promise<{ copied: number; dropped: number; isMissing: boolean }> {
  const { cluster } = mover
  const whole = wholeMask(segment.length)
  const rotation = rotationOf(segment.md5)
  const absent = new Set(serverIndexes.filter((server) => !masks.has(server)))
  let copied = 0
  let dropped = 0
  let isMissing = false
  for (const [server, held] of masks) {
    const missing = maskOf(piecesFor(server, rotation, absent)) & whole & ~held
    for (const piece of pieceNumbers) {
      if ((missing & (1 << (piece - 1))) === 0) continue
      try {
        await copyPiece(mover, segment, piece, server)
        copied += 1
      } catch (error) {
        if (!isError(error, 'incomplete', 'corrupt')) throw error
        debugDfc('piece %d of segment %s: %o', piece, segment.id, error)
        isMissing = true
      }
    }
  }
  if (absent.size > 0 || isMissing) return { copied, dropped, isMissing }
  for (const [server, held] of masks) {
    const extra = held & ~maskOf(pairOf(server, rotation))
    if (extra === 0) continue
    for (const piece of pieceNumbers) {
      if ((extra & (1 << (piece - 1))) === 0) continue
      await assertHome(mover, segment, piece)
      dropped += 1
    }
    await askOne(cluster, server, 'dropPieces', { segment: segment.id, pieces: extra })
  }
  return { copied, dropped, isMissing }
}

/** Before an extra copy goes, those that stay must be good: a rotten one is replaced first. */
async function assertHome(mover: PieceMover, segment: Segment, piece: number): Promise<void> {
  for (const server of holdersOf(piece, rotationOf(segment.md5))) {
    await replacePiece(mover, segment, piece, server)
  }
}

/** A server's own copy of a piece, checked. Throws `corrupt` or `noPiece` when it is not good. */
export async function readCopy(
  cluster: Cluster,
  segment: Segment,
  piece: number,
  server: number,
): Promise<Buffer[]> {
  const { length } = pieceRange(segment.length, piece)
  const parts: Buffer[] = []
  for (let offset = 0; offset < length; offset += limits.framePayloadBytesMax) {
    const rest = Math.min(limits.framePayloadBytesMax, length - offset)
    const { reply, payload, release } = await cluster.request(server, 'getPiece', {
      segment: segment.id,
      piece,
      offset,
      length: rest,
    })
    const isWhole = reply.pieceLength === length && payload.length === rest
    const isGood = isWhole && matchesChecksums(payload, reply.checksums)
    if (isGood) parts.push(release === undefined ? payload : Buffer.from(payload))
    release?.()
    if (!isGood) throw new DfsError('corrupt')
  }
  return parts
}

/** Reads a piece from whoever has it, checked, and gives it to `server`. */
async function copyPiece(
  { reader, writer }: PieceMover,
  segment: Segment,
  piece: number,
  server: number,
): Promise<void> {
  const { start, length } = pieceRange(segment.length, piece)
  const parts = await reader.read(segment, start, length)
  await writer.putPiece(segment, preparePiece(piece, parts), server)
}

/**
 * Replaces a copy that has rotted, or is gone, by a good one; false when it is good by now. The server
 * keeps what it has until the good one is there, and whoever else replaces it puts the same in its
 * place: so nothing is given up that may be the only one. Throws `corrupt` when there is none.
 */
export async function replacePiece(
  mover: PieceMover,
  segment: Segment,
  piece: number,
  server: number,
): Promise<boolean> {
  if (await isGoodCopy(mover.cluster, segment, piece, server)) return false
  const { start, length } = pieceRange(segment.length, piece)
  const parts = await mover.reader.read(segment, start, length)
  await mover.writer.putPiece(segment, preparePiece(piece, parts), server)
  return true
}

async function isGoodCopy(
  cluster: Cluster,
  segment: Segment,
  piece: number,
  server: number,
): Promise<boolean> {
  try {
    await readCopy(cluster, segment, piece, server)
    return true
  } catch (error) {
    if (isError(error, 'corrupt', 'noPiece')) return false
    throw error
  }
}

export interface HeldSegment {
  readonly segment: Segment
  readonly masks: ReadonlyMap<number, number>
}

/** For each segment, which pieces of it every server that votes holds. */
export async function heldMasks(
  cluster: Cluster,
  segments: readonly Segment[],
): Promise<HeldSegment[]> {
  const servers = cluster.voters
  const found: HeldSegment[] = []
  for (let from = 0; from < segments.length; from += limits.segmentsPerRequestMax) {
    const some = segments.slice(from, from + limits.segmentsPerRequestMax)
    const ids = some.map(({ id }) => id)
    const replies = await askEach(cluster, servers, 'held', () => ({ segments: ids }))
    for (const [at, segment] of some.entries()) {
      const masks = new Map(
        servers.map((server, index) => [server, replies[index]?.held[at]?.pieces ?? 0]),
      )
      found.push({ segment, masks })
    }
  }
  return found
}
