/**
 * Arithmetic on a file's content: a list of extents, each a slice of a segment, ordered and without
 * overlap, with holes of zeros between them. Every function is pure and returns content in its
 * shortest form: neighbours that continue each other are one extent, and segments that nothing refers
 * to are gone. Positions and lengths are in bytes; all cost is linear in the number of extents.
 */
import assert from 'node:assert/strict'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Extent, Segment } from '../../wire/records.js'
import { type Content, emptyContent } from './content.js'

/** The bytes `at` .. `at + length` of a file are those from `offset` on in a segment. */
export interface DataSlice {
  readonly kind: 'data'
  readonly at: number
  readonly length: number
  readonly segment: Segment
  readonly offset: number
}

/** The bytes `at` .. `at + length` of a file are zeros. */
export interface HoleSlice {
  readonly kind: 'hole'
  readonly at: number
  readonly length: number
}

export type Slice = DataSlice | HoleSlice

/** A range of a file, in bytes. */
export interface Run {
  readonly at: number
  readonly length: number
}

/** The slices that make up `length` bytes from `at` on, in order and without gaps, up to the end of the file. */
export function slices(content: Content, at: number, length: number): Slice[] {
  const end = Math.min(at + length, content.size)
  const found: Slice[] = []
  let from = at
  for (let index = firstBehind(content.extents, at); from < end; index += 1) {
    const extent = content.extents[index]
    const dataAt = Math.min(extent?.at ?? end, end)
    if (from < dataAt) {
      found.push({ kind: 'hole', at: from, length: dataAt - from })
      from = dataAt
    }
    if (extent === undefined || from === end) continue
    const to = Math.min(extent.at + extent.length, end)
    found.push(dataOf(content, extent, from, to))
    from = to
  }
  return found
}

/** The slices of data alone that `slices` would return. */
export function dataSlices(content: Content, at = 0, length = content.size): DataSlice[] {
  return slices(content, at, length).filter((slice) => slice.kind === 'data')
}

/** The content that a segment written as a whole at `at` makes. */
export function wholeSlice(segment: Segment, at = 0): DataSlice {
  return { kind: 'data', at, length: segment.length, segment, offset: 0 }
}

/** A segment that consists of `runs`, one behind the other, as slices of the file. */
export function slicesOfRuns(segment: Segment, runs: readonly Run[]): DataSlice[] {
  let offset = 0
  const made = runs.map(({ at, length }): DataSlice => {
    const slice: DataSlice = { kind: 'data', at, length, segment, offset }
    offset += length
    return slice
  })
  assert(offset === segment.length, 'the runs are not the segment')
  return made
}

/**
 * `content` with `added` (ordered, without overlap) in place of what was there; the file grows to hold
 * them. Throws `tooLarge`.
 */
export function overlay(content: Content, added: readonly DataSlice[]): Content {
  const last = added.at(-1)
  if (last === undefined) return content
  return build(Math.max(content.size, endOf(last)), merge(without(content, added), added))
}

/** `content` with zeros in a range, of which only the part within the file counts. */
export function punch(content: Content, at: number, length: number): Content {
  if (length === 0) return content
  return build(content.size, without(content, [{ at, length }]))
}

/** `content` cut off at `size`, or lengthened to it with zeros. Throws `tooLarge`. */
export function truncate(content: Content, size: number): Content {
  return build(size, dataSlices(content, 0, size))
}

/**
 * `target` with `length` bytes from `at` on replaced by those of `source` from `from` on, data and
 * holes, without moving a byte. The range must lie within `source`.
 */
export function copyRange(
  source: Content,
  from: number,
  length: number,
  target: Content,
  at: number,
): Content {
  assert(from + length <= source.size, 'the range goes beyond the source')
  if (length === 0) return target
  const added = dataSlices(source, from, length).map((slice) => ({
    ...slice,
    at: slice.at - from + at,
  }))
  const kept = without(target, [{ at, length }])
  return build(Math.max(target.size, at + length), merge(kept, added))
}

/**
 * Builds content of `size` bytes from `data`, ordered and without overlap: joins neighbours that continue each other
 * and numbers the segments in the order of their first use. Throws `tooLarge`. The number of extents and segments is
 * not bounded here; src/fuse/draft/packing.ts keeps it within the limits of a commit.
 */
export function build(size: number, data: Iterable<DataSlice>): Content {
  if (size > limits.fileBytesMax) throw new DfsError('tooLarge')
  const segments: Segment[] = []
  const extents: Extent[] = []
  const numbers = new Map<string, number>()
  for (const { at, length, segment, offset } of data) {
    const last = extents.at(-1)
    assert(
      length > 0 && at >= (last ? endOf(last) : 0),
      'data must be ordered, apart and not empty',
    )
    assert(at + length <= size, 'data beyond the end of the file')
    const number = numbers.get(segment.id) ?? segments.length
    if (last?.segment === number && continues(last, at, offset)) {
      extents[extents.length - 1] = { ...last, length: last.length + length }
      continue
    }
    if (number === segments.length) {
      segments.push(segment)
      numbers.set(segment.id, number)
    }
    extents.push({ at, segment: number, offset, length })
  }
  return size === 0 ? emptyContent : { size, segments, extents }
}

/** Asserts that the extents are ordered, apart, within the file and its segments, and none is empty. */
export function assertContent({ size, segments, extents }: Content): void {
  let end = 0
  for (const extent of extents) {
    const { at, length, segment, offset } = extent
    assert(length > 0 && at >= end, 'extents must be ordered, apart and not empty')
    assert(offset >= 0 && offset + length <= (segments[segment]?.length ?? 0), 'beyond a segment')
    end = endOf(extent)
  }
  assert(end <= size, 'an extent beyond the end of the file')
}

function continues(last: Extent, at: number, offset: number): boolean {
  return last.at + last.length === at && last.offset + last.length === offset
}

function endOf({ at, length }: Run): number {
  return at + length
}

/** The index of the first extent that ends behind `at`. */
function firstBehind(extents: readonly Extent[], at: number): number {
  let low = 0
  let high = extents.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const extent = extents[middle]
    if (extent !== undefined && endOf(extent) <= at) low = middle + 1
    else high = middle
  }
  return low
}

/** The part of `extent` that is the file's bytes `from` .. `to`. */
function dataOf(content: Content, extent: Extent, from: number, to: number): DataSlice {
  const segment = content.segments[extent.segment]
  if (segment === undefined) throw new DfsError('corrupt', 'An extent refers to no segment')
  const offset = extent.offset + from - extent.at
  return { kind: 'data', at: from, length: to - from, segment, offset }
}

/** The data of `content` outside `runs`, which are ordered and do not overlap. */
function without(content: Content, runs: readonly Run[]): DataSlice[] {
  const kept: DataSlice[] = []
  let from = 0
  for (const run of runs) {
    assert(run.at >= from && run.length > 0, 'runs must be ordered, apart and not empty')
    for (const slice of dataSlices(content, from, run.at - from)) kept.push(slice)
    from = endOf(run)
  }
  for (const slice of dataSlices(content, from, Math.max(content.size - from, 0))) kept.push(slice)
  return kept
}

/** Merges two ordered lists. */
function* merge(a: readonly DataSlice[], b: readonly DataSlice[]): Iterable<DataSlice> {
  let next = 0
  for (const slice of a) {
    for (let other = b[next]; other !== undefined && other.at < slice.at; other = b[next]) {
      yield other
      next += 1
    }
    yield slice
  }
  yield* b.slice(next)
}
