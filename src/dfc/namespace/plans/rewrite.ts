/** Writes an inode anew: other attributes, or another content. */
import type { Inode } from '../../../wire/records.js'
import type { Node } from '../cache/node.js'
import type { Plan } from '../changes.js'
import { keepReplaced } from './keep.js'
import type { Sources } from './sources.js'
import { type PlanOptions, TransactionBuilder } from './transaction-builder.js'

/** Makes `inode` of the file that was seen as `node`. The trash keeps a content that is replaced, if there is one. */
export async function planRewrite(
  sources: Sources,
  node: Node,
  inode: Inode,
  options: PlanOptions,
): Promise<Plan<Node>> {
  const change = new TransactionBuilder(sources.cache)
  change.requireNode(node)
  await keepReplaced(change, sources, node, inode, options.file?.name)
  change.writeNode(node.ino, inode, node.folder)
  return change.plan(options, () => change.outcome(node.ino))
}
