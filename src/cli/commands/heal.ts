/** HEAL: repairs now what a mount would repair by itself, and prints what was done. */
import type { HealPhase, HealProgress, HealReport } from '../../dfc/repair/heal.js'
import { serverNamed } from '../named-server.js'
import { barText } from '../terminal/format.js'
import { StatusLine } from '../terminal/status-line.js'
import type { Command } from './command.js'
import { nameDamage } from './verify.js'

const phases: Readonly<Record<HealPhase, string>> = {
  fill: 'filling a blank server: registers',
  undecided: 'finishing interrupted changes',
  registers: 'copying registers',
  pieces: 'moving pieces',
  sweep: 'sweeping',
}

export const heal: Command = {
  name: 'heal',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'bring servers that were away up to date',
  details: [
    'Exits with 0 when all four servers agree and hold their pieces, otherwise with 1. Ignores changes that are',
    'being stored at the same time.',
  ].join(' '),
  options: [
    ['--thorough', 'compare everything, not only what a server may have missed'],
    [
      '--without <server>',
      'a server that does not come back after a power cut of all four: compare the other three without it',
    ],
  ],
  completes: [],

  async run({ client, output }, _, options) {
    const line = new StatusLine(output)
    const { without } = options
    try {
      const report = await client.scheduler.heal({
        thorough: options.thorough === true,
        without:
          typeof without === 'string'
            ? serverNamed(client.cluster.config, without).index
            : undefined,
        progress: (step) => line.show(describeProgress(step)),
      })
      line.stop()
      const nameOf = (server: number): string => client.cluster.link(server).name
      for (const sentence of summaryOf(report, nameOf)) output.print(sentence)
      await nameDamage({ client, output }, report.lost)
      return report.left === 0 ? 0 : 1
    } finally {
      line.stop()
    }
  },
}

/** One line about a step of a repair. */
export function describeProgress({ phase, done, total }: HealProgress): string {
  if (total === undefined) return done === 0 ? phases[phase] : `${phases[phase]} ${done}`
  return `${barText(total === 0 ? 1 : done / total)} ${phases[phase]} ${done} of ${total}`
}

function summaryOf(report: HealReport, nameOf: (server: number) => string): string[] {
  const { filledServers, registersCopied, piecesCopied, piecesDropped, lost, left } = report
  const { registersRestored, orphansDeleted, straysDeleted, young } = report
  const lines = filledServers.map((server) => `${nameOf(server)} was filled`)
  lines.push(
    `${registersCopied} registers and ${piecesCopied} pieces copied, ${piecesDropped} pieces dropped`,
  )
  if (registersRestored > 0) lines.push(`${registersRestored} corrupt registers replaced`)
  if (orphansDeleted > 0) lines.push(`${orphansDeleted} files without a name deleted`)
  if (straysDeleted > 0) lines.push(`${straysDeleted} files that belong to no piece moved aside`)
  if (lost.length > 0) lines.push(`${lost.length} pieces are lost: no server has a good copy`)
  if (report.failure !== undefined)
    lines.push(`part of the repair failed: ${report.failure.message}`)
  const isAside = young === 0 ? '' : ` except for ${young} changes that are being stored now`
  lines.push(left === 0 ? `All four servers agree${isAside}: 0 left` : `${left} left`)
  return lines
}
