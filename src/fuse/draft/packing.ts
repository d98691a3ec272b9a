/**
 * Chooses the ranges of a file to store at a commit: the written ones, and, if the file would have too many extents,
 * small ones around them. Pure.
 *
 *   stored    |------ 1 ------|- 2 -|- 3 -|   hole   |- 4 -|
 *   written            |w|
 *   result    |---1----|w, rest of 1, 2, 3|   hole   |- 4 -|   neighbours are merged, never across a hole
 *
 * Extents are merged by size, the smallest first, so that n appends rewrite O(n log n) bytes. Scattered data of many
 * small segments moves into one segment, and stays scattered. Only when a commit has no room for that many islands of
 * data are holes stored, the smallest first, until there is room for some more.
 */

import assert from 'node:assert/strict'
import type { Content } from '../../dfc/content/content.js'
import { dataSlices, overlay, type Run, slicesOfRuns } from '../../dfc/content/extents.js'
import { limits } from '../../limits.js'
import { contentBytes } from '../../wire/records.js'
import { join, type Range } from './dirty-ranges.js'

interface Piece extends Range {
  /** Whether the bytes are stored anew, because they were written or belong to a worn segment. */
  readonly moves: boolean
}

const smallestBytes = 4096
/** Longest range in bytes that is stored again for the sake of fewer extents before there are too many. */
const cheapBytes = 64 * 1024
/** Bytes that segments may take beyond the bound for the file's size. */
const spareBytes = 4 * 1024 * 1024
/** Most bytes of worn segments that one commit stores again. */
const movedBytesMax = limits.segmentBytesMax
/** Small segments of one size class, each class 16 times the one before, that are merged into one. */
const crowd = 16
/** Segments that a file may have beside two for each 32 MiB. */
const segmentsSpare = 64
/** Fraction of the allowed extents to keep after exceeding it. */
const fewEnough = 0.75
/** Factor within which the least number of bytes to store again is found. */
const precision = 1.05

/** Bounds of the content in one commit. */
export interface Room {
  readonly segments: number
  readonly extents: number
  /** Bytes for segments and extents together. */
  readonly bytes: number
}

const roomOfCommit: Room = {
  segments: limits.segmentsMax,
  extents: limits.extentsMax,
  bytes: limits.contentValueBytesMax,
}
/** Share of the room that content takes after holes were stored to make it fit. */
const roomTaken = 15 / 16
/** Number of steps in which everything would become one range. */
const steps = 32
/** Most bytes that a range adds to the register: itself and a half of what it cuts, in either form. */
const rangeBytesMax = 2 * 20

/**
 * Returns the ranges to store for the written ranges `dirty`, which are ordered and do not touch. The result covers
 * them and is ordered, too.
 */
export function rangesToStore(
  content: Content,
  dirty: readonly Range[],
  room: Room = roomOfCommit,
): readonly Range[] {
  assert(areApart(dirty), 'written ranges are ordered and do not touch')
  const ranges = rangesByCost(content, dirty)
  const fitting = surelyFits(content, ranges, room) ? ranges : rangesThatFit(content, ranges, room)
  assert(covers(fitting, dirty), 'something that was written would not be stored')
  return fitting
}

function areApart(ranges: readonly Range[]): boolean {
  return ranges.every(({ at, end }, index) => at < end && (ranges[index - 1]?.end ?? -1) < at)
}

/** Whether each of `dirty` lies within one of `ranges`. Both are ordered. */
function covers(ranges: readonly Range[], dirty: readonly Range[]): boolean {
  let index = 0
  return dirty.every(({ at, end }) => {
    while ((ranges[index]?.end ?? end) < end) index += 1
    return (ranges[index]?.at ?? end) <= at
  })
}

/** A cheap test, which usually succeeds, that a commit has room for what results. */
function surelyFits(content: Content, ranges: readonly Range[], room: Room): boolean {
  const { segments, extents } = content
  const added = segmentsOf(ranges).length
  return (
    segments.length + added <= room.segments &&
    extents.length + 2 * ranges.length + added <= room.extents &&
    contentBytes(content) + ranges.length * rangeBytesMax + added * 64 <= room.bytes
  )
}

function fits(content: Content, room: Room, part = 1): boolean {
  const { segments, extents } = content
  return (
    segments.length <= room.segments * part &&
    extents.length <= room.extents * part &&
    contentBytes(content) <= room.bytes * part
  )
}

