/**
 * After the power failed everywhere, too few servers vote to fill the others. Then they survey one another: what was
 * fsynced is on three of the four, so two of any three show the highest version of every key, and have the votes of what
 * was under way. So three are enough where the fourth has nothing any more, or does not come back.
 */
import { DfsError } from '../../errors.js'
import { notice } from '../../log.js'
import { serverIndexes } from '../../wire/placement.js'
import { quorum } from '../../wire/quorum.js'
import { beforeKeys, type Key, type Register } from '../../wire/records.js'
import { isAhead, noVersion } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { secondHighest } from '../quorum/confirmed.js'
import { Recovery } from '../quorum/recovery.js'
import { askEach, askOne } from './ask-voters.js'
import { type Difference, differences } from './differences.js'
import { nextEpoch } from './fill-epoch.js'
import { finishInDoubt } from './in-doubt.js'
import { batches } from './install.js'
import { shownRegisters } from './shown-registers.js'

/**
 * Returns true when it brought the unsure servers back; false when there was no reason to, or too few are there.
 * `without`: the position of a server that is not waited for.
 */
export async function coldStart(cluster: Cluster, without?: number): Promise<boolean> {
  const servers = surveyed(cluster, without)
  if (servers === undefined) return false
  const statuses = await askEach(cluster, servers, 'status', () => ({}))
  const unsure = servers.filter((_, at) => statuses[at]?.state === 'unsure')
  if (unsure.length === 0) return false
  const epoch = nextEpoch(cluster)
  for (const server of unsure) {
    const incarnation = statuses[servers.indexOf(server)]?.stamp.incarnation ?? 0
    const { started } = await askOne(cluster, server, 'fillStart', { epoch, incarnation })
    if (!started) return false
  }
  await askEach(cluster, servers, 'epoch', () => ({ epoch }))
  const recovery = new Recovery(cluster, () => servers)
  if ((await finishInDoubt(cluster, recovery, servers)).left.length > 0) return false
  await agree(cluster, servers)
  const floor = secondHighest(statuses.map((status) => status.floor)) ?? noVersion
  const fence = secondHighest(statuses.map(({ stamp }) => stamp.fence)) ?? noVersion
  for (const server of unsure) {
    await askOne(cluster, server, 'fillEnd', { epoch, floor, fence })
    cluster.becameVoter(server)
  }
  const names = servers.map((server) => cluster.link(server).name).join(', ')
  notice(
    `servers had stopped without a clean shutdown; repair has compared ${names}, and they agree`,
    'warning',
  )
  return true
}

/**
 * The servers to compare: all that are not blank and not `without`. Undefined while enough vote, or some of them are
 * missing. One that is down is waited for: it may have what another one alone shows, which then counts.
 */
function surveyed(cluster: Cluster, without: number | undefined): readonly number[] | undefined {
  if (cluster.voters.length >= quorum.donor) return undefined
  const isGone = (server: number): boolean =>
    server === without || (cluster.link(server).isUp && cluster.stateOf(server) === 'blank')
  const servers = serverIndexes.filter((server) => !isGone(server))
  const areThere = servers.every(
    (server) => cluster.link(server).isUp && cluster.stateOf(server) !== 'lost',
  )
  return areThere && servers.length >= quorum.promise ? servers : undefined
}

/**
 * Brings the newest that two servers show of every key to those that lack it. What one alone shows was not on three
 * disks: what the others have takes its place, under a version just above it.
 */
async function agree(cluster: Cluster, servers: readonly number[]): Promise<void> {
  const found = await differences(cluster, servers, noVersion)
  const agreed = new Map<Key, Buffer | null>()
  for (const difference of found.filter(({ isLone }) => !isLone)) {
    const register = await registerOf(cluster, difference)
    agreed.set(difference.key, register.value)
    const targets = servers.filter((server) => !difference.holders.includes(server))
    await askEach(cluster, targets, 'install', () => ({ registers: [register] }))
  }
  const lone = found.filter(
    ({ isLone, version }) => isLone && !isAhead(version, cluster.clock.now()),
  )
  const registers = lone.map(({ key, version }): Register => {
    return { key, version: cluster.versions.next(version), value: agreed.get(key) ?? null }
  })
  for (const batch of batches(registers)) {
    await askEach(cluster, servers, 'install', () => ({ registers: batch }))
  }
}

/** The register of a difference, as two of its holders show it. */
async function registerOf(
  cluster: Cluster,
  { key, version, holders }: Difference,
): Promise<Register> {
  const from = { version, key: beforeKeys }
  const how = { withValues: true }
  for await (const { item, holders: alike } of shownRegisters(cluster, holders, from, how)) {
    if (item.version > version) break
    if (item.key === key && alike.length >= quorum.believe) return item
  }
  throw new DfsError('protocol', 'a register vanished from a survey')
}
