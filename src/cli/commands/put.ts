/** PUT: copies local files to the servers, under their own names or to the target that the last operand names. */
import { remoteKind } from '../paths/remote-path.js'
import { forEach } from '../session.js'
import { putInput, putOutputOf } from '../transfer/stream-upload.js'
import { isStream, planTargets, splitOperands } from '../transfer/targets.js'
import { FileUpload } from '../transfer/upload.js'
import type { Command } from './command.js'
import {
  faultInPatterns,
  faultInStreamOptions,
  filterRows,
  sameRows,
  statsRow,
  transferOptions,
} from './transfer-options.js'

export const put: Command = {
  name: 'put',
  operands: 'FILE... [REMOTE]',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  summary: 'store local files, under their own names or as REMOTE',
  details:
    'With several operands the last one is the target, as with cp: a folder, or the new name. ' +
    '"put - REMOTE" stores standard input, and "put --from-command REMOTE -- PROGRAM WORD..." ' +
    'the output of a program, if it exits with status 0.',
  options: [
    ['-r, --recursive', 'store folders with everything in them'],
    ...sameRows,
    ...filterRows,
    ['--from-command', 'store the output of the program that follows REMOTE'],
    statsRow,
  ],
  completes: ['local', 'remote'],

  faultIn(operands, options) {
    if (options.fromCommand === true) {
      if (operands.length < 2) return '--from-command takes REMOTE and a program: put --help'
      return faultInStreamOptions('--from-command', options)
    }
    if (!operands.some(isStream)) return faultInPatterns(options)
    const [source = '', name = '-'] = operands
    if (!isStream(source) || isStream(name) || operands.length > 2) {
      return '"-" stands alone: put - REMOTE (./- is a file of that name)'
    }
    return faultInStreamOptions('put -', options)
  },

  async run(session, operands, options) {
    const given = transferOptions(options)
    const [first = '', ...others] = operands
    if (options.fromCommand === true) {
      return forEach(session, [first], () => putOutputOf(session, first, given.stats, others))
    }
    if (isStream(first)) {
      const names = others.slice(0, 1)
      return forEach(session, names, (name) => putInput(session, name, given.stats))
    }
    const { sources, target = '/' } = splitOperands(operands)
    const kind = await remoteKind(session.client.namespace, target)
    return new FileUpload(session, given).run(planTargets(sources, target, kind))
  },
}
