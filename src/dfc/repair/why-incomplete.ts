/** Says why a file cannot be read in full now: which pieces are missing, which bytes those are, and where they belong. */
import { limits } from '../../limits.js'
import {
  holdersOf,
  isReadableFrom,
  pieceRange,
  piecesIn,
  rotationOf,
  wholeMask,
} from '../../wire/placement.js'
import type { Inode } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import { type HeldSegment, heldMasks } from './held.js'
import { markedByAny } from './lost.js'

/** Returns a sentence for each piece that cannot be read now, none for a whole file. Throws the failure of a server. */
export async function whyIncomplete(cluster: Cluster, inode: Inode): Promise<string[]> {
  const sentences: string[] = []
  let more = 0
  for (const [at, held] of (await heldMasks(cluster, inode.segments, cluster.up)).entries()) {
    const lost = markedByAny(held)
    for (const piece of piecesIn(missingOf(held) | lost)) {
      if (sentences.length >= limits.missingPiecesShownMax) more += 1
      else sentences.push(sentenceOf(cluster, inode, at, held, piece, (lost >> (piece - 1)) & 1))
    }
  }
  return more === 0 ? sentences : [...sentences, `... and ${more} more pieces`]
}

/** Bits of the pieces that no server which is up holds. */
function missingOf({ segment, masks }: HeldSegment): number {
  const all = [...masks.values()]
  if (isReadableFrom(segment, all)) return 0
  return wholeMask(segment.length) & ~all.reduce((sum, mask) => sum | mask, 0)
}

function sentenceOf(
  cluster: Cluster,
  inode: Inode,
  segmentAt: number,
  { segment }: HeldSegment,
  piece: number,
  isLost: number,
): string {
  const what = `piece P${piece} of segment ${segmentAt + 1}${bytesText(inode, segmentAt, piece)}`
  if (isLost !== 0) return `${what} is lost for good: no server has a good copy`
  const homes = holdersOf(piece, rotationOf(segment.md5))
    .toSorted()
    .map((server) => {
      const { name, isUp, failure } = cluster.link(server)
      return isUp ? `${name} lacks it` : `${name} is down (${failure?.message ?? 'not connected'})`
    })
  return `${what} cannot be read now: ${homes.join(', ')}`
}

/** The bytes of the file, from the first to the last one, that lie in a piece. */
function bytesText(inode: Inode, segmentAt: number, piece: number): string {
  const { start, length } = pieceRange(inode.segments[segmentAt]?.length ?? 0, piece)
  let from = Number.POSITIVE_INFINITY
  let to = 0
  for (const extent of inode.extents) {
    if (extent.segment !== segmentAt) continue
    const first = Math.max(start, extent.offset)
    const end = Math.min(start + length, extent.offset + extent.length)
    if (first >= end) continue
    from = Math.min(from, extent.at + first - extent.offset)
    to = Math.max(to, extent.at + end - extent.offset)
  }
  return to === 0 ? '' : ` (bytes ${from} to ${to - 1} of the file)`
}
