/**
 * After the power failed everywhere, too few servers vote to fill the others. With all four there and
 * none of them blank they survey one another: what was fsynced is on three of them, so the highest
 * version of every key is found, and so are the votes of what was under way.
 */
import assert from 'node:assert/strict'
import { pages } from '../../async/pages.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { notice } from '../../log.js'
import { serverIndexes } from '../../wire/placement.js'
import { quorum } from '../../wire/quorum.js'
import { beforeKeys, type Register } from '../../wire/records.js'
import { noVersion } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { Recovery } from '../quorum/recovery.js'
import { askEach, askOne } from './ask-voters.js'
import { differences } from './differences.js'
import { nextEpoch } from './fill-epoch.js'
import { finishInDoubt } from './in-doubt.js'
import { batches } from './install.js'

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
  await installEverywhere(cluster)
  const floor = statuses.reduce((most, one) => (one.floor > most ? one.floor : most), noVersion)
  const fence = statuses.reduce((m, one) => (one.stamp.fence > m ? one.stamp.fence : m), noVersion)
  for (const server of unsure) {
    await askOne(cluster, server, 'fillEnd', { epoch, floor, fence })
    cluster.becameVoter(server)
  }
  notice(
    'all servers had stopped without a clean shutdown; repair has validated them and they agree',
  )
  return true
}

/** The highest version of every key, from whoever has it to whoever lacks it. */
async function installEverywhere(cluster: Cluster): Promise<void> {
  for (const difference of await differences(cluster, serverIndexes, noVersion)) {
    const [holder] = difference.holders
    assert(holder !== undefined, 'a version that no server has')
    const wanted = [await registerOf(cluster, holder, difference)]
    const targets = serverIndexes.filter((server) => !difference.holders.includes(server))
    for (const batch of batches(wanted)) {
      await askEach(cluster, targets, 'install', () => ({ registers: batch }))
    }
  }
}

/** Reads a register of a server that does not vote: a survey from before all that its transaction wrote leads to it. */
async function registerOf(
  cluster: Cluster,
  server: number,
  { key, version }: Pick<Register, 'key' | 'version'>,
): Promise<Register> {
  const changes = pages(
    { version, key: beforeKeys },
    (after) =>
      askOne(cluster, server, 'changes', {
        afterVersion: after.version,
        afterKey: after.key,
        withValues: true,
        limit: limits.surveyEntriesMax,
      }),
    (page) => page.registers.at(-1),
  )
  for await (const { registers } of changes) {
    const found = registers.find((one) => one.key === key && one.version === version)
    if (found !== undefined) return found
    if (registers.some((one) => one.version > version)) break
  }
  throw new DfsError('protocol', 'a register vanished from a survey')
}
