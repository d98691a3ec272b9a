/** RM: removes names. A file goes with its last name. */

import type { Node } from '../../dfc/namespace/cache/node.js'
import { DfsError, isError } from '../../errors.js'
import { folderDirentType } from '../../wire/records.js'
import { namesIn } from '../paths/list-folder.js'
import { isFolder, placeOf } from '../paths/remote-path.js'
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
      const { parent, name, node } = await placeOf(session.client.namespace, path, 'keepLink')
      if (node === undefined) {
        if (options.force === true) return
        throw new DfsError('notFound')
      }
      if (name === '') throw new DfsError('busy', 'the root folder cannot be removed')
      if (!isFolder(node)) await session.client.namespace.unlink(parent, name)
      else if (options.recursive === true) await removeTree(session, parent, name, node)
      else throw new DfsError('isDirectory', 'Is a directory (rm -r removes folders)')
    })
  },
}

/** Removes a folder after everything in it. A name that another client removes meanwhile is no failure. */
async function removeTree(
  session: Session,
  parent: number,
  name: string,
  node: Node,
): Promise<void> {
  const { namespace } = session.client
  for await (const child of namesIn(session, node.ino)) {
    try {
      if (child.type === folderDirentType) {
        const folder = await namespace.names.lookup(node.ino, child.name)
        await removeTree(session, node.ino, child.name, folder)
      } else {
        await namespace.unlink(node.ino, child.name)
      }
    } catch (error) {
      if (!isError(error, 'notFound')) throw error
    }
  }
  await namespace.rmdir(parent, name)
}
