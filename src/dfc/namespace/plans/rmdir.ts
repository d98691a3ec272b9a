/** Removes an empty folder: rmdir(2). */
import { DfsError } from '../../../errors.js'
import { fileType, typeOf } from '../../../wire/records.js'
import type { Plan } from '../changes.js'
import { loseFolder } from './lost-name.js'
import type { Sources } from './sources.js'
import { TransactionBuilder } from './transaction-builder.js'

/** Plans the removal. Throws `notFound`, `notDirectory`; the servers refuse it when the folder is not empty. */
export async function planRmdir(
  sources: Sources,
  place: { readonly parent: number; readonly name: string },
  fresh: boolean,
): Promise<Plan<void>> {
  const { parent, name } = place
  const { names, cache } = sources
  const entry = await names.existingForChange(parent, name, fresh)
  const node = await names.nodeForChange(entry.ino, fresh)
  if (typeOf(node.inode.mode) !== fileType.folder) throw new DfsError('notDirectory')
  const change = new TransactionBuilder(cache)
  change.requireEntry(parent, name, entry)
  change.requireNode(node)
  change.writeEntry(parent, name, null)
  await loseFolder(change, sources, node, place)
  return change.plan({}, () => undefined)
}
