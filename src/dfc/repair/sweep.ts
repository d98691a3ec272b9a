/**
 * When all four servers are up and agree, what only remembered the way there is dropped: records,
 * tombstones, and segments nothing refers to. docs/decisions/0001, "Repair and sweep".
 */
import { limits } from '../../limits.js'
import { serverIndexes } from '../../wire/placement.js'
import { noVersion, type Version, versionOf } from '../../wire/version.js'
import type { Cluster } from '../cluster.js'
import type { Recovery } from '../recovery.js'
import { askEach, askOne } from './ask-voters.js'
import { differences } from './differences.js'
import { installDifferences } from './install.js'
import { finishUndecided } from './undecided.js'

/**
 * Raises the floor to `ageMs` ago; returns false when that is not possible now: a server is away, or
 * something is undecided. Throws what a server failed with.
 */
export async function sweep(cluster: Cluster, recovery: Recovery, ageMs: number): Promise<boolean> {
  if (cluster.voters.length < limits.serverCount) return false
  const before = await askEach(cluster, serverIndexes, 'status', () => ({}))
  const floor = versionOf(Math.max(0, Math.floor(cluster.clock.now() - ageMs)), 0, '00000000')
  // First the fence: an old-stamped commit must not land behind the survey.
  await askEach(cluster, serverIndexes, 'fence', () => ({ fence: floor }))
  // What came later is none of its affair: clients that are there decide it themselves.
  const { left } = await finishUndecided(cluster, recovery, serverIndexes, { upTo: floor })
  if (left.length > 0) return false
  const base = before.map((status) => status.floor).reduce((a, b) => (a < b ? a : b))
  const found = await differences(cluster, serverIndexes, base)
  const installed = await installDifferences(cluster, serverIndexes, found, () => {})
  if (installed < found.length) return false
  if (!(await markAll(cluster, floor))) return false
  const raised = await askEach(cluster, serverIndexes, 'floor', (server) => ({
    floor,
    incarnation: before[server]?.stamp.incarnation ?? 0,
  }))
  return raised.every((reply) => reply.raised)
}

/** Every decision up to `floor` is known on all four; false while one is missing. */
async function markAll(cluster: Cluster, floor: Version): Promise<boolean> {
  const decided = new Map<Version, { commit: boolean; on: Set<number> }>()
  for (const server of serverIndexes) {
    for (let after = noVersion, more = true; more; ) {
      const page = await askOne(cluster, server, 'records', {
        after,
        undecidedOnly: false,
        limit: limits.surveyEntriesMax,
      })
      for (const { id, state } of page.records) {
        if (id > floor) break
        if (state === 'undecided') continue
        const known = decided.get(id) ?? { commit: state === 'committed', on: new Set() }
        decided.set(id, known)
        known.on.add(server)
      }
      after = page.records.at(-1)?.id ?? after
      more = page.more && after <= floor
    }
  }
  for (const server of serverIndexes) {
    const missing = [...decided].filter(([, { on }]) => !on.has(server))
    for (let at = 0; at < missing.length; at += limits.surveyEntriesMax) {
      const decisions = missing
        .slice(at, at + limits.surveyEntriesMax)
        .map(([id, { commit }]) => ({ id, commit }))
      await askOne(cluster, server, 'mark', { decisions })
    }
  }
  // Something may have become undecided here by a late ballot: the floor asks again.
  return true
}
