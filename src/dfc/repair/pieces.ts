/**
 * Brings pieces where the placement says: what a server missed while it was away, what its neighbours
 * took for it meanwhile, what rotted. Servers say of which of their segments other pieces are there
 * than belong there, so the work is what is out of place and not what there is.
 */

import assert from 'node:assert/strict'
import { TaskPool } from '../../async/task-pool.js'
import { asDfsError, DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { matchesChecksums } from '../../wire/checksum.js'
import {
  holdersOf,
  maskOf,
  pairOf,
  pieceRange,
  piecesFor,
  piecesIn,
  rotationOf,
  serverIndexes,
  wholeMask,
} from '../../wire/placement.js'
import type { Segment } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import { preparePiece } from '../content/prepared-segment.js'
import type { SegmentReader } from '../content/segment-reader.js'
import type { SegmentWriter } from '../content/segment-writer.js'
import { askOne } from './ask-voters.js'
import type { LostPiece } from './damage.js'
import { type HeldSegment, heldMasks } from './held.js'
import { areLostForGood, knownLost, Marks, markedByAny } from './lost.js'
import { segmentsOn } from './segments-on.js'

export interface PlacedPieces {
  /** Pieces copied to the server that should hold them. */
  readonly copied: number
  /** Extra copies removed. */
  readonly dropped: number
  /** Pieces that are lost for good. */
  readonly lost: readonly LostPiece[]
  /** Those of them of which nobody knew that before. */
  readonly newlyLost: readonly LostPiece[]
  /** Segments that could not be put right now: a server went away, or its disk is full. */
  readonly left: number
  /** Reason for the first of them. */
  readonly failure: DfsError | undefined
}

/** Whatever has the pieces and takes them. */
export interface PieceMover {
  readonly cluster: Cluster
  readonly reader: SegmentReader
  readonly writer: SegmentWriter
}

export interface HowPlaced {
  /** By segment: pieces of which some copy was found to be bad. */
  readonly suspects?: ReadonlyMap<string, number>
  /** Looks also for what all servers have marked as lost. */
  readonly thorough?: boolean
  readonly progress?: (done: number) => void
}

const lanesMax = 3

/** Segments of which some server in `servers` holds other pieces than belong there, or has marked one as lost. */
export async function misplacedSegments(
  cluster: Cluster,
  servers: readonly number[],
): Promise<Segment[]> {
  const found = new Map<string, Segment>()
  for (const server of servers) {
    for await (const { segment } of segmentsOn(cluster, server, true)) {
      found.set(segment.id, segment)
    }
  }
  return [...found.values()]
}

/** Puts the pieces of `segments` in their places, a few segments at a time. */
export async function placePieces(
  mover: PieceMover,
  segments: readonly Segment[],
  { suspects = new Map(), thorough = false, progress = () => {} }: HowPlaced = {},
): Promise<PlacedPieces> {
  const lost: LostPiece[] = []
  const newlyLost: LostPiece[] = []
  let copied = 0
  let dropped = 0
  let left = 0
  let done = 0
  let failure: DfsError | undefined
  const lanes = new TaskPool(lanesMax)
  for (let at = 0; at < segments.length; at += limits.surveyEntriesMax) {
    const some = segments.slice(at, at + limits.surveyEntriesMax)
    const marks = new Marks(mover.cluster)
    for (const one of await heldMasks(mover.cluster, some)) {
      const { segment } = one
      await lanes.start(async () => {
        try {
          const placed = await placeOrFind(mover, one, suspects.get(segment.id) ?? 0, thorough)
          copied += placed.copied
          dropped += placed.dropped
          const { lostNow } = placed
          if (placed.isUnsure) left += 1
          failure ??= placed.failure
          const named = (mask: number): LostPiece[] =>
            piecesIn(mask).map((piece) => ({ segment, piece }))
          lost.push(...named(lostNow))
          newlyLost.push(...named(lostNow & ~markedByAny(one)))
          marks.add(placed.seen, lostNow)
        } catch (error) {
          debugDfc('repair of segment %s: %o', segment.id, error)
          failure ??= asDfsError(error)
          left += 1
        }
        done += 1
        progress(done)
      })
    }
    await lanes.finish()
    await marks.store()
  }
  return { copied, dropped, lost, newlyLost, left, failure }
}

interface PlacedSegment {
  readonly copied: number
  readonly dropped: number
  /** Pieces that are to be marked as lost. */
  readonly lostNow: number
  /** Not everything is in its place, or known to be lost. */
  readonly isUnsure: boolean
  /** The last answer of the servers about what they hold. */
  readonly seen: HeldSegment
  /** Reason why a piece is not in its place. */
  readonly failure: DfsError | undefined
}

/** Puts the pieces of one segment in their places, also those that turn up while they are looked for. */
async function placeOrFind(
  mover: PieceMover,
  one: HeldSegment,
  suspects: number,
  thorough: boolean,
): Promise<PlacedSegment> {
  let seen = one
  let copied = 0
  let dropped = 0
  for (let turn = 1; ; turn += 1) {
    const unsettled = suspects | (thorough ? markedByAny(seen) : 0)
    const settled = knownLost(seen) & ~unsettled
    const placed = await placeSegment(mover, seen, settled, unsettled)
    copied += placed.copied
    dropped += placed.dropped
    // What all have marked may be on a disk again, though in no index.
    const isLost = await areLostForGood(mover, seen.segment, placed.lost & ~settled)
    const isUnsure = placed.failure !== undefined || !isLost
    if (turn === 1 && !isLost) {
      const [again = seen] = await heldMasks(mover.cluster, [seen.segment])
      seen = again
      continue
    }
    // What is not sure now takes no mark away.
    const lostNow = (isLost ? placed.lost : 0) | (isUnsure ? markedByAny(seen) : 0)
    return { copied, dropped, lostNow, isUnsure, seen, failure: placed.failure }
  }
}

/**
 * One segment: first the copies that are missing, those of a server that is away on its neighbours;
 * then, with all four there, the ones too many. When a piece cannot be had or stored now (`failure`), or
 * is nowhere as all four say (`lost`), the others still get their second copies, and nothing is dropped. Nobody
 * looks for those in `known`, which are lost; the copies of those in `unsettled` are looked at as well.
 */
async function placeSegment(
  mover: PieceMover,
  one: HeldSegment,
  known: number,
  unsettled: number,
): Promise<{ copied: number; dropped: number; failure: DfsError | undefined; lost: number }> {
  const { cluster } = mover
  const { segment, masks } = one
  const whole = wholeMask(segment.length)
  const rotation = rotationOf(segment.md5)
  const absent = new Set(serverIndexes.filter((server) => !masks.has(server)))
  let copied = 0
  let dropped = 0
  let failure: DfsError | undefined
  let lost = known
  const doubtful = (markedByAny(one) | unsettled) & whole
  for (const [server, held] of masks) {
    const missing = maskOf(piecesFor(server, rotation, absent)) & whole & ~held
    const suspected = maskOf(pairOf(server, rotation)) & held & doubtful
    for (const piece of piecesIn(missing | suspected)) {
      if ((lost & maskOf([piece])) !== 0) continue
      try {
        const isHeld = (held & maskOf([piece])) !== 0
        if (!isHeld) await copyPiece(mover, segment, piece, server)
        const isGood = isHeld && (await replacePiece(mover, segment, piece, server)) === 'good'
        if (!isGood) copied += 1
      } catch (error) {
        debugDfc('piece %d of segment %s: %o', piece, segment.id, error)
        if (isError(error, 'corrupt', 'dataLost')) lost |= maskOf([piece])
        else failure ??= asDfsError(error)
      }
    }
  }
  if (absent.size > 0 || failure !== undefined || lost !== 0)
    return { copied, dropped, failure, lost }
  assert(masks.size === limits.serverCount, 'nothing is dropped while a server is away')
  for (const [server, held] of masks) {
    const extra = held & ~maskOf(pairOf(server, rotation))
    if (extra === 0) continue
    assert(piecesIn(extra).every((piece) => !holdersOf(piece, rotation).includes(server)))
    for (const piece of piecesIn(extra)) {
      await assertHome(mover, segment, piece)
      dropped += 1
    }
    await askOne(cluster, server, 'dropPieces', { segment: segment.id, pieces: extra })
  }
  return { copied, dropped, failure, lost }
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

/** How a server has a piece: rotted or cut short is corrupt. */
export type CopyState = 'good' | 'missing' | 'corrupt'

/**
 * Replaces a copy that has rotted, or is gone, by a good one. Returns how it was. The server keeps what it has until the
 * good one is there, and whoever else replaces it puts the same in its place: so nothing is given up that may be the
 * only one. Throws `corrupt` when there is none.
 */
export async function replacePiece(
  mover: PieceMover,
  segment: Segment,
  piece: number,
  server: number,
): Promise<CopyState> {
  const state = await stateOfCopy(mover.cluster, segment, piece, server)
  if (state === 'good') return state
  const { start, length } = pieceRange(segment.length, piece)
  const parts = await mover.reader.read(segment, start, length)
  await mover.writer.putPiece(segment, preparePiece(piece, parts), server)
  return state
}

async function stateOfCopy(
  cluster: Cluster,
  segment: Segment,
  piece: number,
  server: number,
): Promise<CopyState> {
  try {
    await readCopy(cluster, segment, piece, server)
    return 'good'
  } catch (error) {
    if (isError(error, 'noPiece')) return 'missing'
    if (isError(error, 'corrupt')) return 'corrupt'
    throw error
  }
}
