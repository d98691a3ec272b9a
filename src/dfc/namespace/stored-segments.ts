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
 * The segments of `content` that may be gone: not those of the file's current content, and not the one inside of the
 * commit.
 */
export function segmentsToAskFor(
  node: Node,
  content: Content,
  inline: PreparedSegment | undefined,
): readonly Segment[] {
  const current = new Set(node.inode.segments.map(({ id }) => id))
  return content.segments.filter(({ id }) => !current.has(id) && id !== inline?.segment.id)
}

/** Throws `stale` when one of the segments is gone. */
export async function assertHeld(cluster: Cluster, asked: readonly Segment[]): Promise<void> {
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
