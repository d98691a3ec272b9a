/** Creates a file without a name, which stays, like one that lost its last name, while it is open here. */
import type { Inode } from '../../../wire/records.js'
import type { Node } from '../cache/node.js'
import type { Plan } from '../changes.js'
import type { Sources } from './sources.js'
import { TransactionBuilder } from './transaction-builder.js'

/**
 * Plans the creation. Throws `notFound` when the folder `parent`, in which the file could have had a name, is gone.
 */
export async function planNamelessCreation(
  { names, cache, orphans }: Sources,
  { parent, ino, inode }: { readonly parent: number; readonly ino: number; readonly inode: Inode },
  fresh: boolean,
): Promise<Plan<Node>> {
  const folder = await names.folderForChange(parent, fresh)
  const change = new TransactionBuilder(cache)
  change.requireNoNode(ino)
  change.requireNode(folder)
  change.afterwards(() => orphans.add(ino))
  change.writeNode(ino, { ...inode, nlink: 0 })
  return change.plan({}, () => change.outcome(ino))
}
