/**
 * After the power failed everywhere, too few servers vote to fill the others. With all four there and
 * none of them blank they survey one another: what was fsynced is on three of them, so the highest
 * version of every key is found on two, and so are the votes of what was under way.
 */
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
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

/** Returns true when it brought the unsure servers back; false when there was no reason to. */
export async function coldStart(cluster: Cluster): Promise<boolean> {
  const states = serverIndexes.map((index) => cluster.stateOf(index))
  const allUp = cluster.up.length === limits.serverCount
  if (!allUp || cluster.voters.length >= quorum.donor || states.includes('blank')) return false
  if (states.includes('lost')) return false
  const statuses = await askEach(cluster, serverIndexes, 'status', () => ({}))
  const unsure = serverIndexes.filter((server) => statuses[server]?.state === 'unsure')
  if (unsure.length === 0) return false
  const epoch = nextEpoch(cluster)
  for (const server of unsure) {
    const incarnation = statuses[server]?.stamp.incarnation ?? 0
    const { started } = await askOne(cluster, server, 'fillStart', { epoch, incarnation })
    if (!started) return false
  }
  await askEach(cluster, serverIndexes, 'epoch', () => ({ epoch }))
  const recovery = new Recovery(cluster, () => serverIndexes)
  if ((await finishInDoubt(cluster, recovery, serverIndexes)).left.length > 0) return false
  await agree(cluster)
  const floor = secondHighest(statuses.map((status) => status.floor)) ?? noVersion
  const fence = secondHighest(statuses.map(({ stamp }) => stamp.fence)) ?? noVersion
  for (const server of unsure) {
    await askOne(cluster, server, 'fillEnd', { epoch, floor, fence })
    cluster.becameVoter(server)
  }
  notice(
    'all servers had stopped without a clean shutdown; repair has validated them and they agree',
    'warning',
  )
  return true
}

/**
 * Brings the newest that two servers show of every key to those that lack it. What one alone shows was not on three
 * disks: what the others have takes its place, under a version just above it.
 */
async function agree(cluster: Cluster): Promise<void> {
  const found = await differences(cluster, serverIndexes, noVersion)
  const agreed = new Map<Key, Buffer | null>()
  for (const difference of found.filter(({ isLone }) => !isLone)) {
    const register = await registerOf(cluster, difference)
    agreed.set(difference.key, register.value)
    const targets = serverIndexes.filter((server) => !difference.holders.includes(server))
    await askEach(cluster, targets, 'install', () => ({ registers: [register] }))
  }
  const lone = found.filter(
    ({ isLone, version }) => isLone && !isAhead(version, cluster.clock.now()),
  )
  const registers = lone.map(({ key, version }): Register => {
    return { key, version: cluster.versions.next(version), value: agreed.get(key) ?? null }
  })
  for (const batch of batches(registers)) {
    await askEach(cluster, serverIndexes, 'install', () => ({ registers: batch }))
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
