/** Removes a name of a file: unlink(2). */
import { DfsError } from '../../../errors.js'
import { fileType, typeOf } from '../../../wire/records.js'
import type { Node } from '../cache/node.js'
import type { Plan } from '../changes.js'
import { type LostName, loseName } from './lost-name.js'
import type { Sources } from './sources.js'
import { TransactionBuilder } from './transaction-builder.js'

/** Plans the removal of the name and returns the inode as it is afterwards. Throws `notFound`, `isDirectory`. */
export async function planUnlink(
  sources: Sources,
  lost: LostName,
  fresh: boolean,
): Promise<Plan<Node>> {
  const { names, cache } = sources
  const { parent, name } = lost
  const entry = await names.existingForChange(parent, name, fresh)
  const node = await names.nodeForChange(entry.ino, fresh)
  if (typeOf(node.inode.mode) === fileType.folder) throw new DfsError('isDirectory')
  const change = new TransactionBuilder(cache)
  change.requireEntry(parent, name, entry)
  change.requireNode(node)
  change.writeEntry(parent, name, null)
  await loseName(change, sources, node, lost)
  return change.plan({}, () => change.outcome(node.ino))
}
