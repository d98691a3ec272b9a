/**
 * Checks that the segments a commit refers to still exist: when another client replaced the content that this client
 * builds upon, the servers may have collected them.
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
 * Throws `stale` when a segment of `content` is gone. Segments of the file's current content, and those inside the
 * commit, are not asked for.
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
  // A segment is on two servers at least: of three that answer, one has a piece of it. Fewer answers prove nothing.
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
