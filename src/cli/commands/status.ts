/** STATUS: shows for each server whether it is up and what it holds, and whether everything is where it belongs. */
import type { Clock } from '../../clock.js'
import { offsetText } from '../../dfc/cluster/clock-skew.js'
import type { Cluster } from '../../dfc/cluster/cluster.js'
import type { Link } from '../../dfc/cluster/link.js'
import { countOf, type Lack, lackOf } from '../../dfc/repair/missing.js'
import { isFull } from '../../dfc/repair/what-if.js'
import { sentenceOf } from '../../error-message.js'
import { limits } from '../../limits.js'
import { addressText } from '../../network.js'
import type { Reply } from '../../wire/messages.js'
import { quorum } from '../../wire/quorum.js'
import { type Session, type Status, watchServers } from '../session.js'
import {
  type Alignment,
  alignColumns,
  countTexts,
  sizeText,
  timeLeftText,
} from '../terminal/format.js'
import type { Output } from '../terminal/output.js'
import { StatusLine } from '../terminal/status-line.js'
import type { Command, Options } from './command.js'
import { type LeftByMount, leftByMounts } from './left-by-mounts.js'
import { trashUseOf, trashUseText } from './trash-use.js'
import { waitMsOf } from './wait-time.js'

interface Health {
  readonly link: Link
  readonly latencyMs?: number
  /** A remark on the server's clock, if it is off. */
  readonly clock?: string | undefined
  readonly reply?: Reply<'status'>
  /** Reason why the server is down. */
  readonly failure?: string
}

interface Report {
  readonly healths: readonly Health[]
  /** Missing registers and pieces; undefined when not known, because a server went away or failed. */
  readonly lack: Lack | undefined
  /** Why that is not known, if a server has failed. */
  readonly failure: string | undefined
  /** How long a repair that goes on at its present pace still takes, if it makes progress. */
  readonly leftMs: number | undefined
  /** Files with what could not be stored by mounts on this machine. */
  readonly left: readonly LeftByMount[]
}

/** Exit statuses. 2 takes precedence over 1. */
const complete = 0
const incomplete = 1
const serversMissing = 2

const anotherOne = 'Do not take another server down.'

/** The states of servers as users see them, and a remark on each. */
const states: Readonly<Record<Reply<'status'>['state'], { shown: string; remark?: string }>> = {
  voting: { shown: 'up' },
  blank: { shown: 'blank', remark: 'has no data yet; repair will fill it' },
  lost: {
    shown: 'lost',
    remark: 'has lost its index; repair will fill it from three other servers',
  },
  unsure: { shown: 'unsure', remark: 'may have lost votes; repair will validate its data' },
}

const columns: readonly (readonly [title: string, Alignment])[] = [
  ['SERVER', 'left'],
  ['ADDRESS', 'left'],
  ['STATE', 'left'],
  ['LATENCY', 'right'],
  ['USED', 'right'],
  ['FREE', 'right'],
  ['REGISTERS', 'right'],
  ['PIECES', 'right'],
  ['MISSING', 'right'],
]

export const status: Command = {
  name: 'status',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'show which servers are up, what they hold, and what they still miss',
  details: [
    'Exits with 0 when all four servers are up and complete. Exits with 1 when something is missing, misplaced,',
    'lost, undecided or not known, when a disk is full, or when a mount on this machine could not store something.',
    'Exits with 2 when a server is down or does not vote. Take another server down only after 0.',
  ].join(' '),
  options: [
    ['--json', 'print a JSON object'],
    [
      '--wait [time]',
      'wait until everything is complete, at most for a time such as 90s, 10m or 2h',
    ],
  ],
  completes: [],

  async run(session, _, options) {
    const report = await reportOf(session, options)
    const trash = await trashUseOf(session)
    if (options.json) {
      const all = { ...described(report), trash: trash ?? null }
      session.output.print(JSON.stringify(all, undefined, 2))
    } else printReport(session.output, report, trash && trashUseText(trash))
    return statusOf(report) === complete && report.left.length > 0 ? incomplete : statusOf(report)
  },
}

/** The report of STATUS as an object, for JSON. */
export async function statusObject(cluster: Cluster): Promise<object> {
  return described(await look(cluster, new Pace(cluster.clock)))
}

// -- collecting the states of the servers --------------------------------------------------------

async function reportOf(session: Session, { wait }: Options): Promise<Report> {
  const { clock } = session.client.cluster
  const pace = new Pace(clock)
  if (wait === undefined || wait === false) return look(session.client.cluster, pace)
  const untilMs = clock.monotonic() + (wait === true ? Infinity : waitMsOf(`${wait}`))
  const line = new StatusLine(session.output)
  const watch = watchServers(session)
  try {
    await watch.begin()
    for (let turn = 1; ; turn += 1) {
      session.interrupted.throwIfAborted()
      const report = await look(session.client.cluster, pace)
      const leftMs = untilMs - clock.monotonic()
      if (statusOf(report) === complete || leftMs <= 0) return report
      line.show(`waiting: ${whatIsLeft(report)}`)
      // With a server away nothing gets complete: then it is looked out for, and nothing else.
      const isAway = report.healths.some(({ reply }) => reply === undefined)
      const pauseMs = isAway
        ? limits.watchMsMax
        : Math.min(turn * limits.statusWaitMs, limits.statusWaitMsMax)
      await session.apart(() => watch.changed(Math.min(pauseMs, leftMs), session.interrupted))
    }
  } finally {
    line.stop()
  }
}

