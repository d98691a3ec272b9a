/**
 * One repair from end to end: fills servers that do not vote, finishes what was left undecided, copies
 * the registers and then the pieces that a server lacks, and sweeps. Everything is found by asking the
 * servers, so a repair that was interrupted goes on where it was when it is begun again.
 */
import { asDfsError, type DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Reply } from '../../wire/messages.js'
import { maskOf } from '../../wire/placement.js'
import { noVersion, type Version } from '../../wire/version.js'
import { whyNoAnswer } from '../cluster/away-servers.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Recovery } from '../quorum/recovery.js'
import { askEach, askOne } from './ask-voters.js'
import { coldStart } from './cold-start.js'
import { restoreCorrupt, restoreLost } from './corrupt-registers.js'
import type { LostPiece } from './damage.js'
import { differences, type HowCompared } from './differences.js'
import { fillServer } from './fill.js'
import { finishInDoubt, isYoung } from './in-doubt.js'
import { installDifferences } from './install.js'
import { collectOrphans, type OrphanCollector } from './orphans.js'
import { misplacedSegments, type PieceMover, placePieces } from './pieces.js'
import { beginSweep, endSweep, takeFenceBack } from './sweep.js'

export type HealPhase = 'fill' | 'undecided' | 'registers' | 'pieces' | 'sweep'

export interface HealProgress {
  readonly phase: HealPhase
  readonly done: number
  /** Unknown while a server is filled. */
  readonly total: number | undefined
}

export interface HealReport {
  readonly filledServers: readonly number[]
  readonly registersCopied: number
  /** Registers that had rotted on a server's disk and were brought back. */
  readonly registersRestored: number
  readonly piecesCopied: number
  readonly piecesDropped: number
  /** Files without a name that mounts which died had left. */
  readonly orphansDeleted: number
  /** Files of no piece that crashes had left. */
  readonly straysDeleted: number
  /** Pieces that are lost for good. */
  readonly lost: readonly LostPiece[]
  /** Those of them of which this repair has found that. */
  readonly newlyLost: readonly LostPiece[]
  /** Number of things that could not be repaired now; 0 when all servers agree and have their pieces. */
  readonly left: number
  /** Changes that were most likely just being stored: no difference that repair is for. */
  readonly young: number
  /** Why something was left, if it was. */
  readonly failure: DfsError | undefined
  /** All four agree and what remembered the way there was dropped. */
  readonly swept: boolean
}

export interface HealOptions {
  /** Age in ms below which a transaction is left to its client. */
  readonly patienceMs: number
  /** How far the floor stays behind: readers of replaced content have so long to finish. */
  readonly sweepAgeMs: number
  /** How old a file without a name must be to be taken for one of a mount that died. */
  readonly orphanAgeMs: number
  /** Looks at all there is instead of at what a server can have missed. */
  readonly thorough: boolean
  /** A server that does not come back after the power failed everywhere: the three others are compared without it. */
  readonly without?: number | undefined
  /** Pieces of which a copy was found to be bad and could not be replaced. */
  readonly suspects?: readonly LostPiece[]
  /** Waited for between pages of the comparison, of which the last took so long. */
  readonly giveWay?: HowCompared['giveWay']
  readonly progress?: (progress: HealProgress) => void
}

export interface Healer extends PieceMover, OrphanCollector {}

