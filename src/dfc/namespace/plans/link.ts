/** Gives a file another name: link(2). */
import { DfsError } from '../../../errors.js'
import { limits } from '../../../limits.js'
import { direntType, fileType, typeOf } from '../../../wire/records.js'
import type { Node } from '../cache/node.js'
import type { Plan } from '../changes.js'
import { loseReplaced } from './lost-name.js'
import type { Sources } from './sources.js'
import { TransactionBuilder } from './transaction-builder.js'

export interface Linking {
  readonly ino: number
  readonly parent: number
  readonly name: string
  /** Whether the file may have no name so far. */
  readonly isFirst: boolean
  /** Whether it takes the place of another file, link or node that has the name. */
  readonly mayReplace: boolean
}

/**
 * Plans the link. Throws `exists`, `notPermitted` for a folder, `tooManyLinks`, `notFound` for a file that has lost
 * its last name or when the folder is gone.
 */
export async function planLink(
  sources: Sources,
  { ino, parent, name, isFirst, mayReplace }: Linking,
  fresh: boolean,
): Promise<Plan<Node>> {
  const { clock, names, cache, orphans } = sources
  const folder = await names.folderForChange(parent, fresh)
  const place = await names.entryForChange(parent, name, fresh)
  if (place.ino !== null && (!mayReplace || place.ino === ino)) throw new DfsError('exists')
  const node = await names.nodeForChange(ino, fresh)
  const { mode, nlink } = node.inode
  if (typeOf(mode) === fileType.folder) throw new DfsError('notPermitted')
  if (nlink === 0 && !isFirst) throw new DfsError('notFound')
  if (nlink >= limits.linksMax) throw new DfsError('tooManyLinks')
  const change = new TransactionBuilder(cache)
  change.requireEntry(parent, name, place)
  change.requireNode(node)
  change.requireNode(folder)
  if (place.ino !== null) {
    const target = await names.nodeForChange(place.ino, fresh)
    await loseReplaced(change, sources, target, { parent, name })
  }
  change.afterwards(() => orphans.delete(ino))
  change.writeEntry(parent, name, { ino, type: direntType(mode) })
  change.writeNode(ino, { ...node.inode, nlink: nlink + 1, ctime: clock.time() })
  return change.plan({}, () => change.outcome(ino))
}
