/** Creates a file, folder, link or node under a name. */
import { DfsError } from '../../../errors.js'
import { direntType, fileType, type Inode, typeOf } from '../../../wire/records.js'
import type { Node } from '../cache/node.js'
import type { Plan } from '../changes.js'
import type { Sources } from './sources.js'
import { type PlanOptions, TransactionBuilder } from './transaction-builder.js'

/** A file, folder, link or node to be created, and the name that it gets. */
export interface NewFile {
  readonly parent: number
  readonly name: string
  readonly ino: number
  readonly inode: Inode
}

/** Plans the creation. Throws `exists`, `notFound` when the folder is gone. */
export async function planCreation(
  { names, cache }: Sources,
  { parent, name, ino, inode }: NewFile,
  options: PlanOptions,
  fresh: boolean,
): Promise<Plan<Node>> {
  const folder = await names.folderForChange(parent, fresh)
  const place = await names.entryForChange(parent, name, fresh)
  if (place.ino !== null) throw new DfsError('exists')
  const change = new TransactionBuilder(cache)
  change.requireEntry(parent, name, place)
  change.requireNoNode(ino)
  change.requireNode(folder)
  change.writeEntry(parent, name, { ino, type: direntType(inode.mode) })
  if (typeOf(inode.mode) === fileType.folder) {
    change.afterwards((written) => cache.setEmpty(ino, written))
  }
  change.writeNode(ino, inode)
  return change.plan(options, () => change.outcome(ino))
}
