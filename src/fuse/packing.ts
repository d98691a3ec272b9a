/**
 * Decides which ranges of a file are stored when it is committed: what was written, and, when the
 * file would come to consist of too many extents, the small ones around it as well. Extents are merged
 * by size, smallest first, so that appending n times rewrites O(n log n) bytes; and what is far apart
 * only where it has become very many. Pure.
 */
import { dataSlices, type Run } from '../dfc/extents.js'
import type { Content } from '../dfc/node.js'
import { limits } from '../limits.js'
import { join, type Range } from './dirty-ranges.js'

interface Piece extends Range {
  readonly isDirty: boolean
}

const smallestBytes = 4096
/** What is up to this long is stored again for the sake of fewer extents before there are too many. */
const cheapBytes = 64 * 1024
/** How near the least bytes that have to be stored again are found. */
const precision = 1.05

/** `dirty` is ordered and its ranges do not touch; the result covers it and is ordered, too. */
export function rangesToStore(content: Content, dirty: readonly Range[]): readonly Range[] {
  const size = Math.max(content.size, dirty.at(-1)?.end ?? 0)
  const wanted = extentsWanted(size)
  // A range is one more, and cuts at most one in two.
  if (content.extents.length + 2 * dirty.length <= wanted) return dirty
  const pieces = piecesOf(content, dirty)
  if (pieces.length <= wanted) return dirty
  for (let small = smallestBytes; small <= cheapBytes; small *= 2) {
    const groups = groupSmall(pieces, small)
    if (countAfter(groups) <= wanted / 2) return rangesOf(groups)
  }
  const allowed = extentsAllowed(size)
  return pieces.length <= allowed ? dirty : rangesOf(groupFew(pieces, allowed / 2))
}

/** At most about so many groups, which store as little again as that takes. */
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
    .filter((group) => group.some(({ isDirty }) => isDirty) || group.length > 1)
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

/** How many extents a file of this size may have before those are merged that cost little to merge. */
function extentsWanted(size: number): number {
  if (size <= limits.inlineContentBytesMax) return limits.extentsMergeAtSmall
  const segments = Math.max(1, Math.ceil(size / limits.segmentBytesMax))
  return Math.min(limits.extentsMax, limits.extentsMergeAt * segments)
}

/**
 * How many it may have at all. To merge what was written here and there takes a part of the whole file
 * each time, and every extent a part of each commit: the root keeps both small.
 */
export function extentsAllowed(size: number): number {
  const atMost = limits.extentsOfMiB * Math.sqrt(size / (1024 * 1024))
  return Math.min(limits.extentsMax, Math.max(extentsWanted(size), Math.floor(atMost)))
}

/** The content as it will be: what is stored and stays, and what was written, in order. */
function piecesOf(content: Content, dirty: readonly Range[]): Piece[] {
  const pieces: Piece[] = []
  let from = 0
  const keep = (end: number): void => {
    for (const { at, length } of dataSlices(content, from, Math.max(0, end - from))) {
      pieces.push({ at, end: at + length, isDirty: false })
    }
  }
  for (const range of dirty) {
    keep(range.at)
    pieces.push({ ...range, isDirty: true })
    from = range.end
  }
  keep(content.size)
  return pieces
}

/** Neighbours that are small or written anyway, with no more than a small gap between them. */
function groupSmall(pieces: readonly Piece[], small: number): Piece[][] {
  const groups: Piece[][] = []
  let open = false
  for (const piece of pieces) {
    const joins = piece.isDirty || piece.end - piece.at <= small
    const last = groups.at(-1)
    const gap = piece.at - (last?.at(-1)?.end ?? Number.NEGATIVE_INFINITY)
    if (open && joins && last !== undefined && gap <= small) last.push(piece)
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

/** The ranges of `content` that hold data and those of `dirty`, joined. */
export function dataRanges(content: Content, dirty: readonly Range[]): Range[] {
  return join(piecesOf(content, dirty))
}
