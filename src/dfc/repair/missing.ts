/**
 * Finds what the servers lack, from their own answers: the work of a repair, or the rest of it while one runs. What
 * is being stored while clients work is missing in one look and there in the next.
 */
import { sleep } from '../../clock.js'
import { limits } from '../../limits.js'
import { homeMask, piecesIn, serverIndexes } from '../../wire/placement.js'
import { noVersion, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { askEach } from './ask-voters.js'
import { differences } from './differences.js'
import { heldMasks } from './held.js'
import { misplacedSegments } from './pieces.js'
import { shownRecords } from './shown-records.js'

export interface Missing {
  registers: number
  pieces: number
}

export interface Lack {
  /** For each server that votes. */
  readonly missing: ReadonlyMap<number, Missing>
  /** Segments of which other pieces are on some server than belong there. */
  readonly misplaced: number
  /** Segments of which a piece is lost for good. */
  readonly lost: number
  /** Changes that somebody began and nobody has decided. */
  readonly undecided: number
  /** Registers and pieces that were missing in an earlier look and are there now, and the time between, in ms. */
  readonly copied: { readonly count: number; readonly ms: number }
}

/** One look: names of what is not as it should be, to be compared with those of another look. */
interface Look {
  /** When it began, on the monotonic clock. */
  readonly atMs: number
  /** For each server the registers, with their versions, and the pieces that it lacks. */
  readonly registers: ReadonlyMap<number, Set<string>>
  readonly pieces: ReadonlyMap<number, Set<string>>
  readonly misplaced: Set<string>
  readonly lost: Set<string>
  readonly undecided: Set<string>
  /** How many registers fewer than another each server has, where none is known to be missing. */
  readonly behind: string | undefined
}

/** Throws what a server failed with. */
export async function lackOf(cluster: Cluster): Promise<Lack> {
  const first = await look(cluster)
  if (isNothing(first)) return common(first, first)
  const second = await lookAgain(cluster)
  const areAsFarBehind = first.behind !== undefined && first.behind === second.behind
  if (!areAsFarBehind) return common(first, second)
  // While clients work these numbers change: so something old is missing, and all is compared.
  const third = await lookAgain(cluster, noVersion)
  return common(third, await lookAgain(cluster, noVersion))
}

async function lookAgain(cluster: Cluster, from?: Version): Promise<Look> {
  await sleep(cluster.clock, 2 * limits.undecidedPatienceMs)
  return look(cluster, from)
}

/** Compares the registers that are newer than `from`, or else all that the servers have not agreed on for good. */
async function look(cluster: Cluster, from?: Version): Promise<Look> {
  const atMs = cluster.clock.monotonic()
  const servers = cluster.voters
  const registers = new Map(servers.map((server) => [server, new Set<string>()]))
  const pieces = new Map(servers.map((server) => [server, new Set<string>()]))
  const statuses = await askEach(cluster, servers, 'status', () => ({}))
  const floors = statuses.map(({ floor }) => floor)
  const floor = floors.reduce((a, b) => (a < b ? a : b), floors[0] ?? noVersion)
  for (const difference of await differences(cluster, servers, from ?? floor)) {
    const { key, version, holders, isLone } = difference
    // It may be made up: `dfc verify` names it.
    if (isLone) continue
    for (const server of servers) {
      if (!holders.includes(server)) registers.get(server)?.add(`${version} ${key}`)
    }
  }
  const rotten = await askEach(cluster, servers, 'rotten', () => ({ limit: limits.readKeysMax }))
  for (const [at, { keys }] of rotten.entries()) {
    for (const key of keys) registers.get(servers[at] ?? 0)?.add(`rotten ${key}`)
  }
  const misplaced = new Set<string>()
  const lost = new Set<string>()
  const found = await misplacedSegments(cluster, servers)
  for (const { segment, masks, marks } of await heldMasks(cluster, found)) {
    const lostMask = [...marks.values()].reduce((all, mark) => all | mark, 0)
    if (lostMask !== 0) lost.add(segment.id)
    for (const [server, held] of masks) {
      const home = homeMask(server, segment.length, segment.md5)
      if (held !== home && lostMask === 0) misplaced.add(segment.id)
      for (const piece of piecesIn(home & ~held & ~lostMask)) {
        pieces.get(server)?.add(`${segment.id} ${piece}`)
      }
    }
  }
  const undecided = new Set<string>()
  if (statuses.some((status) => status.undecided > 0)) {
    for await (const { item } of shownRecords(cluster, servers, { undecidedOnly: true })) {
      undecided.add(item.id)
    }
  }
  const counts = statuses.map((status) => status.registers)
  const most = Math.max(...counts)
  const isEven = counts.every((count) => count === most)
  const isNoneMissing = [...registers.values()].every(({ size }) => size === 0)
  const behind =
    isEven || !isNoneMissing ? undefined : counts.map((count) => most - count).join(' ')
  return { atMs, registers, pieces, misplaced, lost, undecided, behind }
}

function isNothing({ registers, pieces, misplaced, lost, undecided, behind }: Look): boolean {
  const sets = [...registers.values(), ...pieces.values(), misplaced, lost, undecided]
  return behind === undefined && sets.every(({ size }) => size === 0)
}

/** The part of the lack that both looks have found. */
function common(first: Look, second: Look): Lack {
  const both = (one: ReadonlySet<string> = new Set(), other: ReadonlySet<string> = new Set()) =>
    [...other].filter((name) => one.has(name)).length
  const missing = new Map<number, Missing>()
  for (const server of serverIndexes) {
    const now = second.registers.get(server)
    if (now === undefined) continue
    missing.set(server, {
      registers: both(first.registers.get(server), now),
      pieces: both(first.pieces.get(server), second.pieces.get(server)),
    })
  }
  const before = missingIn(first)
  return {
    missing,
    copied: { count: before - countOf(missing), ms: second.atMs - first.atMs },
    misplaced: both(first.misplaced, second.misplaced),
    lost: both(first.lost, second.lost),
    undecided: both(first.undecided, second.undecided),
  }
}

function missingIn({ registers, pieces }: Look): number {
  return [...registers.values(), ...pieces.values()].reduce((sum, { size }) => sum + size, 0)
}

/** Registers and pieces that all servers lack together. */
export function countOf(missing: Lack['missing']): number {
  return [...missing.values()].reduce((sum, one) => sum + one.registers + one.pieces, 0)
}

export function bitsOf(mask: number): number {
  return piecesIn(mask).length
}
