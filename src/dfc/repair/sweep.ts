/**
 * When all four servers are up and agree, what only remembered the way there is dropped: records,
 * tombstones, and segments nothing refers to. docs/decisions/0001, "Repair and sweep".
 */
import { limits } from '../../limits.js'
import type { Reply } from '../../wire/messages.js'
import { serverIndexes } from '../../wire/placement.js'
import { noVersion, type Version, versionOf } from '../../wire/version.js'
import type { Cluster } from '../cluster.js'
import type { Recovery } from '../recovery.js'
import { askEach, askOne } from './ask-voters.js'
import { finishUndecided } from './undecided.js'

/** One that has begun: nothing up to `floor` is undecided, and nothing new will come up to it. */
export interface Sweep {
  readonly floor: Version
  /** Of the four accounts, from before it began. */
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
  await askEach(cluster, serverIndexes, 'fence', () => ({ fence: floor }))
  // What came later is none of its affair: clients that are there decide it themselves.
  const { left } = await finishUndecided(cluster, recovery, serverIndexes, { upTo: floor })
  if (left.length > 0) return undefined
  return { floor, incarnations: statuses.map(({ stamp }) => stamp.incarnation) }
}

/**
 * Raises the floor, once every difference up to it was found and installed after the sweep began. Returns
 * false when a server has begun anew since then. Throws what a server failed with.
 */
export async function endSweep(cluster: Cluster, { floor, incarnations }: Sweep): Promise<boolean> {
  await markAll(cluster, floor)
  const raised = await askEach(cluster, serverIndexes, 'floor', (server) => ({
    floor,
    incarnation: incarnations[server] ?? 0,
  }))
  return raised.every((reply) => reply.raised)
}

/** Every decision up to `floor` is known on all four afterwards. */
async function markAll(cluster: Cluster, floor: Version): Promise<void> {
  const decided = new Map<Version, { commit: boolean; on: Set<number> }>()
  for (const server of serverIndexes) {
    for (let after = noVersion, more = true; more; ) {
      const page = await askOne(cluster, server, 'records', {
        after,
        undecidedOnly: false,
        limit: limits.surveyEntriesAtOnce,
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
    for (let at = 0; at < missing.length; at += limits.surveyEntriesAtOnce) {
      const decisions = missing
        .slice(at, at + limits.surveyEntriesAtOnce)
        .map(([id, { commit }]) => ({ id, commit }))
      await askOne(cluster, server, 'mark', { decisions })
    }
  }
  // Something may have become undecided here by a late ballot: the floor asks again.
}
