/** RM: removes names. A file goes with its last name. */

import type { Node } from '../../dfc/namespace/cache/node.js'
import { Descent } from '../../dfc/namespace/descent.js'
import type { Namespace } from '../../dfc/namespace/namespace.js'
import { DfsError, isError } from '../../errors.js'
import { folderDirentType } from '../../wire/records.js'
import { namesIn } from '../paths/list-folder.js'
import { followPath, isFolder, namesOf, type Place, placeOf } from '../paths/remote-path.js'
import { forEach, type Session } from '../session.js'
import type { Command } from './command.js'

export const rm: Command = {
  name: 'rm',
  operands: 'NAME...',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  summary: 'remove files, and folders with -r',
  options: [
    ['-r, --recursive', 'remove folders with everything in them'],
    ['-f, --force', 'ignore names that do not exist'],
  ],
  completes: ['remote'],

  run(session, operands, options) {
    return forEach(session, operands, async (path) => {
      const { namespace } = session.client
      assertNamesItself(path)
      const place = await placeOf(namespace, path, 'keepLink').catch((error: unknown) => {
        if (isError(error, 'corrupt')) return error
        throw error
      })
      const isElsewhere = place instanceof DfsError
      if (isElsewhere || place.node === undefined) {
        if (await removeStray(namespace, path)) return
        if (isElsewhere) throw place
        if (options.force === true) return
        throw new DfsError('notFound')
      }
      const { parent, name, node } = place
      if (name === '') throw new DfsError('busy', 'the root folder cannot be removed')
      if (!isFolder(node)) {
        if (path.endsWith('/')) throw new DfsError('notDirectory')
        await namespace.unlink(parent, name)
      } else if (options.recursive === true)
        await removeTree(session, { parent, name }, node, new Descent(node.ino))
      else throw new DfsError('isDirectory', 'Is a directory (rm -r removes folders)')
    })
  },
}

/** Throws `invalid` for a path that names a folder from within, as rm(1) does: few mean all of that folder. */
function assertNamesItself(path: string): void {
  if (/(?:^|\/)\.{1,2}\/*$/.test(path)) {
    throw new DfsError('invalid', '"." and ".." are not removed: name the folder itself')
  }
}

/** Removes a folder after everything in it. A name that another client removes meanwhile is no failure. */
async function removeTree(
  session: Session,
  { parent, name }: Pick<Place, 'parent' | 'name'>,
  node: Node,
  way: Descent,
): Promise<void> {
  const { namespace } = session.client
  for await (const child of namesIn(session, node.ino)) {
    try {
      if (child.type === folderDirentType) {
        const folder = await namespace.names.lookup(node.ino, child.name)
        const place = { parent: node.ino, name: child.name }
        await removeTree(session, place, folder, way.into(folder.ino))
      } else {
        await namespace.unlink(node.ino, child.name)
      }
    } catch (error) {
      if (isError(error, 'corrupt')) await namespace.removeStrayName(node.ino, child.name)
      else if (!isError(error, 'notFound')) throw error
    }
  }
  await namespace.rmdir(parent, name)
}

/** Removes the name at the end of a path if it leads nowhere or to a folder that has its place elsewhere. */
async function removeStray(namespace: Namespace, path: string): Promise<boolean> {
  const names = namesOf(path)
  const name = names.pop()
  if (name === undefined) return false
  try {
    const folder = await followPath(namespace, names.join('/'))
    await namespace.removeStrayName(folder.ino, name)
    return true
  } catch (error) {
    if (!isError(error, 'notFound', 'exists', 'readOnly')) throw error
    return false
  }
}
