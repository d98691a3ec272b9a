/** Gives something that the trash keeps a name in the tree, as the file or the empty folder that it was. */
import { DfsError } from '../../../errors.js'
import { fileType, trashIno, typeOf } from '../../../wire/records.js'
import type { Node } from '../cache/node.js'
import type { Plan } from '../changes.js'
import { restoredInode } from '../kept.js'
import { loseReplaced } from './lost-name.js'
import type { Sources } from './sources.js'
import { TransactionBuilder } from './transaction-builder.js'

/** A restoration: something that the trash keeps, and the name that it gets. */
export interface Restoration {
  /** Its name in the trash. */
  readonly kept: string
  readonly parent: number
  readonly name: string
  /** Whether it takes the place of a file that has the name. */
  readonly mayReplace: boolean
}

/**
 * Plans the restoration. Throws `exists` for a name that is taken, `isDirectory` where a folder has it, `notFound` when
 * the folder is gone or nothing is kept under that name.
 */
export async function planRestoration(
  sources: Sources,
  { kept, parent, name, mayReplace }: Restoration,
  fresh: boolean,
): Promise<Plan<Node>> {
  const { names, cache, clock } = sources
  const entry = await names.existingForChange(trashIno, kept, fresh)
  const node = await names.nodeForChange(entry.ino, fresh)
  const folder = await names.folderForChange(parent, fresh)
  const place = await names.entryForChange(parent, name, fresh)
  if (place.ino !== null && !mayReplace) throw new DfsError('exists')
  const change = new TransactionBuilder(cache)
  change.requireEntry(trashIno, kept, entry)
  change.requireEntry(parent, name, place)
  change.requireNode(node)
  change.requireNode(folder)
  if (place.ino !== null) {
    const target = await names.nodeForChange(place.ino, fresh)
    await loseReplaced(change, sources, target, { parent, name })
  }
  change.writeEntry(trashIno, kept, null)
  change.writeEntry(parent, name, { ino: node.ino, type: entry.type })
  const before = restoredInode(node.inode, place.ino)
  const isFolder = typeOf(before.mode) === fileType.folder
  const restored = { ...before, parent: isFolder ? parent : 0, ctime: clock.time() }
  change.writeNode(node.ino, restored, node.folder)
  return change.plan({}, () => change.outcome(node.ino))
}
