/**
 * Marks lost pieces: those of which all four servers, voting, have answered that they have no good copy. Servers
 * remember the marks, so that files are listed as incomplete and no repair looks for the pieces in vain. A mark goes
 * when its piece turns up again. A server that is away or failed proves nothing.
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

/** The bits of the pieces that some server has marked as lost. */
export function markedByAny({ marks }: HeldSegment): number {
  return [...marks.values()].reduce((all, mark) => all | mark, 0)
}

/**
 * The bits of those that every server which votes has marked. Where a piece came back to one of them,
 * that server's mark is gone.
 */
export function knownLost({ marks }: HeldSegment): number {
  return marks.size === 0 ? 0 : [...marks.values()].reduce((all, mark) => all & mark)
}

/**
 * Whether pieces that could not be had are lost. They are looked for once more: another repair may have
 * moved one from a server that was asked late to one that was asked before, and it moves no second time.
 * Content that was given up meanwhile is not lost.
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
 * Whether the servers had files of the missing pieces which their indexes did not know, as after the loss of
 * an index. Nobody has their checksums: they count only if the segment has its digest with them.
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

/** Marks that servers do not have as they should be, collected to be sent together. */
export class Marks {
  readonly #cluster: Cluster
  readonly #wanted = new Map<number, { segment: string; pieces: number }[]>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** `lost`: the bits of the pieces to be marked, no others. Only all four servers can say that. */
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
