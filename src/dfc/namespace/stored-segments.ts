/**
 * A commit must not refer to segments that are gone: when another client replaced the content that
 * ours builds upon, the servers may have collected it.
 */
import { DfsError } from '../../errors.js'
import { isReadableFrom } from '../../wire/placement.js'
import { quorum } from '../../wire/quorum.js'
import type { Segment } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Content } from '../content/content.js'
import type { PreparedSegment } from '../content/prepared-segment.js'
import type { Node } from './cache/node.js'

/**
 * Throws `stale` when some segment of `content` is gone. What the file refers to now and what travels
 * inside the commit need not be asked for.
 */
export async function assertHeld(
  cluster: Cluster,
  node: Node,
  content: Content,
  inline: PreparedSegment | undefined,
): Promise<void> {
  const current = new Set(node.inode.segments.map(({ id }) => id))
  const asked = content.segments.filter(({ id }) => !current.has(id) && id !== inline?.segment.id)
  if (asked.length === 0) return
  const segments = asked.map(({ id }) => id)
  const outcomes = await cluster.askEnough(quorum.pieces, cluster.up, 'held', () => ({ segments }))
  const held = outcomes.flatMap(({ answer }) => answer?.reply ?? [])
  // Of what is on two servers, three that answer have something; fewer prove nothing.
  if (held.length < quorum.pieces) throw new DfsError('readOnly')
  const isThere = (segment: Segment, index: number): boolean =>
    isReadableFrom(
      segment,
      held.map((reply) => reply.held[index]?.pieces ?? 0),
    )
  if (!asked.every(isThere)) {
    throw new DfsError('stale', 'another client replaced or removed the file that was written')
  }
}
