/** Deletes an inode that no name refers to any more. */
import type { Planned } from '../changes.js'
import type { Sources } from './sources.js'
import { TransactionBuilder } from './transaction-builder.js'

/** Plans nothing where the inode has got a name meanwhile. Throws `stale` when it is gone. */
export async function planDeletion(
  { names, cache }: Sources,
  ino: number,
  fresh: boolean,
): Promise<Planned<void>> {
  const node = await names.nodeForChange(ino, fresh)
  if (node.inode.nlink > 0) return undefined
  const change = new TransactionBuilder(cache)
  change.requireNode(node)
  change.deleteNode(ino, node.inode)
  return change.plan({}, () => undefined)
}
