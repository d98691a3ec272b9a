/** PUT: copies local files to the servers, under their own names or to the target that the last operand names. */

import type { Namespace } from '../../dfc/namespace/namespace.js'
import { asDfsError, DfsError } from '../../errors.js'
import { isFolder, placeOf } from '../paths/remote-path.js'
import { reportAbout, type Session, type Status } from '../session.js'
import { putInput, putOutputOf } from '../transfer/stream-upload.js'
import { isStream, planTargets, splitOperands, type TargetKind } from '../transfer/targets.js'
import { FileUpload } from '../transfer/upload.js'
import type { Command } from './command.js'
import { filterRows, sameRows, statsRow, transferOptions } from './transfer-options.js'

export const put: Command = {
  name: 'put',
  operands: 'FILE... [REMOTE]',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  summary: 'store local files, under their own names or as REMOTE',
  details:
    'With several operands the last one is the target, as with cp: a folder, or the new name. ' +
    '"put - REMOTE" stores standard input, and "put --from-command REMOTE -- PROGRAM WORD..." ' +
    'what a program prints, if it ends with status 0.',
  options: [
    ['-r, --recursive', 'store folders with everything in them'],
    ...sameRows,
    ...filterRows,
    ['--from-command', 'store what the program prints that follows REMOTE'],
    statsRow,
  ],
  completes: ['local', 'remote'],

  async run(session, operands, options) {
    const given = transferOptions(options)
    if (options.fromCommand === true) {
      const [name = '', ...command] = operands
      if (command.length === 0) {
        throw new DfsError('invalid', '--from-command takes REMOTE and a program: put --help')
      }
      return about(session, name, () => putOutputOf(session, name, given.stats, command))
    }
    if (operands.some(isStream)) {
      const [source, name] = operands
      if (source !== '-' || name === undefined || operands.length > 2 || isStream(name)) {
        throw new DfsError('invalid', '"-" stands alone: put - REMOTE (./- is a file of that name)')
      }
      return about(session, name, () => putInput(session, name, given.stats))
    }
    const { sources, target = '/' } = splitOperands(operands)
    const kind = await remoteKind(session.client.namespace, target)
    return new FileUpload(session, given).run(planTargets(sources, target, kind))
  },
}

/** Runs an action about one name, and reports its failure under that. */
async function about(session: Session, name: string, action: () => Promise<void>): Promise<Status> {
  try {
    await action()
    return 0
  } catch (error) {
    session.interrupted.throwIfAborted()
    reportAbout(session, name, error, false)
    return 1
  }
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
