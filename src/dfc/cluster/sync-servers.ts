/** Syncs the disks of the servers, as an fsync(2) needs it. */
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { quorum } from '../../wire/quorum.js'
import type { Cluster } from './cluster.js'

/**
 * Resolves when at least three servers have on their disks all that they answered before, and the
 * pieces of these segments.
 */
export async function syncServers(cluster: Cluster, segments: readonly string[]): Promise<void> {
  for (let at = 0; at === 0 || at < segments.length; at += limits.segmentsPerRequestMax) {
    const some = segments.slice(at, at + limits.segmentsPerRequestMax)
    const outcomes = await cluster.askEnough(quorum.sync, cluster.voters, 'sync', () => ({
      segments: some,
    }))
    if (outcomes.filter(({ error }) => error === undefined).length >= quorum.sync) continue
    throw outcomes.find(({ error }) => error)?.error ?? new DfsError('readOnly')
  }
}
