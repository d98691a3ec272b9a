/**
 * Checks that the four servers have the same registers and exactly the pieces that the placement requires, every
 * piece against its checksums and every segment against its MD5, and that the registers make a tree. Changes nothing;
 * corrupt copies are reported to the caller.
 */
import { createHash } from 'node:crypto'
import { TaskPool } from '../../async/task-pool.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { holdersOf, homeMask, pieceNumbers, rotationOf } from '../../wire/placement.js'
import { beforeKeys, type Segment } from '../../wire/records.js'
import { noVersion } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { askEach } from './ask-voters.js'
import { type Claims, claimsOf } from './claims.js'
import type { LostPiece } from './damage.js'
import { differences } from './differences.js'
import { bitsOf } from './missing.js'
import { readCopy } from './pieces.js'
import { segmentsOn } from './segments-on.js'
import { shownRegisters } from './shown-registers.js'
import { type Flaw, Tree } from './tree.js'

export interface VerifyReport {
  /** Registers of which a server has another value, none, or a corrupt one. */
  readonly differences: number
  /** Registers that are corrupt on the disk of a server. */
  readonly rotten: number
  readonly undecided: number
  readonly segments: number
  readonly pieceBytes: number
  /** Copies that should be on a server and are not known there. */
  readonly missing: number
  /** Copies of referred segments on servers where the placement has none. */
  readonly extra: number
  /** Copies of segments that no register refers to, which wait to be collected. */
  readonly garbage: number
  /** Files of pieces that the index of the server does not know. */
  readonly strays: number
  /** Copies that do not match their checksums, or whose file is gone. */
  readonly bad: number
  /** Segments whose pieces match their checksums, but which do not match their digest. */
  readonly mismatched: readonly Segment[]
  /** Pieces that have no good copy anywhere. */
  readonly lost: readonly LostPiece[]
  /** Registers, times and epochs that one server alone claims. */
  readonly claims: Claims
  /** Faults of names, folders and files, which no program of this project makes. */
  readonly flaws: readonly Flaw[]
}

export interface VerifyEvents {
  progress(done: number, bytes: number): void
  badCopy(server: number, segment: Segment, piece: number): void
}

const lanesMax = 2

interface Known {
  segment: Segment
  referred: boolean
  readonly masks: Map<number, number>
}

/** Verifies all four servers. Throws `down` unless all are up, and the failure of a server. */
export async function verify(cluster: Cluster, events: VerifyEvents): Promise<VerifyReport> {
  const servers = cluster.voters
  if (servers.length < limits.serverCount) {
    throw new DfsError('down', 'verify compares all four servers, and not all of them are up')
  }
  const statuses = await askEach(cluster, servers, 'status', () => ({}))
  const found = await differences(cluster, servers, noVersion)
  // The comparison has made every server read all of its registers.
  const rotten = await askEach(cluster, servers, 'rotten', () => ({ limit: limits.readKeysMax }))
  const tree = await treeOn(cluster, servers[0] ?? 0)
  const nowhere = tree.segments()
  const counts = { segments: 0, pieceBytes: 0, missing: 0, extra: 0, garbage: 0, bad: 0 }
  const mismatched: Segment[] = []
  const lost: LostPiece[] = []
  const lanes = new TaskPool(lanesMax)
  let failure: unknown
  for await (const known of allSegments(cluster, servers)) {
    if (failure !== undefined) break
    if ([...known.masks.values()].some((mask) => mask !== 0)) nowhere.delete(known.segment.id)
    countPlaces(known, servers, counts)
    if (!known.referred) continue
    await lanes.start(async () => {
      try {
        const checked = await checkSegment(cluster, known, events)
        counts.segments += 1
        counts.pieceBytes += checked.bytes
        counts.bad += checked.bad
        lost.push(...checked.lost)
        if (checked.lost.length === 0 && !checked.isMatch) mismatched.push(known.segment)
        events.progress(counts.segments, counts.pieceBytes)
      } catch (error) {
        failure ??= error
      }
    })
  }
  await lanes.finish()
  if (failure !== undefined) throw failure
  const strays = await askEach(cluster, servers, 'strays', () => ({ remove: false }))
  return {
    ...counts,
    differences: new Set(found.map(({ key }) => key)).size,
    rotten: rotten.reduce((sum, { keys }) => sum + keys.length, 0),
    strays: strays.reduce((sum, reply) => sum + reply.found, 0),
    undecided: statuses.reduce((most, status) => Math.max(most, status.undecided), 0),
    mismatched,
    lost,
    claims: await claimsOf(cluster, servers, found),
    flaws: await confirmed(tree.flaws(nowhere), nowhere, () => treeOn(cluster, servers[1] ?? 0)),
  }
}