export async function heal(
  mover: Healer,
  recovery: Recovery,
  { progress = () => {}, ...options }: HealOptions,
): Promise<HealReport> {
  const { patienceMs, sweepAgeMs, orphanAgeMs, thorough, giveWay, without, suspects = [] } = options
  const { cluster } = mover
  const filledServers: number[] = []
  let failure: DfsError | undefined
  let left = 0
  if (await coldStart(cluster, without)) filledServers.push(...cluster.voters)
  for (const server of blankServers(cluster)) {
    try {
      await fillServer(cluster, recovery, server, (done) =>
        progress({ phase: 'fill', done, total: undefined }),
      )
      filledServers.push(server)
    } catch (thrown) {
      failure ??= asDfsError(thrown)
      left += 1
    }
  }
  const servers = cluster.voters
  if (servers.length === 0) throw whyNoAnswer(cluster)
  const undecided = await finishInDoubt(cluster, recovery, servers, { patienceMs })
  left += undecided.left.length
  const rotten = await restoreCorrupt(cluster, recovery)
  left += rotten.left
  const askStatuses = (): Promise<Reply<'status'>[]> =>
    askEach(cluster, servers, 'status', () => ({}))
  let statuses = await askStatuses()
  if (servers.length === limits.serverCount && (await takeFenceBack(cluster, statuses))) {
    statuses = await askStatuses()
  }
  const floor = statuses.map((status) => status.floor).reduce((a, b) => (a < b ? a : b))
  const unlessItFails = async <T>(work: Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await work
    } catch (thrown) {
      failure ??= asDfsError(thrown)
      return otherwise
    }
  }
  // What it finds must have been compared after it began, and comparing is what costs: once for both.
  const sweep =
    servers.length === limits.serverCount
      ? await unlessItFails(beginSweep(cluster, recovery, statuses, sweepAgeMs), undefined)
      : undefined
  const everything = await differences(cluster, servers, thorough ? noVersion : floor, {
    giveWay,
  })
  // What one server alone shows may be made up: nothing comes of it, and `dfc verify` names it.
  const confirmed = everything.filter(({ isLone }) => !isLone)
  const lostHere = confirmed.filter(({ version }) => version <= floor)
  const restored = rotten.restored + (await restoreLost(cluster, recovery, lostHere))
  const later = confirmed.filter(({ version }) => version > floor)
  const isLeftAlone = (version: Version): boolean =>
    version > (sweep?.floor ?? noVersion) && isYoung(cluster.clock, version, patienceMs)
  const found = later.filter(({ version }) => !isLeftAlone(version))
  const installed = await installDifferences(cluster, servers, found, (done) =>
    progress({ phase: 'registers', done, total: found.length }),
  )
  const registersCopied = installed.copied
  left += installed.refused
  const misplaced = new Map(
    [...(await misplacedSegments(cluster, servers)), ...suspects.map(({ segment }) => segment)].map(
      (segment) => [segment.id, segment],
    ),
  )
  const placed = await placePieces(mover, [...misplaced.values()], {
    suspects: masksOf(suspects),
    thorough,
    progress: (done) => progress({ phase: 'pieces', done, total: misplaced.size }),
  })
  failure ??= placed.failure
  progress({ phase: 'sweep', done: 0, total: undefined })
  const orphansDeleted =
    cluster.voters.length === limits.serverCount
      ? await unlessItFails(collectOrphans(cluster, mover, orphanAgeMs), 0)
      : 0
  const isReady = sweep !== undefined && registersCopied === found.length
  const isThere = cluster.voters.length === limits.serverCount
  const swept = isReady && isThere ? await unlessItFails(endSweep(cluster, sweep), false) : false
  let straysDeleted = 0
  for (const server of thorough ? cluster.voters : []) {
    const stray = askOne(cluster, server, 'strays', { remove: true })
    straysDeleted += await unlessItFails(
      stray.then(({ found }) => found),
      0,
    )
  }
  return {
    filledServers,
    registersCopied,
    registersRestored: restored,
    orphansDeleted,
    straysDeleted,
    piecesCopied: placed.copied,
    piecesDropped: placed.dropped,
    lost: placed.lost,
    newlyLost: placed.newlyLost,
    left: left + placed.left + placed.lost.length + (limits.serverCount - cluster.voters.length),
    young: undecided.young + later.length - found.length,
    failure,
    swept,
  }
}

function masksOf(pieces: readonly LostPiece[]): ReadonlyMap<string, number> {
  const masks = new Map<string, number>()
  for (const { segment, piece } of pieces) {
    masks.set(segment.id, (masks.get(segment.id) ?? 0) | maskOf([piece]))
  }
  return masks
}

function blankServers({ links }: Cluster): number[] {
  return links.filter((link) => link.isUp && link.blank).map(({ index }) => index)
}
