/** PUT: copies local files to the servers, under their own names or to the target that the last operand names. */

import type { Namespace } from '../../dfc/namespace/namespace.js'
import { asDfsError, DfsError } from '../../errors.js'
import { isFolder, placeOf } from '../paths/remote-path.js'
import { planTargets, splitOperands, type TargetKind } from '../transfer/targets.js'
import { FileUpload } from '../transfer/upload.js'
import type { Command } from './command.js'

export const put: Command = {
  name: 'put',
  operands: 'FILE... [REMOTE]',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  summary: 'store local files, under their own names or as REMOTE',
  details:
    'With several operands the last one is the target, as with cp: a folder, or the new name.',
  options: [['-r, --recursive', 'store folders with everything in them']],
  completes: ['local', 'remote'],

  async run(session, operands, options) {
    const { sources, target = '/' } = splitOperands(operands)
    const kind = await remoteKind(session.client.namespace, target)
    const steps = planTargets(sources, target, kind)
    return new FileUpload(session, { recursive: options.recursive === true }).run(steps)
  },
}

/** The kind of a target on the servers, behind symbolic links. An error names the target. */
export async function remoteKind(namespace: Namespace, path: string): Promise<TargetKind> {
  const { node } = await placeOf(namespace, path, 'followLink').catch((thrown: unknown) => {
    const cause = asDfsError(thrown)
    throw new DfsError(cause.code, `${path}: ${cause.message}`, { cause })
  })
  if (node === undefined) return 'absent'
  return isFolder(node) ? 'folder' : 'other'
}
