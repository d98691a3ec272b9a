/** Finds transactions that somebody left undecided, and finishes them by ballot. */
import { limits } from '../../limits.js'
import { clientOfVersion, msOfVersion, noVersion, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster.js'
import type { Recovery } from '../recovery.js'
import { askOne } from './ask-voters.js'

/**
 * Recovers what was undecided on any of `servers` and is older than `patienceMs`; what is younger is
 * most likely just being decided; those of the client `except` are its own affair. Returns the ids that
 * are left open.
 */
export async function finishUndecided(
  cluster: Cluster,
  recovery: Recovery,
  servers: readonly number[],
  patienceMs: number,
  except?: string,
): Promise<Version[]> {
  const open = new Set<Version>()
  for (const server of servers) {
    for (let after = noVersion, more = true; more; ) {
      const page = await askOne(cluster, server, 'records', {
        after,
        undecidedOnly: true,
        limit: limits.surveyEntriesMax,
      })
      for (const { id } of page.records) if (clientOfVersion(id) !== except) open.add(id)
      after = page.records.at(-1)?.id ?? after
      more = page.more
    }
  }
  const left: Version[] = []
  for (const id of open) {
    // A writer whose clock is ahead seems to be younger than now: that is no reason to wait for it.
    const ageMs = cluster.clock.now() - msOfVersion(id)
    if (ageMs >= 0 && ageMs < patienceMs) left.push(id)
    else if ((await recovery.recover(id)) === 'unknown') left.push(id)
  }
  return left
}
