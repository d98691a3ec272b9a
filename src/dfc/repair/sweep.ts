/**
 * When all four servers are up and agree, what only remembered the way there is dropped: records,
 * tombstones, and segments nothing refers to. docs/decisions/0001, "Repair and sweep".
 */
import assert from 'node:assert/strict'
import { isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { notice } from '../../log.js'
import type { Reply } from '../../wire/messages.js'
import { serverIndexes } from '../../wire/placement.js'
import { quorum } from '../../wire/quorum.js'
import { isAhead, noVersion, type Version, versionOf } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Recovery } from '../quorum/recovery.js'
import { askEach, askOne } from './ask-voters.js'
import { finishInDoubt } from './in-doubt.js'
import { decisionOf, isConfirmed, shownRecords } from './shown-records.js'

/** One that has begun: nothing up to `floor` is undecided, and nothing new will come up to it. */
export interface Sweep {
  readonly floor: Version
  /** Incarnations of the four accounts before the sweep began. */
  readonly incarnations: readonly number[]
}

/**
 * Lets nothing new come that is older than `ageMs`; undefined when something so old cannot be decided
 * now. `statuses` are those of all four servers. Throws what a server failed with.
 */
export async function beginSweep(
  cluster: Cluster,
  recovery: Recovery,
  statuses: readonly Reply<'status'>[],
  ageMs: number,
): Promise<Sweep | undefined> {
  const floor = versionOf(Math.max(0, Math.floor(cluster.clock.now() - ageMs)), 0, '00000000')
  // What is not on the disk yet gets there beside other requests: all of them wait for the fence.
  await askEach(cluster, serverIndexes, 'sync', () => ({ segments: [] }))
  // First the fence: an old-stamped commit must not land behind the survey.
  await raiseFences(cluster, floor)
  // What came later is none of its affair: clients that are there decide it themselves.
  const { left } = await finishInDoubt(cluster, recovery, serverIndexes, { upTo: floor })
  if (left.length > 0) return undefined
  assert(statuses.length === limits.serverCount, 'a sweep is of all four servers')
  return { floor, incarnations: statuses.map(({ stamp }) => stamp.incarnation) }
}

/**
 * Raises the floor, once every difference up to it was found and installed after the sweep began. Returns
 * false when a server has begun anew since then. Throws what a server failed with.
 */
export async function endSweep(cluster: Cluster, { floor, incarnations }: Sweep): Promise<boolean> {
  if (!(await markAll(cluster, floor, incarnations))) return false
  const raised = await askEach(cluster, serverIndexes, 'floor', (server) => ({
    floor,
    incarnation: incarnations[server] ?? 0,
  }))
  return raised.every((reply) => reply.raised)
}

/** All four, or it throws. One whose clock is behind is outvoted: else nothing would be given back meanwhile. */
async function raiseFences(cluster: Cluster, fence: Version): Promise<void> {
  const outcomes = await cluster.ask(serverIndexes, 'fence', () => ({ fence, agreed: false }))
  const [failed, ...others] = outcomes.filter(({ error }) => error !== undefined)
  if (failed?.error === undefined) return
  if (others.length > 0 || !isError(failed.error, 'clock')) throw failed.error
  await askOne(cluster, failed.index, 'fence', { fence, agreed: true })
}

/**
 * Has a server take back a fence that it alone has, from when its clock was ahead: until that time it would refuse
 * every vote. One that counts is on all four; `statuses` are theirs. Returns true when there was one.
 */
export async function takeFenceBack(
  cluster: Cluster,
  statuses: readonly Reply<'status'>[],
): Promise<boolean> {
  const nowMs = Math.floor(cluster.clock.now())
  const ahead = serverIndexes.filter((server) => {
    return isAhead(statuses[server]?.stamp.fence ?? noVersion, nowMs)
  })
  // Where two have one of them each, the others are of now all the same.
  const [server] = ahead
  if (server === undefined || ahead.length > limits.serverCount - quorum.fence) return false
  await askOne(cluster, server, 'fence', { fence: versionOf(nowMs, 0, '00000000'), agreed: true })
  notice(
    `${cluster.link(server).name} had accepted a time in the future, from when its clock was ahead; it votes again`,
    'warning',
  )
  return true
}

/**
 * Every decision up to `floor` that two servers tell of is known on all four afterwards; false when one of them has begun anew, and may have
 * forgotten the fence.
 */
async function markAll(
  cluster: Cluster,
  floor: Version,
  incarnations: readonly number[],
): Promise<boolean> {
  let isOther = false
  const onPage = (server: number, { stamp }: Reply<'records'>): void => {
    isOther ||= stamp.incarnation !== incarnations[server]
  }
  const missing = new Map<number, { id: Version; commit: boolean }[]>()
  for (const server of serverIndexes) missing.set(server, [])
  for await (const shown of shownRecords(cluster, serverIndexes, { onPage })) {
    if (isOther) return false
    if (shown.item.id > floor) break
    const told = decisionOf(shown)
    if (told === undefined || !isConfirmed(told)) continue
    for (const [server, decisions] of missing) {
      if (!told.servers.includes(server)) decisions.push({ id: told.id, commit: told.commit })
    }
  }
  if (isOther) return false
  for (const [server, all] of missing) {
    for (let at = 0; at < all.length; at += limits.surveyEntriesMax) {
      const decisions = all.slice(at, at + limits.surveyEntriesMax)
      await askOne(cluster, server, 'mark', { decisions })
    }
  }
  // Something may have become undecided here by a late ballot: the floor asks again.
  return true
}
