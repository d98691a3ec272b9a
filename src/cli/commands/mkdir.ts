/** MKDIR: makes folders. */

import { DfsError } from '../../errors.js'
import { placeOf } from '../paths/remote-path.js'
import { forEach } from '../session.js'
import { makeFolder, makeParents } from '../transfer/folders.js'
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
