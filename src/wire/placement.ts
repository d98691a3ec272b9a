/**
 * Which server holds which piece of a segment: pure arithmetic. Servers are 0..3 in the order of the
 * config, pieces 1..4, and the rotation 0..3 is the segment's MD5 mod 4. Every piece is on two
 * neighbouring servers, and empty pieces are nowhere.
 */
import { limits } from '../limits.js'
import type { Segment } from './records.js'

const { serverCount, pieceCount } = limits

export const pieceNumbers: readonly number[] = [1, 2, 3, 4]
export const serverIndexes: readonly number[] = [0, 1, 2, 3]

const nobody: ReadonlySet<number> = new Set()

/** A slice of a segment, in bytes. */
export interface PieceRange {
  readonly start: number
  readonly length: number
}

/** Computes the rotation from a digest of 32 hexadecimal digits: one big-endian number, mod 4. */
export function rotationOf(md5: string): number {
  return Number.parseInt(md5.slice(-1), 16) % serverCount
}

/** The pair of pieces that `server` holds. */
export function pairOf(server: number, rotation: number): readonly [number, number] {
  return [modulo(server - rotation) + 1, modulo(server - rotation + 1) + 1]
}

/** The two servers that hold `piece`: the one that has it first in its pair, and the one that has it second. */
export function holdersOf(piece: number, rotation: number): readonly [number, number] {
  return [modulo(piece - 1 + rotation), modulo(piece - 2 + rotation)]
}

/** Range of `piece` in a segment of `length` bytes. The first `length mod 4` pieces are a byte longer. */
export function pieceRange(length: number, piece: number): PieceRange {
  const short = Math.floor(length / pieceCount)
  const longer = length % pieceCount
  const before = piece - 1
  return {
    start: before * short + Math.min(before, longer),
    length: before < longer ? short + 1 : short,
  }
}

/**
 * The pieces that `server` takes while the servers in `absent` cannot: its pair and, when exactly one other is
 * absent, the one of that server's pieces that a neighbour must take so that every piece is still on two servers.
 * With several absent there is no such place, and each server takes its pair alone.
 */
export function piecesFor(
  server: number,
  rotation: number,
  absent: ReadonlySet<number> = nobody,
): readonly number[] {
  if (absent.has(server)) return []
  const pair = pairOf(server, rotation)
  const [gone] = absent
  if (gone === undefined || absent.size > 1) return pair
  const [first, second] = pairOf(gone, rotation)
  if (server === modulo(gone + 1)) return [...pair, first]
  if (server === modulo(gone - 1)) return [...pair, second]
  return pair
}

/**
 * The spare piece that `server` takes with a vote besides its pair: the next one. Each server then lacks another
 * piece, so any two that voted have all of the content between them.
 */
export function spareOf(server: number, rotation: number): number {
  return modulo(server - rotation + 2) + 1
}

/** Bit mask with 1 << (piece - 1) set for every piece in `pieces`. */
export function maskOf(pieces: readonly number[]): number {
  return pieces.reduce((mask, piece) => mask | (1 << (piece - 1)), 0)
}

/** The pieces whose bits are set in `mask`. */
export function piecesIn(mask: number): readonly number[] {
  return pieceNumbers.filter((piece) => (mask & (1 << (piece - 1))) !== 0)
}

/** Bit mask of the pieces of a segment of `length` bytes that are not empty. */
export function wholeMask(length: number): number {
  return (1 << Math.min(length, pieceCount)) - 1
}

/** Bit mask of the pieces that belong on `server`, of a segment of `length` bytes with this digest. */
export function homeMask(server: number, length: number, md5: string): number {
  return maskOf(pairOf(server, rotationOf(md5))) & wholeMask(length)
}

/** Whether every piece of every segment is on one of these servers, if each holds its pair. */
export function coversEverything(up: ReadonlySet<number>): boolean {
  return serverIndexes.every((server) => up.has(server) || up.has(modulo(server + 1)))
}

/**
 * Whether the servers have every byte of the segment between them. `held` has a bit mask of the pieces that each
 * reports.
 */
export function isReadableFrom(segment: Segment, held: readonly number[]): boolean {
  const whole = wholeMask(segment.length)
  return (held.reduce((all, mask) => all | mask, 0) & whole) === whole
}

function modulo(number: number): number {
  return ((number % serverCount) + serverCount) % serverCount
}
