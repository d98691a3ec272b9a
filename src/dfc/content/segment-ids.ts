/**
 * Names for new segments. They are unique because most of each is random, and those that are made one
 * after the other begin alike and count up: in the indexes of the servers, which are ordered by them,
 * they are neighbours, so that many new ones change few pages.
 */
import type { Random } from '../../clock.js'

interface Series {
  readonly prefix: string
  count: number
}

const prefixBytes = 8
const suffixBytes = 4
/**
 * Number of ids with one prefix. Then another prefix is drawn, so that a server's files of pieces are spread over its
 * folders.
 */
const seriesLength = 1024
const current = new WeakMap<Random, Series>()

/** Returns 16 bytes as hexadecimal digits: a common prefix, a counter of 4 bytes, and 4 random ones. */
export function newSegmentId(random: Random): string {
  let series = current.get(random)
  if (series === undefined || series.count === seriesLength) {
    series = { prefix: random.bytes(prefixBytes).toString('hex'), count: 0 }
    current.set(random, series)
  }
  const number = series.count.toString(16).padStart(8, '0')
  series.count += 1
  return series.prefix + number + random.bytes(suffixBytes).toString('hex')
}
