/** MKDIR: makes folders. */

import type { Namespace } from '../../dfc/namespace/namespace.js'
import { DfsError, isError } from '../../errors.js'
import { fileType } from '../../wire/records.js'
import { isFolder, namesOf, placeOf } from '../paths/remote-path.js'
import { forEach } from '../session.js'
import { ownIdentity } from '../transfer/owner.js'
import type { Command } from './command.js'

export const mkdir: Command = {
  name: 'mkdir',
  operands: 'FOLDER...',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  summary: 'make folders',
  options: [['-p, --parents', 'create missing parents; no error if the folder exists']],
  completes: ['remote'],

  run(session, operands, options) {
    const { namespace } = session.client
    return forEach(session, operands, async (path) => {
      if (options.parents === true) return makeParents(namespace, path)
      const { parent, name, node } = await placeOf(namespace, path, 'keepLink')
      if (node !== undefined) throw new DfsError('exists')
      return makeFolder(namespace, parent, name)
    })
  },
}

/** Makes every missing folder on the way, following links. */
async function makeParents(namespace: Namespace, path: string): Promise<void> {
  const names = namesOf(path)
  for (let count = 1; count <= names.length; count += 1) {
    const { parent, name, node } = await placeOf(
      namespace,
      names.slice(0, count).join('/'),
      'followLink',
    )
    if (node === undefined) {
      await makeFolder(namespace, parent, name).catch((error: unknown) => {
        if (!isError(error, 'exists')) throw error
      })
    } else if (!isFolder(node)) {
      throw new DfsError(count === names.length ? 'exists' : 'notDirectory')
    }
  }
}

async function makeFolder(namespace: Namespace, parent: number, name: string): Promise<void> {
  const mode = fileType.folder | (0o777 & ~process.umask())
  await namespace.create(parent, name, { mode, ...ownIdentity() })
}
