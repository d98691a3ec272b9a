/** Creates a file, folder, link or node under a name. */
import { DfsError } from '../../../errors.js'
import { direntType, fileType, type Inode, typeOf } from '../../../wire/records.js'
import type { Node } from '../cache/node.js'
import type { Plan } from '../changes.js'
import { loseReplaced } from './lost-name.js'
import type { Sources } from './sources.js'
import { type PlanOptions, TransactionBuilder } from './transaction-builder.js'

/** A file, folder, link or node to be created, and the name that it gets. */
export interface NewFile {
  readonly parent: number
  readonly name: string
  readonly ino: number
  readonly inode: Inode
  /** Whether it takes the place of a file, link or node that has the name. */
  readonly mayReplace: boolean
}

/**
 * Plans the creation. Throws `exists` for a name that is taken, `isDirectory` where a folder is not to be replaced,
 * `notFound` when the folder is gone.
 */
export async function planCreation(
  sources: Sources,
  { parent, name, ino, inode, mayReplace }: NewFile,
  options: PlanOptions,
  fresh: boolean,
): Promise<Plan<Node>> {
  const { names, cache } = sources
  const folder = await names.folderForChange(parent, fresh)
  const place = await names.entryForChange(parent, name, fresh)
  if (place.ino !== null && !mayReplace) throw new DfsError('exists')
  const change = new TransactionBuilder(cache)
  change.requireEntry(parent, name, place)
  change.requireNoNode(ino)
  change.requireNode(folder)
  if (place.ino !== null) {
    const target = await names.nodeForChange(place.ino, fresh)
    await loseReplaced(change, sources, target, { parent, name })
  }
  change.writeEntry(parent, name, { ino, type: direntType(inode.mode) })
  if (typeOf(inode.mode) === fileType.folder) {
    change.afterwards((written) => cache.setEmpty(ino, written))
  }
  change.writeNode(ino, inode)
  return change.plan(options, () => change.outcome(ino))
}
