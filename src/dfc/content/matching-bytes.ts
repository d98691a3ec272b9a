/**
 * Compares a copy of a file with its content: what is a whole segment by its MD5, so that nothing is fetched, a hole by
 * being zero, and the rest, if that is wanted, by fetching it.
 */
import { createHash } from 'node:crypto'
import { limits } from '../../limits.js'
import type { Content } from './content.js'
import { type Slice, slices } from './extents.js'

export interface MatchingOptions {
  /** Yields the bytes of the copy in a range, fewer where the copy ends. */
  readonly readCopy: (at: number, length: number) => AsyncIterable<Buffer>
  /** Yields the bytes of a range of the copy that are not in holes of it: the others are zeros. */
  readonly readData: (at: number, length: number) => AsyncIterable<Buffer>
  /** Fetches a range of the content. Without it, what only fetching could compare does not match. */
  readonly fetch?: (at: number, length: number) => Promise<Buffer>
}

/** How many bytes at the beginning of the copy, of which `available` are there, are those of the content. */
export async function matchingBytes(
  content: Content,
  available: number,
  options: MatchingOptions,
): Promise<number> {
  for (const slice of slices(content, 0, content.size)) {
    const end = slice.at + slice.length
    if (end > available || !(await matches(slice, options))) return slice.at
  }
  return content.size
}

async function matches(
  slice: Slice,
  { readCopy, readData, fetch }: MatchingOptions,
): Promise<boolean> {
  const { at, length } = slice
  if (slice.kind === 'hole') {
    for await (const bytes of readData(at, length)) if (!isZero(bytes)) return false
    return true
  }
  if (slice.offset === 0 && length === slice.segment.length) {
    const digest = createHash('md5')
    for await (const bytes of readCopy(at, length)) digest.update(bytes)
    return digest.digest('hex') === slice.segment.md5
  }
  if (fetch === undefined) return false
  for (let from = at; from < at + length; from += limits.framePayloadBytesMax) {
    const count = Math.min(limits.framePayloadBytesMax, at + length - from)
    const copy: Buffer[] = []
    for await (const bytes of readCopy(from, count)) copy.push(bytes)
    if (!Buffer.concat(copy).equals(await fetch(from, count))) return false
  }
  return true
}

const noBytes = Buffer.alloc(limits.blockBytes)

function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += noBytes.length) {
    const part = bytes.subarray(at, at + noBytes.length)
    if (!part.equals(noBytes.subarray(0, part.length))) return false
  }
  return true
}
