/** STATUS: each server, whether it is up and what it holds, and what that means for the user. */
import { limits } from '../../limits.js'
import type { Reply } from '../../wire/messages.js'
import { clockRemark } from '../clock-remark.js'
import type { Cluster } from '../cluster.js'
import type { Link } from '../link.js'
import { sentenceOf } from '../problem.js'
import { type Missing, missingOf } from '../repair/missing.js'
import { type Alignment, alignColumns, sizeText } from '../terminal/format.js'
import type { Command } from './command.js'

interface Health {
  readonly link: Link
  readonly latencyMs?: number
  /** What there is to say of its clock. */
  readonly clock?: string | undefined
  readonly reply?: Reply<'status'>
  /** Why it is down. */
  readonly failure?: string
}

/** The states a server reports, as they are shown, and what there is to say about them. */
const states: Readonly<Record<Reply<'status'>['state'], { shown: string; remark?: string }>> = {
  voting: { shown: 'up' },
  blank: { shown: 'blank', remark: 'has no data yet: repair will fill it' },
  lost: { shown: 'lost', remark: 'its index is gone: a repair fills it from three other servers' },
  unsure: { shown: 'unsure', remark: 'may have lost votes it gave: repair will settle it' },
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
  details: 'Exits with 0 when all four servers are up and complete, else with 1.',
  options: [],
  completes: [],

  async run({ client: { cluster }, output }) {
    const healths = await Promise.all(cluster.links.map((link) => examine(cluster, link)))
    const missing = await missingIn(cluster)
    const rows = healths.map((health) => rowOf(health, missing))
    const titles = columns.map(([title]) => title)
    const alignments = columns.map(([, alignment]) => alignment)
    for (const line of alignColumns([titles, ...rows], alignments)) output.print(line)
    const registersMost = Math.max(...healths.map(({ reply }) => reply?.registers ?? 0))
    const remarks = healths.flatMap((health) => remarksOn(health, missing, registersMost))
    for (const line of remarks) output.print(output.name(line))
    output.print(verdict(healths))
    return healths.every(isVoting) ? 0 : 1
  },
}

async function examine({ clock }: Cluster, link: Link): Promise<Health> {
  if (!link.isUp) return { link, failure: whyDown(link) }
  try {
    const startedMs = clock.monotonic()
    await link.request('ping', {})
    const latencyMs = clock.monotonic() - startedMs
    const askedMs = clock.now()
    const { reply } = await link.request('status', {})
    return { link, latencyMs, reply, clock: clockRemark(reply.timeMs, askedMs, clock.now()) }
  } catch (error) {
    return { link, failure: sentenceOf(error) }
  }
}

function isVoting({ reply }: Health): boolean {
  return reply?.state === 'voting'
}

/** Undefined when it cannot be known now: a server goes away, or too few vote. */
async function missingIn(cluster: Cluster): Promise<ReadonlyMap<number, Missing> | undefined> {
  try {
    return await missingOf(cluster)
  } catch {
    return undefined
  }
}

function remarksOn(
  { link, failure, reply, clock }: Health,
  missing: ReadonlyMap<number, Missing> | undefined,
  registersMost: number,
): string[] {
  if (reply === undefined) return [`${link.name} is down: ${failure ?? 'not connected'}`]
  const { remark } = states[reply.state]
  const remarks = remark === undefined ? [] : [`${link.name} ${remark}`]
  if (reply.state !== 'voting') {
    remarks.push(`${link.name} has ${reply.registers} of ${registersMost} registers so far`)
  }
  if (clock !== undefined) remarks.push(`${link.name}: ${clock}`)
  const { registers = 0, pieces = 0 } = missing?.get(link.index) ?? {}
  if (registers + pieces > 0) {
    remarks.push(`${link.name} still misses ${registers} registers and ${pieces} pieces`)
  }
  if (reply.misplaced > 0) {
    remarks.push(`${link.name}: pieces of ${reply.misplaced} segments are to be moved by repair`)
  }
  return remarks
}

function whyDown(link: Link): string {
  return link.failure === undefined ? 'not connected' : sentenceOf(link.failure)
}

function rowOf(
  { link, latencyMs, reply }: Health,
  missing: ReadonlyMap<number, Missing> | undefined,
): string[] {
  const { host, port } = link.server.address
  const place = [link.name, host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`]
  if (latencyMs === undefined || reply === undefined) {
    return [...place, 'down', '-', '-', '-', '-', '-', '-']
  }
  const lack = missing?.get(link.index)
  return [
    ...place,
    states[reply.state].shown,
    `${latencyMs.toFixed(1)} ms`,
    sizeText(reply.pieceBytes),
    sizeText(reply.diskFreeBytes),
    String(reply.registers),
    String(reply.pieces),
    lack === undefined ? '-' : `${lack.registers}+${lack.pieces}`,
  ]
}

/** The promises of the system for the servers that are there. */
function verdict(healths: readonly Health[]): string {
  const present = healths.filter(isVoting)
  const up = present.map(({ link }) => link.index)
  const neighbours = up.length === 2 && Math.abs((up[0] ?? 0) - (up[1] ?? 0)) !== 2
  if (up.length === limits.serverCount) return 'All four servers are up.'
  if (up.length === limits.serverCount - 1) return 'Three servers: everything works.'
  if (up.length === 2 && neighbours) return 'Two neighbours only: files are incomplete.'
  if (up.length === 2) return 'Two opposite servers: everything can be read, nothing changed.'
  if (up.length === 1) return 'One server: names can be listed.'
  return 'No server: nothing can be done.'
}
