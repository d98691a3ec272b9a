/** Where the data of a local file is, and where its holes are. */
import type { BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { systemCalls } from './system-calls.js'

/** A range of a file, in bytes. */
export interface LocalRange {
  readonly at: number
  readonly length: number
}

/** The unit of `blocks` of stat(2), in bytes. */
const blockBytes = 512n
/** A shorter hole, in bytes, counts as data: it saves less than it costs. */
const holeBytesMin = 64 * 1024
/** Most holes of a file. In a large file more of the shorter ones count as data. */
const holesMax = 16_384

/** About how many bytes of a file are no holes; 0 for what is not a file. */
export function dataBytesOf(info: BigIntStats): number {
  const allocated = info.blocks * blockBytes
  if (!info.isFile()) return 0
  return Number(allocated < info.size ? allocated : info.size)
}

/** Yields the ranges of an open file, or of `within` in it, that are not holes, in order. */
export async function* dataIn(
  file: FileHandle,
  { size: bigSize, blocks }: BigIntStats,
  within: LocalRange = { at: 0, length: Number(bigSize) },
): AsyncGenerator<LocalRange> {
  const to = within.at + within.length
  if (within.length === 0) return
  if (blocks * blockBytes >= bigSize) {
    yield within
    return
  }
  const { seekData, seekHole } = await systemCalls()
  const least = Math.max(holeBytesMin, Math.ceil(Number(bigSize) / holesMax))
  let begin = within.at
  let end = within.at
  while (end < to) {
    const data = seekData(file.fd, end)
    // Behind the last data there is a hole up to the end, and where holes are not known all is data.
    const next = data < 0 ? (data === noData ? to : end) : Math.min(data, to)
    if (next - end >= least) {
      if (end > begin) yield { at: begin, length: end - begin }
      begin = next
    }
    if (next === to) {
      // A short hole at the end is written.
      if (to > begin) yield { at: begin, length: to - begin }
      return
    }
    const hole = data < 0 ? to : seekHole(file.fd, next)
    end = hole <= next ? to : Math.min(hole, to)
  }
  if (end > begin) yield { at: begin, length: end - begin }
}

/** The negative number of ENXIO. */
const noData = -6
