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
/** Then another prefix, so that the files of pieces are not all in one of a server's folders. */
const seriesLength = 1024
const current = new WeakMap<Random, Series>()

/** 16 bytes as hexadecimal digits: what begins alike, a number of 4 bytes, and 4 random ones. */
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
