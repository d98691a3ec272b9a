/**
 * A segment ready to be stored: named, digested, cut into its four pieces with the checksums that
 * travel and rest with them. Nothing is copied: the pieces are views of the caller's bytes, which
 * must not change until the segment is stored.
 */
import assert from 'node:assert/strict'
import { createHash, hash } from 'node:crypto'
import type { Random } from '../../clock.js'
import { limits } from '../../limits.js'
import { lengthOfBuffers, sliceBuffers } from '../../memory/buffer-list.js'
import { BlockChecksums } from '../../wire/checksum.js'
import type { InlinePiece } from '../../wire/messages.js'
import { pieceNumbers, pieceRange, piecesFor, rotationOf, spareOf } from '../../wire/placement.js'
import type { Segment } from '../../wire/records.js'
import type { Digested } from './digests.js'
import { newSegmentId } from './segment-ids.js'

export interface PreparedPiece {
  /** 1 .. 4 */
  readonly piece: number
  /** In bytes, at least 1. */
  readonly length: number
  readonly parts: readonly Buffer[]
  /** CRC-32 of each 64 KiB block of the piece. */
  readonly checksums: readonly number[]
}

export interface PreparedSegment {
  readonly segment: Segment
  /** MD5 mod 4. */
  readonly rotation: number
  /** The pieces that are not empty, by their number. */
  readonly pieces: readonly PreparedPiece[]
}

/** The part of a commit for one server that holds content: headers, and the payload in their order. */
export interface InlineContent {
  readonly headers: InlinePiece[]
  readonly payload: Buffer[]
}

/**
 * `content` is 1 .. segmentBytesMax bytes. `digested` spares the digest when it was made while the
 * bytes arrived, and the checksums where the blocks of the pieces are those of the content.
 */
export function prepare(
  content: Buffer | readonly Buffer[],
  random: Random,
  digested?: Digested,
): PreparedSegment {
  const parts = Buffer.isBuffer(content) ? [content] : content
  const length = lengthOfBuffers(parts)
  assert(length > 0 && length <= limits.segmentBytesMax, `a segment of ${length} bytes`)
  const segment = {
    id: newSegmentId(random),
    length,
    md5: digested?.md5 ?? md5Of(parts),
  }
  return preparedAs(segment, parts, digested)
}

/** A segment that has its name and digest, from its bytes. */
export function preparedAs(
  segment: Segment,
  parts: readonly Buffer[],
  digested?: Digested,
): PreparedSegment {
  const { length } = segment
  const pieces = pieceNumbers
    .map((piece) => {
      const { start, length: pieceLength } = pieceRange(length, piece)
      const checksums = checksumsWithin(digested, length, start, pieceLength)
      return preparePiece(piece, sliceBuffers(parts, start, pieceLength), checksums)
    })
    .filter((piece) => piece.length > 0)
  assert(pieces.reduce((sum, piece) => sum + piece.length, 0) === length, 'pieces make the segment')
  return { segment, rotation: rotationOf(segment.md5), pieces }
}

/** A piece from its bytes, and from its checksums if they are known. */
export function preparePiece(
  piece: number,
  parts: readonly Buffer[],
  checksums: readonly number[] = checksumsOfParts(parts),
): PreparedPiece {
  const length = lengthOfBuffers(parts)
  assert(checksums.length === Math.ceil(length / limits.blockBytes), 'a checksum for each block')
  return { piece, length, parts, checksums }
}

/** Returns the checksums of a piece, if each of its blocks is a block of the content. */
function checksumsWithin(
  digested: Digested | undefined,
  contentLength: number,
  start: number,
  length: number,
): readonly number[] | undefined {
  const { blockBytes, pieceCount } = limits
  if (contentLength % (blockBytes * pieceCount) !== 0) return undefined
  return digested?.checksums?.slice(start / blockBytes, (start + length) / blockBytes)
}

/**
 * The pieces of new segments that `server` receives with their commit, while the servers in `absent` receive none. With all four
 * present each gets a spare piece besides its pair: a transaction whose client dies may be committed by two votes and
 * the unknown vote of a third server, and any two servers must then have every piece. With one absent, the pieces
 * that its neighbours receive in its place do the same. If the absent one comes back before the decision and votes as
 * well, it receives all four pieces, since it is not known which other server voted.
 */
export function inlineContent(
  contents: readonly PreparedSegment[],
  server: number,
  absent: ReadonlySet<number>,
): InlineContent {
  const headers: InlinePiece[] = []
  const payload: Buffer[] = []
  for (const content of contents) {
    for (const { piece, length, checksums, parts } of piecesWithVote(content, server, absent)) {
      headers.push({ segment: content.segment.id, piece, length, checksums })
      payload.push(...parts)
    }
  }
  return { headers, payload }
}

function piecesWithVote(
  { rotation, pieces }: PreparedSegment,
  server: number,
  absent: ReadonlySet<number>,
): readonly PreparedPiece[] {
  const taken = new Set<number>(
    absent.has(server) ? pieceNumbers : piecesFor(server, rotation, absent),
  )
  if (absent.size === 0) taken.add(spareOf(server, rotation))
  return pieces.filter(({ piece }) => taken.has(piece))
}

/** Returns a prepared segment with bytes of its own. For small content. */
export function ownCopy(prepared: PreparedSegment): PreparedSegment {
  const pieces = prepared.pieces.map((piece) => ({ ...piece, parts: [Buffer.concat(piece.parts)] }))
  return { ...prepared, pieces }
}

function md5Of(parts: readonly Buffer[]): string {
  const [first, second] = parts
  if (first !== undefined && second === undefined) return hash('md5', first, 'hex')
  const digest = createHash('md5')
  for (const part of parts) digest.update(part)
  return digest.digest('hex')
}

/** Computes `checksumsOf` of the concatenation of `parts`, without concatenating. */
function checksumsOfParts(parts: readonly Buffer[]): number[] {
  const checksums = new BlockChecksums()
  for (const part of parts) checksums.add(part)
  return checksums.finish()
}
