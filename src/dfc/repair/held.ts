/** Asks servers which pieces of segments they hold, and which they have marked as lost. */
import { limits } from '../../limits.js'
import type { Segment } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import { askEach } from './ask-voters.js'

export interface HeldSegment {
  readonly segment: Segment
  readonly masks: ReadonlyMap<number, number>
  /** The pieces that each server has marked as lost for good, as bits by server. */
  readonly marks: ReadonlyMap<number, number>
  /** Number of servers with a register that refers to the segment. */
  readonly referredBy: number
}

/** Returns, for each segment, the pieces of it that every one of `servers` holds. All of them must answer. */
export async function heldMasks(
  cluster: Cluster,
  segments: readonly Segment[],
  servers: readonly number[] = cluster.voters,
): Promise<HeldSegment[]> {
  const found: HeldSegment[] = []
  for (let from = 0; from < segments.length; from += limits.segmentsPerRequestMax) {
    const some = segments.slice(from, from + limits.segmentsPerRequestMax)
    const ids = some.map(({ id }) => id)
    const replies = await askEach(cluster, servers, 'held', () => ({ segments: ids }))
    for (const [at, segment] of some.entries()) {
      const held = servers.map((server, index) => [server, replies[index]?.held[at]] as const)
      found.push({
        segment,
        masks: new Map(held.map(([server, one]) => [server, one?.pieces ?? 0])),
        marks: new Map(held.map(([server, one]) => [server, one?.lost ?? 0])),
        referredBy: held.filter(([, one]) => one?.referred).length,
      })
    }
  }
  return found
}
