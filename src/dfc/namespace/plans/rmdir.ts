/** Removes an empty folder: rmdir(2). */
import { DfsError } from '../../../errors.js'
import { fileType, typeOf } from '../../../wire/records.js'
import type { Plan } from '../changes.js'
import type { Sources } from './sources.js'
import { TransactionBuilder } from './transaction-builder.js'

/** Plans the removal. Throws `notFound`, `notDirectory`; the servers refuse it when the folder is not empty. */
export async function planRmdir(
  { names, cache }: Sources,
  { parent, name }: { readonly parent: number; readonly name: string },
  fresh: boolean,
): Promise<Plan<void>> {
  const entry = await names.existingForChange(parent, name, fresh)
  const node = await names.nodeForChange(entry.ino, fresh)
  if (typeOf(node.inode.mode) !== fileType.folder) throw new DfsError('notDirectory')
  const change = new TransactionBuilder(cache)
  change.requireEntry(parent, name, entry)
  change.requireNode(node)
  change.requireEmpty(node.ino)
  change.writeEntry(parent, name, null)
  change.deleteNode(node.ino, node.inode)
  return change.plan({}, () => undefined)
}