/** Joins neighbours of `ranges` where that stores the fewest bytes, until a commit has room for what results. */
function rangesThatFit(content: Content, ranges: readonly Range[], room: Room): readonly Range[] {
  if (fits(contentAfter(content, ranges), room)) return ranges
  const pieces = piecesOf(content, ranges)
  const order = cheapestFirst(pieces)
  const joining = new Set<number>()
  let found = ranges
  for (const index of order) {
    joining.add(index)
    if (joining.size % Math.ceil(order.length / steps) !== 0) continue
    found = rangesOf(groupNeighbours(pieces, (second) => joining.has(second)))
    if (fits(contentAfter(content, found), room, roomTaken)) return found
  }
  return rangesOf(groupNeighbours(pieces, () => true))
}

/** Indexes of all pieces but the first, ordered by the bytes to store for joining each to the one before it. */
function cheapestFirst(pieces: readonly Piece[]): readonly number[] {
  const ownBytes = ({ at, end, moves }: Piece): number => (moves ? 0 : end - at)
  const costs = pieces.map((piece, index) => {
    const before = pieces[index - 1]
    return before ? ownBytes(before) + piece.at - before.end + ownBytes(piece) : 0
  })
  const order = [...pieces.keys()].slice(1)
  return order.sort((a, b) => (costs[a] ?? 0) - (costs[b] ?? 0))
}

/** Groups of consecutive pieces, in which each piece joins the one before it. */
function groupNeighbours(pieces: readonly Piece[], joins: (index: number) => boolean): Piece[][] {
  const groups: Piece[][] = []
  for (const [index, piece] of pieces.entries()) {
    const last = groups.at(-1)
    if (last !== undefined && joins(index)) last.push(piece)
    else groups.push([piece])
  }
  return groups
}

/** The content of a file after `ranges` are stored. */
function contentAfter(content: Content, ranges: readonly Range[]): Content {
  const added = segmentsOf(ranges).flatMap((runs, index) => {
    const length = runs.reduce((sum, run) => sum + run.length, 0)
    return slicesOfRuns({ id: `new ${index}`, length, md5: '' }, runs)
  })
  return overlay(content, added)
}

function rangesByCost(content: Content, dirty: readonly Range[]): readonly Range[] {
  const size = Math.max(content.size, dirty.at(-1)?.end ?? 0)
  const wanted = extentsWanted(size)
  const worn = new Set([...wornSegments(content), ...crowdedSegments(content)])
  // A range adds one extent, and cuts at most one in two.
  if (worn.size === 0 && content.extents.length + 2 * dirty.length <= wanted) return dirty
  const pieces = piecesOf(content, dirty, worn)
  // Extents that holes separate cannot be merged.
  const apart = Math.max(0, join(pieces).length - 1)
  if (pieces.length - apart > wanted) {
    for (let small = smallestBytes; small <= cheapBytes; small *= 2) {
      const groups = groupSmall(pieces, small)
      if (countAfter(groups) - apart <= wanted / 2) return rangesOf(groups)
    }
  }
  const allowed = extentsAllowed(size)
  const isMany = pieces.length - apart > allowed
  return rangesOf(isMany ? groupFew(pieces, apart + allowed * fewEnough) : groupSmall(pieces, 0))
}

/**
 * Numbers of worn segments: if all segments take much more than the file, those with the smallest share in use. That
 * share is stored again, so that they can go, up to `movedBytesMax`.
 */
function wornSegments({ size, segments, extents }: Content): ReadonlySet<number> {
  const worn = new Set<number>()
  const total = segments.reduce((sum, { length }) => sum + length, 0)
  let spare = total - limits.segmentBytesOfSize * size - spareBytes
  if (spare <= 0) return worn
  const used = segments.map(() => 0)
  for (const { segment, length } of extents) used[segment] = (used[segment] ?? 0) + length
  const rated = segments.map(({ length }, number) => ({ number, length, left: used[number] ?? 0 }))
  rated.sort((a, b) => a.left / a.length - b.left / b.length)
  let moved = 0
  for (const { number, length, left } of rated) {
    moved += left
    if (spare <= 0 || moved > movedBytesMax) break
    worn.add(number)
    spare -= length - left
  }
  return worn
}

/**
 * Numbers of the segments of the smallest size class that has too many. Their used bytes move into one segment, so
 * that each byte moves once for each class.
 */
