/** SEEK_DATA and SEEK_HOLE of lseek(2). Pure. */
import { DfsError } from '../../errors.js'
import type { Handle } from './open-file.js'

/** The data of a file: its size, and the ranges that have bytes, in order. */
interface DataRanges {
  readonly size: number
  readonly ranges: readonly { readonly at: number; readonly end: number }[]
}

/** Finds where the next data or the next hole begins, from `at` on. Throws `noSuchOffset`. */
export function seek(handle: Handle, at: number, wanted: 'data' | 'hole'): number {
  const { size, ranges } = dataOf(handle)
  if (at >= size || at < 0) throw new DfsError('noSuchOffset')
  for (const { at: from, end } of ranges) {
    if (end <= at) continue
    if (wanted === 'data') return Math.max(at, from)
    if (from > at) return at
    at = end
  }
  if (wanted === 'hole') return Math.min(at, size)
  throw new DfsError('noSuchOffset')
}

function dataOf({ pinned, file: { draft, content } }: Handle): DataRanges {
  if (pinned === undefined && draft !== undefined) return { size: draft.size, ranges: draft.data }
  const { size, extents } = pinned ?? content
  return { size, ranges: extents.map(({ at, length }) => ({ at, end: at + length })) }
}
