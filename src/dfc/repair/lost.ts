/**
 * Marks lost pieces: those of which all four servers, voting, have answered that they have no good copy. Servers keep
 * the marks, so that files are listed as incomplete and no repair searches for the pieces in vain. A mark is removed
 * when its piece is stored again. A server that is away or failed proves nothing.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { pieceRange, piecesIn, serverIndexes, wholeMask } from '../../wire/placement.js'
import { quorum } from '../../wire/quorum.js'
import type { Segment } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import type { SegmentReader } from '../content/segment-reader.js'
import { askEach, askOne } from './ask-voters.js'
import { type HeldSegment, heldMasks } from './held.js'

/** Returns the bits of the pieces that at least one server has marked as lost. */
export function markedByAny({ marks }: HeldSegment): number {
  return [...marks.values()].reduce((all, mark) => all | mark, 0)
}

/**
 * Returns the bits of the pieces that every voting server has marked as lost. A server on which a piece was stored
 * again has dropped its mark.
 */
export function knownLost({ marks }: HeldSegment): number {
  return marks.size === 0 ? 0 : [...marks.values()].reduce((all, mark) => all & mark)
}

/**
 * Whether pieces that could not be read are lost. The servers are asked once more: another repair may have moved a
 * piece from a server that was asked late to one that was asked before, and it moves a piece once only. Pieces of
 * content that was replaced or deleted meanwhile are not lost.
 */
export async function areLostForGood(
  { cluster, reader }: { readonly cluster: Cluster; readonly reader: SegmentReader },
  segment: Segment,
  pieces: number,
): Promise<boolean> {
  if (pieces === 0) return true
  for (const piece of piecesIn(pieces)) {
    const { start, length } = pieceRange(segment.length, piece)
    try {
      await reader.read(segment, start, length)
      return false
    } catch (error) {
      if (isError(error, 'incomplete')) return false
      if (!isError(error, 'corrupt', 'dataLost')) throw error
    }
  }
  const [now] = await heldMasks(cluster, [segment])
  const isSure =
    now !== undefined && now.masks.size === limits.serverCount && now.referredBy >= quorum.refer
  return isSure && !(await areReclaimed({ cluster, reader }, segment))
}

/**
 * Whether the servers had files of the missing pieces that their indexes did not know, as after the loss of an index.
 * No server has their checksums: they count only if the whole segment matches its digest with them.
 */
async function areReclaimed(
  { cluster, reader }: { readonly cluster: Cluster; readonly reader: SegmentReader },
  segment: Segment,
): Promise<boolean> {
  const found = await askEach(cluster, serverIndexes, 'reclaim', () => ({ segment, giveBack: 0 }))
  if (found.every(({ pieces }) => pieces === 0)) return false
  if (await hasItsDigest(reader, segment)) return true
  reader.forget(segment, 0, segment.length)
  for (const server of serverIndexes) {
    const giveBack = found[server]?.pieces ?? 0
    if (giveBack > 0) await askOne(cluster, server, 'reclaim', { segment, giveBack })
  }
  return false
}

async function hasItsDigest(reader: SegmentReader, segment: Segment): Promise<boolean> {
  const digest = createHash('md5')
  try {
    for (let offset = 0; offset < segment.length; offset += limits.framePayloadBytesMax) {
      const length = Math.min(limits.framePayloadBytesMax, segment.length - offset)
      for (const part of await reader.read(segment, offset, length)) digest.update(part)
    }
  } catch (error) {
    debugDfc('reclaimed pieces of %s: %o', segment.id, error)
    return false
  }
  return digest.digest('hex') === segment.md5
}

/** Collects the marks that servers lack or must drop, to be sent together. */
export class Marks {
  readonly #cluster: Cluster
  readonly #wanted = new Map<number, { segment: string; pieces: number }[]>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /**
   * Adds a segment of which exactly the pieces `lost` are to be marked. Adds nothing unless all four servers have
   * answered.
   */
  add({ segment, marks }: HeldSegment, lost: number): void {
    assert(
      (lost & ~wholeMask(segment.length)) === 0,
      'a piece is lost that the segment has not got',
    )
    if (marks.size < limits.serverCount) return
    for (const [server, mark] of marks) {
      if (mark === lost) continue
      const wanted = this.#wanted.get(server) ?? []
      this.#wanted.set(server, wanted)
      wanted.push({ segment: segment.id, pieces: lost })
    }
  }

  async store(): Promise<void> {
    for (const [server, marks] of this.#wanted) {
      for (let at = 0; at < marks.length; at += limits.segmentsPerRequestMax) {
        const some = marks.slice(at, at + limits.segmentsPerRequestMax)
        await askOne(this.#cluster, server, 'markLost', { marks: some })
      }
    }
  }
}