/** The tree as the registers of one server make it. */
async function treeOn(cluster: Cluster, server: number): Promise<Tree> {
  const tree = new Tree()
  const from = { version: noVersion, key: beforeKeys }
  for await (const { item } of shownRegisters(cluster, [server], from, { withValues: true })) {
    tree.take(item)
  }
  return tree
}

/**
 * Those of the flaws that another server shows as well. What is only half read while it changes, what one server has
 * missed, and what one server makes up, is no flaw.
 */
async function confirmed(
  flaws: readonly Flaw[],
  nowhere: ReadonlySet<string>,
  readAgain: () => Promise<Tree>,
): Promise<readonly Flaw[]> {
  if (flaws.length === 0) return flaws
  const again = new Set((await readAgain()).flaws(nowhere).map(({ id }) => id))
  return flaws.filter(({ id }) => again.has(id))
}

function countPlaces(
  { segment, referred, masks }: Known,
  servers: readonly number[],
  counts: { missing: number; extra: number; garbage: number },
): void {
  for (const server of servers) {
    const held = masks.get(server) ?? 0
    const placed = referred ? homeMask(server, segment.length, segment.md5) : 0
    counts.missing += bitsOf(placed & ~held)
    if (referred) counts.extra += bitsOf(held & ~placed)
    else counts.garbage += bitsOf(held)
  }
}

/** Reads and checks every copy of every piece; the first good one of each goes into the digest. */
async function checkSegment(
  cluster: Cluster,
  { segment, masks }: Known,
  events: VerifyEvents,
): Promise<{ bytes: number; bad: number; lost: LostPiece[]; isMatch: boolean }> {
  const hash = createHash('md5')
  const rotation = rotationOf(segment.md5)
  let bytes = 0
  let bad = 0
  const lost: LostPiece[] = []
  for (const piece of pieceNumbers.slice(0, Math.min(segment.length, limits.pieceCount))) {
    let isHashed = false
    const homes = holdersOf(piece, rotation)
    const others = [...masks.keys()].filter((server) => !homes.includes(server))
    for (const server of [...homes, ...others]) {
      if (((masks.get(server) ?? 0) & (1 << (piece - 1))) === 0) continue
      try {
        const parts = await readCopy(cluster, segment, piece, server)
        for (const part of parts) {
          bytes += part.length
          if (!isHashed) hash.update(part)
        }
        isHashed = true
      } catch (error) {
        if (!isError(error, 'corrupt', 'noPiece')) throw error
        bad += 1
        events.badCopy(server, segment, piece)
      }
    }
    if (!isHashed) lost.push({ segment, piece })
  }
  return { bytes, bad, lost, isMatch: hash.digest('hex') === segment.md5 }
}

/** Yields the segments of all servers by their ids, each with the pieces that each server holds. */
async function* allSegments(cluster: Cluster, servers: readonly number[]): AsyncIterable<Known> {
  const lists = servers.map((server) => segmentsKnownTo(cluster, server))
  const heads = await Promise.all(lists.map((list) => list.next()))
  for (;;) {
    const known = heads.flatMap(({ value }) => (value ? [value] : []))
    const least = known.map(({ segment }) => segment.id).sort()[0]
    if (least === undefined) return
    yield known
      .filter(({ segment }) => segment.id === least)
      .reduce((all, one) => ({
        segment: one.referred ? one.segment : all.segment,
        referred: all.referred || one.referred,
        masks: new Map([...all.masks, ...one.masks]),
      }))
    for (const [at, list] of lists.entries()) {
      if (heads[at]?.value?.segment.id === least) heads[at] = await list.next()
    }
  }
}

async function* segmentsKnownTo(
  cluster: Cluster,
  server: number,
): AsyncGenerator<Known, void, void> {
  for await (const { segment, referred, pieces } of segmentsOn(cluster, server, false)) {
    yield { segment, referred, masks: new Map([[server, pieces]]) }
  }
}