function crowdedSegments({ segments, extents }: Content): readonly number[] {
  const used = segments.map(() => 0)
  let total = 0
  for (const { segment, length } of extents) {
    used[segment] = (used[segment] ?? 0) + length
    total += length
  }
  const allowed = segmentsSpare + 2 * Math.ceil(total / limits.segmentBytesMax)
  if (segments.length <= allowed) return []
  const order = used.map((left, number) => ({ left, number })).sort((a, b) => a.left - b.left)
  for (let bound = smallestBytes * crowd; bound < limits.segmentBytesMax; bound *= crowd) {
    const least = bound === smallestBytes * crowd ? 0 : bound / crowd
    const small = order.filter(({ left }) => left >= least && left < bound)
    if (small.length < crowd) continue
    let moved = 0
    return small
      .filter(({ left }, index) => {
        moved += left
        return index < 2 || moved <= movedBytesMax
      })
      .map(({ number }) => number)
  }
  return []
}

/** Groups pieces into about `count` groups at most, in the way that stores the fewest bytes again. */
function groupFew(pieces: readonly Piece[], count: number): Piece[][] {
  let tooSmall = smallestBytes
  let small = limits.segmentBytesMax
  while (small > tooSmall * precision) {
    const middle = Math.sqrt(small * tooSmall)
    if (countAfter(groupSmall(pieces, middle)) <= count) small = middle
    else tooSmall = middle
  }
  return groupSmall(pieces, small)
}

function rangesOf(groups: readonly (readonly Piece[])[]): Range[] {
  return groups
    .filter((group) => group.some(({ moves }) => moves) || group.length > 1)
    .map((group) => ({ at: group[0]?.at ?? 0, end: group.at(-1)?.end ?? 0 }))
}

/** Cuts ranges into groups that each fill a segment, in order. */
export function segmentsOf(ranges: readonly Range[]): Run[][] {
  const segments: Run[][] = []
  let room = 0
  for (const { at, end } of ranges) {
    for (let from = at; from < end; ) {
      if (room === 0) {
        segments.push([])
        room = limits.segmentBytesMax
      }
      const length = Math.min(end - from, room)
      segments.at(-1)?.push({ at: from, length })
      from += length
      room -= length
    }
  }
  return segments
}

/** Extents of a file of this size above which those that cost little are merged. */
function extentsWanted(size: number): number {
  if (size <= limits.inlineContentBytesMax) return limits.extentsMergeAtSmall
  const segments = Math.max(1, Math.ceil(size / limits.segmentBytesMax))
  return limits.extentsMergeAt * segments
}

/**
 * Extents of a file of this size above which they are merged at any cost. Merging scattered writes stores a part of
 * the whole file each time, and every extent a part of each commit: a bound that grows with the root of the size
 * keeps both small.
 */
export function extentsAllowed(size: number): number {
  const atMost = limits.extentsOfMiB * Math.sqrt(size / (1024 * 1024))
  return Math.max(extentsWanted(size), Math.floor(atMost))
}

/** The future content in order: stored ranges and written ones. */
function piecesOf(
  content: Content,
  dirty: readonly Range[],
  worn: ReadonlySet<number> = new Set(),
): Piece[] {
  const wornIds = new Set([...worn].map((number) => content.segments[number]?.id))
  const pieces: Piece[] = []
  let from = 0
  const keep = (end: number): void => {
    for (const { at, length, segment } of dataSlices(content, from, Math.max(0, end - from))) {
      pieces.push({ at, end: at + length, moves: wornIds.has(segment.id) })
    }
  }
  for (const range of dirty) {
    keep(range.at)
    pieces.push({ ...range, moves: true })
    from = range.end
  }
  keep(content.size)
  return pieces
}

/** Groups of touching pieces that are small or stored anyway. */
function groupSmall(pieces: readonly Piece[], small: number): Piece[][] {
  const groups: Piece[][] = []
  let open = false
  for (const piece of pieces) {
    const joins = piece.moves || piece.end - piece.at <= small
    const last = groups.at(-1)
    const gap = piece.at - (last?.at(-1)?.end ?? Number.NEGATIVE_INFINITY)
    if (open && joins && last !== undefined && gap <= 0) last.push(piece)
    else groups.push([piece])
    open = joins
  }
  return groups
}

function countAfter(groups: readonly (readonly Piece[])[]): number {
  let count = 0
  for (const group of groups) {
    const bytes = (group.at(-1)?.end ?? 0) - (group[0]?.at ?? 0)
    count += Math.ceil(bytes / limits.segmentBytesMax)
  }
  return count
}

/** The ranges of data in `content` and `dirty`, joined. */
export function dataRanges(content: Content, dirty: readonly Range[]): Range[] {
  return join(piecesOf(content, dirty))
}
