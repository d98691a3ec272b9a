/** GET: copies files from the servers into the working folder, or to the target that the last operand names. */
import { stat } from 'node:fs/promises'
import { localPath } from '../../byte-text.js'
import { assertOutputIsOpen } from '../local/standard-streams.js'
import { parseMoment } from '../terminal/moment.js'
import { FileDownload } from '../transfer/download.js'
import { getPast, noFoldersAt } from '../transfer/past.js'
import { isStream, planTargets, splitOperands, type TargetKind } from '../transfer/targets.js'
import type { Command } from './command.js'
import {
  faultInPatterns,
  faultInStreamOptions,
  filterRows,
  otherOptions,
  sameRows,
  statsRow,
  transferOptions,
} from './transfer-options.js'

export const get: Command = {
  name: 'get',
  operands: 'NAME... [LOCAL]',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  summary: 'fetch files into the working folder, or to LOCAL',
  details:
    'With several operands the last one is the target, as with cp: a folder, or the new name. ' +
    '"get NAME -" writes to standard output.',
  options: [
    ['-r, --recursive', 'fetch folders with everything in them'],
    ...sameRows,
    ...filterRows,
    ['--resume', 'if the transfer ends early, keep what has arrived; continue from there'],
    statsRow,
    ['--at <time>', 'fetch files as they were 2h ago, or on 2026-11-28 (see VERSIONS)'],
  ],
  completes: ['remote', 'local'],

  faultIn(operands, options) {
    const { sources, target = '.' } = splitOperands(operands)
    const toOutput = isStream(target)
    if (toOutput && sources.length > 1) {
      return '"-" takes one file: get NAME - (./- is a file of that name)'
    }
    if (options.at !== undefined) {
      const [other] = otherOptions(options, ['at'])
      if (options.recursive === true) return noFoldersAt
      if (toOutput || other !== undefined)
        return '--at fetches files into files, and goes with no other option'
    }
    return toOutput ? faultInStreamOptions('get NAME -', options) : faultInPatterns(options)
  },

  async run(session, operands, options) {
    const { sources, target = '.' } = splitOperands(operands)
    const toOutput = isStream(target)
    if (toOutput) assertOutputIsOpen()
    const steps = planTargets(sources, target, toOutput ? 'absent' : await localKind(target))
    if (options.at !== undefined) {
      const nowMs = session.client.cluster.clock.now()
      return getPast(session, steps, parseMoment(String(options.at), nowMs, '--at'))
    }
    // Bars would be drawn into what is written to the same terminal.
    const hasBars = !toOutput || process.stdout.isTTY !== true
    return new FileDownload(session, { ...transferOptions(options), hasBars }).run(steps)
  },
}

async function localKind(path: string): Promise<TargetKind> {
  const found = await stat(localPath(path)).catch(() => undefined)
  if (found === undefined) return 'absent'
  return found.isDirectory() ? 'folder' : 'other'
}
