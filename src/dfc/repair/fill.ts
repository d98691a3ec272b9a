/**
 * Fills the account of a server that is blank (its disk was replaced) or unsure (its machine stopped
 * without notice), so that it may vote and count again: docs/decisions/0001, "Fill of a blank server".
 */
import { pages } from '../../async/pages.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { quorum } from '../../wire/quorum.js'
import { laterOf, noVersion, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Recovery } from '../quorum/recovery.js'
import { askEach, askOne } from './ask-voters.js'
import { differences } from './differences.js'
import { nextEpoch } from './fill-epoch.js'
import { finishInDoubt } from './in-doubt.js'
import { batches } from './install.js'
import { recordPages } from './record-pages.js'

/**
 * Returns how many registers were copied. Throws when fewer than three others vote, when something
 * undecided cannot be decided now, or when another fill has taken over: then it is tried again later.
 */
export async function fillServer(
  cluster: Cluster,
  recovery: Recovery,
  server: number,
  progress: (copied: number) => void,
): Promise<number> {
  const donors = cluster.voters.filter((index) => index !== server)
  if (donors.length < quorum.donor) throw new DfsError('readOnly')
  const { stamp, state } = await askOne(cluster, server, 'status', {})
  const epoch = nextEpoch(cluster)
  const { started } = await askOne(cluster, server, 'fillStart', {
    epoch,
    incarnation: stamp.incarnation,
  })
  if (!started) throw new DfsError('busy', 'another fill of this server is in progress')
  // From here on commits of an older epoch, which may have counted on the old votes, are refused.
  await askEach(cluster, donors, 'epoch', () => ({ epoch }))
  const { left } = await finishInDoubt(cluster, recovery, donors)
  if (left.length > 0) throw new DfsError('undecided')
  let floor = noVersion
  const fences: Version[] = []
  let copied = 0
  for (const donor of donors) {
    const copy = await copyFrom(cluster, donor, server, epoch, (count) => progress(copied + count))
    copied += copy.registers
    floor = laterOf(floor, copy.floor)
    fences.push(copy.fence)
  }
  // One that counts is on all of them: a single one may be of a server whose clock is off.
  const fence = fences.sort((a, b) => (a < b ? 1 : -1))[quorum.fence - 1] ?? noVersion
  if (state === 'unsure') await removeForgotten(cluster, donors, server, epoch, floor)
  await askOne(cluster, server, 'fillEnd', { epoch, floor, fence })
  cluster.becameVoter(server)
  return copied
}

/**
 * Removes what the server has from before and no donor has. If the server's data is a copy, it may be older than the
 * last sweep: what was deleted since is remembered by no server, and would come back. Everything up to the floor of a
 * donor was on all four servers once; what no donor has any more is gone.
 */
async function removeForgotten(
  cluster: Cluster,
  donors: readonly number[],
  server: number,
  epoch: number,
  floor: Version,
): Promise<void> {
  const registers = (await differences(cluster, [...donors, server], noVersion))
    .filter(({ version, holders }) => version < floor && holders.every((one) => one === server))
    // The next sweep takes the tombstones.
    .map(({ key }) => ({ key, version: floor, value: null }))
  for (const batch of batches(registers)) {
    await askOne(cluster, server, 'fill', { epoch, registers: batch, decisions: [] })
  }
}

/** Copies all registers and decisions of one donor; the highest version of each key stays. */
async function copyFrom(
  cluster: Cluster,
  donor: number,
  server: number,
  epoch: number,
  progress: (copied: number) => void,
): Promise<{ registers: number; floor: Version; fence: Version }> {
  const decisions: { id: Version; commit: boolean }[] = []
  let floor = noVersion
  let fence = noVersion
  for await (const page of recordPages(cluster, donor, false)) {
    floor = laterOf(floor, page.floor)
    fence = laterOf(fence, page.stamp.fence)
    for (const { id, state } of page.records) {
      // What was begun after the epoch was raised has its votes from the donors alone.
      if (state !== 'undecided') decisions.push({ id, commit: state === 'committed' })
    }
  }
  let registers = 0
  const changes = pages(
    { version: noVersion, key: '' },
    ({ version, key }) =>
      askOne(cluster, donor, 'changes', {
        afterVersion: version,
        afterKey: key,
        withValues: true,
        limit: limits.surveyEntriesMax,
      }),
    (page) => page.registers.at(-1),
  )
  for await (const page of changes) {
    for (const batch of batches(page.registers)) {
      await askOne(cluster, server, 'fill', { epoch, registers: batch, decisions: [] })
    }
    registers += page.registers.length
    progress(registers)
  }
  for (let at = 0; at < decisions.length; at += limits.surveyEntriesMax) {
    const some = decisions.slice(at, at + limits.surveyEntriesMax)
    await askOne(cluster, server, 'fill', { epoch, registers: [], decisions: some })
  }
  return { registers, floor, fence }
}
