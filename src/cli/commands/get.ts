/** GET: copies files from the servers into the working folder, or to the target that the last operand names. */
import { stat } from 'node:fs/promises'
import { localPath } from '../../byte-text.js'
import { FileDownload } from '../transfer/download.js'
import { planTargets, splitOperands, type TargetKind } from '../transfer/targets.js'
import type { Command } from './command.js'

export const get: Command = {
  name: 'get',
  operands: 'NAME... [LOCAL]',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  summary: 'fetch files into the working folder, or to LOCAL',
  details:
    'With several operands the last one is the target, as with cp: a folder, or the new name.',
  options: [['-r, --recursive', 'fetch folders with everything in them']],
  completes: ['remote', 'local'],

  async run(session, operands, options) {
    const { sources, target = '.' } = splitOperands(operands)
    const steps = planTargets(sources, target, await localKind(target))
    return new FileDownload(session, { recursive: options.recursive === true }).run(steps)
  },
}

async function localKind(path: string): Promise<TargetKind> {
  const found = await stat(localPath(path)).catch(() => undefined)
  if (found === undefined) return 'absent'
  return found.isDirectory() ? 'folder' : 'other'
}
