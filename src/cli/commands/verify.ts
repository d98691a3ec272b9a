/** VERIFY: checks everything on all four servers, and has corrupt copies replaced. */
import type { Client } from '../../dfc/client.js'
import type { LoneRegister } from '../../dfc/repair/claims.js'
import { damageOf, type LostPiece } from '../../dfc/repair/damage.js'
import type { VerifyReport } from '../../dfc/repair/verify.js'
import { debugDfc } from '../../log.js'
import { escapeName } from '../../visible-text.js'
import { pieceRange } from '../../wire/placement.js'
import { parseKey } from '../../wire/records.js'
import { isAhead, msOfVersion } from '../../wire/version.js'
import type { Session } from '../session.js'
import { countTexts, sizeText } from '../terminal/format.js'
import { StatusLine } from '../terminal/status-line.js'
import type { Command } from './command.js'

/** Lone registers of a server that are named. */
const loneShownMax = 10

export const verify: Command = {
  name: 'verify',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'check every register, name, piece and digest on all four servers',
  details: [
    'Replaces corrupt copies from good ones. Reports faults in names and files, and what to do about them. Exits',
    'with 0 when nothing was wrong, with 1 when something was.',
  ].join(' '),
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
      for (const sentence of claimsIn(report, client.cluster)) output.print(sentence)
      if (isClean(report)) return 0
      for (const { where, what } of report.flaws)
        output.print(`wrong: ${escapeName(where)} ${what}`)
      const healed = await client.scheduler.heal({ thorough: true })
      const lost = await stillLost(client, report.lost)
      await nameDamage(session, lost)
      const left = Math.max(healed.left, lost.length) + report.flaws.length
      output.print(left === 0 ? 'Repaired: 0 left' : `Repaired as far as possible: ${left} left`)
      return 1
    } finally {
      line.stop()
    }
  },
}

/** Whether nothing is wrong. Unreferenced pieces are no fault: the servers collect them after a while. */
function isClean(report: VerifyReport): boolean {
  const { differences, undecided, missing, extra, strays, bad, mismatched, lost, claims } = report
  return (
    differences + undecided + missing + extra + strays + bad === 0 &&
    claims.aheadFences.length + claims.madeUpEpochs.length === 0 &&
    mismatched.length + lost.length + report.flaws.length === 0
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
    [report.flaws.length, 'names or files are not as they can be'],
  ])
  const { garbage } = report
  return [
    `${report.segments} segments verified, ${sizeText(report.pieceBytes)} of pieces`,
    ...(garbage > 0 ? [`${garbage} unreferenced pieces await collection`] : []),
    ...(wrong.length === 0 ? ['Everything is as it should be'] : wrong),
  ]
}

/** Says of each server what it alone shows, and what it shows of the future. */
function claimsIn({ claims }: VerifyReport, cluster: Client['cluster']): string[] {
  const { lone, aheadFences, madeUpEpochs } = claims
  const nameOf = (server: number): string => cluster.link(server).name
  const sentences: string[] = []
  for (const server of new Set(lone.map((one) => one.server))) {
    const own = lone.filter((one) => one.server === server)
    const ahead = own.filter(({ version }) => isAhead(version, cluster.clock.now())).length
    const future = ahead > 0 ? `, ${ahead} of them from the future` : ''
    sentences.push(
      `${nameOf(server)} alone shows ${own.length} registers${future}: nothing is copied from it`,
      ...own.slice(0, loneShownMax).map((one) => `  ${nameOf(server)}: ${loneText(one)}`),
    )
  }
  for (const server of aheadFences) {
    sentences.push(`${nameOf(server)} refuses all changes up to a time in the future`)
  }
  for (const server of madeUpEpochs) {
    sentences.push(`${nameOf(server)} shows an epoch that no repairs can have come to`)
  }
  return sentences
}

function loneText({ key, version }: LoneRegister): string {
  const parsed = parseKey(key)
  const time = new Date(msOfVersion(version))
  const when = Number.isNaN(time.getTime()) ? 'of no possible time' : `of ${time.toISOString()}`
  if (parsed.kind === 'inode') return `inode ${parsed.ino}, ${when}`
  return `${escapeName(parsed.name)} in folder ${parsed.parent}, ${when}`
}

/** Returns those of the pieces that the repair has not found on some disk either. */
async function stillLost(
  { content }: Client,
  lost: readonly LostPiece[],
): Promise<readonly LostPiece[]> {
  const left: LostPiece[] = []
  for (const { segment, piece } of lost) {
    const { start, length } = pieceRange(segment.length, piece)
    try {
      await content.reader.read(segment, start, length)
    } catch (error) {
      debugDfc('piece %d of segment %s: %o', piece, segment.id, error)
      left.push({ segment, piece })
    }
  }
  return left
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
