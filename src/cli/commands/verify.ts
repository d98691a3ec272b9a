/** VERIFY: checks everything on all four servers, and has corrupt copies replaced. */
import { damageOf, type LostPiece } from '../../dfc/repair/damage.js'
import type { VerifyReport } from '../../dfc/repair/verify.js'
import { escapeName } from '../../visible-text.js'
import type { Session } from '../session.js'
import { countTexts, sizeText } from '../terminal/format.js'
import { StatusLine } from '../terminal/status-line.js'
import type { Command } from './command.js'

export const verify: Command = {
  name: 'verify',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'check every register, piece and digest on all four servers',
  details: 'Corrupt copies are replaced from good ones. Exits with 0 when nothing was wrong.',
  options: [],
  completes: [],

  async run(session) {
    const { client, output } = session
    const line = new StatusLine(output)
    try {
      const report = await client.verify({
        progress(done, bytes) {
          session.interrupted.throwIfAborted()
          line.show(`${done} segments, ${sizeText(bytes)} of pieces`)
        },
        badCopy: (server, segment, piece) => client.scheduler.noteBadCopy(server, segment, piece),
      })
      line.stop()
      for (const sentence of sentencesOf(report)) output.print(sentence)
      if (isClean(report)) return 0
      await nameDamage(session, report.lost)
      const healed = await client.scheduler.heal({ thorough: true })
      const left = Math.max(healed.left, report.lost.length)
      output.print(left === 0 ? 'Repaired: 0 left' : `Repaired as far as possible: ${left} left`)
      return 1
    } finally {
      line.stop()
    }
  },
}

/** Whether nothing is wrong. Unreferenced pieces are not: the servers collect them after a while. */
function isClean(report: VerifyReport): boolean {
  const { differences, undecided, missing, extra, strays, bad, mismatched, lost } = report
  return (
    differences + undecided + missing + extra + strays + bad === 0 &&
    mismatched.length === 0 &&
    lost.length === 0
  )
}

function sentencesOf(report: VerifyReport): string[] {
  const { differences, rotten, undecided, missing, extra, bad, mismatched, lost } = report
  const wrong = countTexts([
    [rotten, 'registers are corrupt on a server'],
    [differences, 'registers differ'],
    [undecided, 'changes are undecided'],
    [missing, 'pieces are missing from where they belong'],
    [extra, 'pieces are where they do not belong'],
    [report.strays, 'files on servers belong to no piece'],
    [bad, 'copies of pieces are corrupt or missing'],
    [mismatched.length, 'segments do not match their MD5'],
    [lost.length, 'pieces are lost: no server has a good copy'],
  ])
  const { garbage } = report
  return [
    `${report.segments} segments verified, ${sizeText(report.pieceBytes)} of pieces`,
    ...(garbage > 0 ? [`${garbage} unreferenced pieces await collection`] : []),
    ...(wrong.length === 0 ? ['Everything is as it should be'] : wrong),
  ]
}

/** Prints the files that lost pieces belong to. */
export async function nameDamage(
  { client, output }: Pick<Session, 'client' | 'output'>,
  lost: readonly LostPiece[],
): Promise<void> {
  if (lost.length === 0) return
  for await (const { path, from, to } of damageOf(client.namespace, lost)) {
    output.print(`lost: ${escapeName(path)}: bytes ${from} to ${to - 1}`)
  }
}