/** The pace at which repairs copy what is missing, measured since the first look. */
class Pace {
  readonly #clock: Clock
  #first: { readonly atMs: number; readonly count: number } | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Returns how long the rest takes at this pace; undefined when nothing is missing, or nothing was copied. */
  leftMs(lack: Lack): number | undefined {
    const count = countOf(lack.missing)
    const atMs = this.#clock.monotonic()
    if (this.#first === undefined || count > this.#first.count) {
      this.#first = { atMs: atMs - lack.copied.ms, count: count + lack.copied.count }
    }
    const done = this.#first.count - count
    return done === 0 || count === 0 ? undefined : ((atMs - this.#first.atMs) * count) / done
  }
}

function whatIsLeft(report: Report): string {
  const { healths, lack } = report
  const away = healths.filter((health) => !isVoting(health)).map(({ link }) => link.name)
  if (away.length > 0) return `${away.join(', ')} not there yet`
  const what = lack === undefined ? [unknownText(report)] : lackText(lack)
  return [...what, ...fullTexts(report), ...leftTexts(report)].join(', ')
}

function unknownText({ failure }: Report): string {
  return failure === undefined
    ? 'what is missing is not known'
    : `what is missing is not known: ${failure}`
}

/** A phrase about each server whose disk is full. */
function fullTexts({ healths }: Report): string[] {
  return healths.flatMap(({ link, reply }) => (isFull(reply) ? fullText(link) : []))
}

function fullText({ name }: Link): string {
  return `${name} has no space left`
}

/** A phrase about the time that repair still takes, if that is known. */
function leftTexts({ leftMs }: Report): string[] {
  return leftMs === undefined ? [] : [`about ${timeLeftText(leftMs)} left`]
}

async function look(cluster: Cluster, pace: Pace): Promise<Report> {
  await cluster.refreshBlank()
  let failure: string | undefined
  const found = await lackOf(cluster).catch((error: unknown) => {
    failure = sentenceOf(error)
    return undefined
  })
  // The health is asked for last, so that a server that went away meanwhile is not shown as up.
  const healths = await Promise.all(cluster.links.map((link) => examine(cluster, link)))
  const lack = found?.missing.size === healths.filter(isVoting).length ? found : undefined
  return {
    healths,
    left: leftByMounts(cluster.id, cluster.config),
    lack,
    failure,
    leftMs: lack && pace.leftMs(lack),
  }
}

async function examine({ clock }: Cluster, link: Link): Promise<Health> {
  if (!link.isUp) return { link, failure: whyDown(link) }
  try {
    const startedMs = clock.monotonic()
    await link.request('ping', {})
    const latencyMs = clock.monotonic() - startedMs
    const { reply } = await link.request('status', {})
    return { link, latencyMs, reply, clock: offsetText(clock.offsetOf(link.name) ?? 0) }
  } catch (error) {
    return { link, failure: sentenceOf(error) }
  }
}

function isVoting({ reply }: Health): boolean {
  return reply?.state === 'voting'
}

function whyDown(link: Link): string {
  return link.failure === undefined ? 'not connected' : sentenceOf(link.failure)
}

// -- judging the report --------------------------------------------------------------------------

function statusOf(report: Report): Status {
  if (!report.healths.every(isVoting)) return serversMissing
  return isAllThere(report) && fullTexts(report).length === 0 ? complete : incomplete
}

function isAllThere({ lack }: Report): boolean {
  return lack !== undefined && lackText(lack).length === 0
}

function total({ missing }: Lack): { registers: number; pieces: number } {
  const all = [...missing.values()]
  return {
    registers: all.reduce((sum, { registers }) => sum + registers, 0),
    pieces: all.reduce((sum, { pieces }) => sum + pieces, 0),
  }
}

function lackText(lack: Lack): string[] {
  const { registers, pieces } = total(lack)
  return countTexts([
    [registers, 'registers missing'],
    [pieces, 'pieces missing'],
    [lack.misplaced, 'segments with pieces awaiting relocation'],
    [lack.undecided, 'changes undecided'],
    [lack.lost, 'segments that lost data for good'],
  ])
}

/** A sentence about what works with the servers that are there. */
function verdict(report: Report): string {
  const { healths, lack } = report
  const present = healths.filter(isVoting)
  const up = present.map(({ link }) => link.index)
  const neighbours = up.length === 2 && Math.abs((up[0] ?? 0) - (up[1] ?? 0)) !== 2
  if (up.length === limits.serverCount) {
    if (statusOf(report) === complete) return 'All four servers are up and complete.'
    if (isAllThere(report)) {
      return `All four servers are up and complete, but ${fullTexts(report).join(', ')}. ${anotherOne}`
    }
    const what = lack === undefined ? unknownText(report) : lackText(lack).join(', ')
    return `All four servers are up but not complete: ${what}. ${anotherOne}`
  }
  if (up.length === quorum.commit) return `Three servers: everything works. ${anotherOne}`
  if (up.length === 2 && neighbours)
    return `Two neighbours only: files are incomplete. ${anotherOne}`
  if (up.length === 2)
    return `Two opposite servers: everything can be read, nothing can be changed. ${anotherOne}`
  if (up.length === 1) return `One server: names can be listed. ${anotherOne}`
  if (healths.some(({ reply }) => reply?.state === 'unsure')) {
    return 'No server votes: start all four, then "dfc heal" compares them. If one does not come back: "dfc heal --without NAME".'
  }
  return 'No server: nothing can be done.'
}

// -- printing the report -------------------------------------------------------------------------

function printReport(output: Output, report: Report, trash: string | undefined): void {
  const { healths, lack } = report
  const titles = columns.map(([title]) => title)
  const alignments = columns.map(([, alignment]) => alignment)
  const rows = healths.map((health) => rowOf(health, lack))
  for (const line of alignColumns([titles, ...rows], alignments)) output.print(line)
  for (const health of healths) {
    for (const line of remarksOn(health, report)) output.print(output.name(line))
  }
  if (lack !== undefined && lack.lost > 0) {
    output.print(
      `${lack.lost} segments have lost data for good: LIST shows the files, VERIFY the bytes`,
    )
  }
  for (const { path, what, todo } of report.left) {
    output.print(output.name(`${path}: ${what}; ${todo}`))
  }
  const repair = repairText(report)
  if (repair !== undefined) output.print(repair)
  if (trash !== undefined) output.print(trash)
  output.print(verdict(report))
}

/** A sentence about how the repair of what is missing goes on; undefined when nothing is missing. */
function repairText(report: Report): string | undefined {
  const { lack } = report
  if (lack === undefined || countOf(lack.missing) === 0) return undefined
  const [left] = leftTexts(report)
  if (left !== undefined) return `Repair goes on: ${left}`
  return 'Repair made no progress just now: a mount repairs by itself, HEAL does it at once'
}

function rowOf({ link, latencyMs, reply }: Health, lack: Lack | undefined): string[] {
  const place = [link.name, addressText(link.server.address)]
  if (latencyMs === undefined || reply === undefined) {
    return [...place, 'down', '-', '-', '-', '-', '-', '-']
  }
  const missing = lack?.missing.get(link.index)
  return [
    ...place,
    states[reply.state].shown,
    `${latencyMs.toFixed(1)} ms`,
    sizeText(reply.pieceBytes),
    sizeText(reply.diskFreeBytes),
    String(reply.registers),
    String(reply.pieces),
    missing === undefined ? '-' : `${missing.registers}+${missing.pieces}`,
  ]
}

function remarksOn(
  { link, failure, reply, clock }: Health,
  { healths, lack }: Report,
): readonly string[] {
  if (reply === undefined) return [`${link.name} is down: ${failure ?? 'not connected'}`]
  const { remark } = states[reply.state]
  const remarks = remark === undefined ? [] : [`${link.name} ${remark}`]
  if (reply.state !== 'voting') {
    const most = Math.max(...healths.map((health) => health.reply?.registers ?? 0))
    remarks.push(`${link.name} has ${reply.registers} of ${most} registers so far`)
  }
  if (isFull(reply)) remarks.push(fullText(link))
  if (clock !== undefined) remarks.push(`${link.name}'s clock is ${clock} the others`)
  const { registers = 0, pieces = 0 } = lack?.missing.get(link.index) ?? {}
  if (registers + pieces > 0) {
    remarks.push(`${link.name} still misses ${registers} registers and ${pieces} pieces`)
  }
  return remarks
}

function described(report: Report): object {
  const { healths, lack } = report
  return {
    complete: statusOf(report) === complete,
    mayTakeAnotherDown: statusOf(report) === complete,
    verdict: verdict(report),
    misplaced: lack?.misplaced ?? null,
    undecided: lack?.undecided ?? null,
    lost: lack?.lost ?? null,
    notKnown: report.failure ?? null,
    repairSecondsLeft: report.leftMs === undefined ? null : Math.ceil(report.leftMs / 1000),
    leftByMounts: report.left,
    servers: healths.map((health) => {
      const { link, latencyMs, reply, failure } = health
      return {
        name: link.name,
        address: addressText(link.server.address),
        state: reply === undefined ? 'down' : states[reply.state].shown,
        ...(failure === undefined ? {} : { failure }),
        latencyMs: latencyMs ?? null,
        usedBytes: reply?.pieceBytes ?? null,
        freeBytes: reply?.diskFreeBytes ?? null,
        registers: reply?.registers ?? null,
        pieces: reply?.pieces ?? null,
        missing: lack?.missing.get(link.index) ?? null,
        remarks: remarksOn(health, report),
      }
    }),
  }
}
