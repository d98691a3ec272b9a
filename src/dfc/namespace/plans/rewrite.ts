/** Writes an inode anew: other attributes, or another content. */
import type { Inode } from '../../../wire/records.js'
import type { Node } from '../cache/node.js'
import type { Plan } from '../changes.js'
import type { Sources } from './sources.js'
import { type PlanOptions, TransactionBuilder } from './transaction-builder.js'

/** Makes `inode` of the file that was seen as `node`. */
export function planRewrite(
  { cache }: Pick<Sources, 'cache'>,
  node: Node,
  inode: Inode,
  options: PlanOptions,
): Plan<Node> {
  const change = new TransactionBuilder(cache)
  change.requireNode(node)
  change.writeNode(node.ino, inode, node.folder)
  return change.plan(options, () => change.outcome(node.ino))
}
