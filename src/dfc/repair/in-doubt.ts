/** Finds transactions that somebody left undecided, and finishes them by ballot. */
import type { Clock } from '../../clock.js'
import { quorum } from '../../wire/quorum.js'
import { clientOfVersion, isAhead, msOfVersion, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Recovery } from '../quorum/recovery.js'
import { shownRecords } from './shown-records.js'

/** Which transactions to finish: all that were undecided, but for these. */
export interface Exceptions {
  /** Younger ones are most likely just being decided. */
  readonly patienceMs?: number
  /** Later ones. */
  readonly upTo?: Version
  /** Those of this client are its own affair. */
  readonly client?: string
}

export interface Finished {
  /** Those that could not be decided now. */
  readonly left: readonly Version[]
  /** How many were too young. */
  readonly young: number
}

/** Recovers what was undecided on any of `servers`. */
export async function finishInDoubt(
  cluster: Cluster,
  recovery: Recovery,
  servers: readonly number[],
  { patienceMs = 0, upTo, client }: Exceptions = {},
): Promise<Finished> {
  const open = new Set<Version>()
  const young = new Set<Version>()
  for await (const { item, holders } of shownRecords(cluster, servers, { undecidedOnly: true })) {
    const { id } = item
    if ((upTo !== undefined && id > upTo) || clientOfVersion(id) === client) continue
    // No server votes for what is so far in the future: one that alone tells of it makes it up.
    if (holders.length < quorum.believe && isAhead(id, cluster.clock.now())) continue
    const ids = isYoung(cluster.clock, id, patienceMs) ? young : open
    ids.add(id)
  }
  const left: Version[] = []
  for (const id of open) {
    if ((await recovery.recover(id)) === 'unknown') left.push(id)
  }
  return { left, young: young.size }
}

/**
 * Whether what has this version is most likely still on its way to the servers. A writer whose clock is
 * ahead seems to be younger than now: that is no reason to wait for it.
 */
export function isYoung(clock: Clock, version: Version, patienceMs: number): boolean {
  const ageMs = clock.now() - msOfVersion(version)
  return ageMs >= 0 && ageMs < patienceMs
}
