/**
 * Fills the account of a server that is blank (its disk was replaced) or unsure (its machine stopped
 * without notice), so that it may vote and count again: docs/decisions/0001, "Fill of a blank server".
 */
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Reply } from '../../wire/messages.js'
import { quorum } from '../../wire/quorum.js'
import type { Key, Register } from '../../wire/records.js'
import { laterOf, noVersion, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { newestConfirmed, secondHighest } from '../quorum/confirmed.js'
import type { Recovery } from '../quorum/recovery.js'
import { askEach, askOne } from './ask-voters.js'
import { differences } from './differences.js'
import { nextEpoch } from './fill-epoch.js'
import { finishInDoubt } from './in-doubt.js'
import { batches } from './install.js'
import { decisionOf, isConfirmed, shownRecords } from './shown-records.js'
import { shownRegisters } from './shown-registers.js'

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
  // What is decided by now is in the registers that are read after it.
  const { decisions, floor, fence } = await recordsOf(cluster, donors)
  const copied = await copyRegisters(cluster, donors, server, epoch, progress)
  for (let at = 0; at < decisions.length; at += limits.surveyEntriesMax) {
    const some = decisions.slice(at, at + limits.surveyEntriesMax)
    await askOne(cluster, server, 'fill', { epoch, registers: [], decisions: some })
  }
  if (state === 'unsure') await removeForgotten(cluster, donors, server, epoch, floor)
  await askOne(cluster, server, 'fillEnd', { epoch, floor, fence })
  cluster.becameVoter(server)
  return copied
}

/**
 * Removes what the server has from before and no two donors have. If the server's data is a copy, it may be older than
 * the last sweep: what was deleted since is remembered by no server, and would come back. Everything up to the floor of
 * the donors was on all four servers once; what they have no more is gone.
 */
async function removeForgotten(
  cluster: Cluster,
  donors: readonly number[],
  server: number,
  epoch: number,
  floor: Version,
): Promise<void> {
  const registers = (await differences(cluster, [...donors, server], noVersion))
    .filter(({ version, holders }) => {
      const others = holders.filter((one) => one !== server)
      return version < floor && holders.includes(server) && others.length < quorum.believe
    })
    // The next sweep takes the tombstones.
    .map(({ key }) => ({ key, version: floor, value: null }))
  for (const batch of batches(registers)) {
    await askOne(cluster, server, 'fill', { epoch, registers: batch, decisions: [] })
  }
}

/**
 * Copies the registers that two donors show, value and all. Throws `undecided` where one of them alone shows what
 * another one has voted for: it is decided and the decision is on its way.
 */
async function copyRegisters(
  cluster: Cluster,
  donors: readonly number[],
  server: number,
  epoch: number,
  progress: (copied: number) => void,
): Promise<number> {
  let copied = 0
  const lone = new Set<Key>()
  let confirmed: Register[] = []
  const send = async (): Promise<void> => {
    for (const registers of batches(confirmed)) {
      await askOne(cluster, server, 'fill', { epoch, registers, decisions: [] })
      copied += registers.length
    }
    confirmed = []
    progress(copied)
  }
  const from = { version: noVersion, key: '' }
  const how = { withValues: true }
  for await (const { item, holders } of shownRegisters(cluster, donors, from, how)) {
    const { key, version, value } = item
    if (holders.length < quorum.believe) {
      lone.add(key)
      continue
    }
    // Versions come in their order: what one donor alone has of this key so far is older.
    lone.delete(key)
    if (confirmed.push({ key, version, value }) >= limits.surveyEntriesMax) await send()
  }
  // What changed while it was walked by was shown at two places.
  for (const key of lone) {
    const register = await readAgain(cluster, donors, key)
    if (register !== undefined) confirmed.push(register)
  }
  await send()
  return copied
}

/** The register of `key` that two donors show, if they do. */
async function readAgain(
  cluster: Cluster,
  donors: readonly number[],
  key: Key,
): Promise<Register | undefined> {
  const outcomes = await cluster.ask(donors, 'read', () => ({ keys: [key] }))
  const failure = outcomes.find(({ error }) => error && !isError(error, 'corrupt'))?.error
  if (failure !== undefined) throw failure
  const seen = outcomes.flatMap(({ answer }) => answer?.reply.registers[0]?.register ?? [])
  const confirmed = newestConfirmed(seen)
  const isUnderWay = seen.some(({ version }) => {
    return version > (confirmed?.version ?? noVersion) && seen.some(({ lock }) => lock === version)
  })
  if (isUnderWay) throw new DfsError('undecided')
  return confirmed && { key, version: confirmed.version, value: confirmed.value }
}

/** The decisions that two donors tell alike, and the floor and the fence that two have. */
async function recordsOf(
  cluster: Cluster,
  donors: readonly number[],
): Promise<{
  readonly decisions: readonly { readonly id: Version; readonly commit: boolean }[]
  readonly floor: Version
  readonly fence: Version
}> {
  const floors = new Map<number, Version>()
  const fences = new Map<number, Version>()
  const onPage = (donor: number, { floor, stamp }: Reply<'records'>): void => {
    floors.set(donor, laterOf(floors.get(donor) ?? noVersion, floor))
    fences.set(donor, laterOf(fences.get(donor) ?? noVersion, stamp.fence))
  }
  const decisions: { id: Version; commit: boolean }[] = []
  for await (const shown of shownRecords(cluster, donors, { onPage })) {
    // What was begun after the epoch was raised has its votes from the donors alone.
    const told = decisionOf(shown)
    if (told !== undefined && isConfirmed(told))
      decisions.push({ id: told.id, commit: told.commit })
  }
  return {
    decisions,
    floor: secondHighest([...floors.values()]) ?? noVersion,
    // One that counts is on all of them: a single one may be of a server whose clock is off.
    fence: secondHighest([...fences.values()]) ?? noVersion,
  }
}
