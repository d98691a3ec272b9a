/**
 * The parts of the documents that repeat what the source says. In a document such a part stands
 * between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is a key of `parts`. `npm run docs`
 * writes these parts anew, and test/docs.ts fails when one of them is not as it would be written.
 */

import { serverMetrics } from '../../src/dfs/server-metrics.js'
import { handlers } from '../../src/dfs/session/handlers.js'
import { codeOfWireNumber, DfsError, type ErrorCode, errnoName } from '../../src/errors.js'
import { mountMetrics } from '../../src/fuse/daemon/mount-metrics.js'
import { limits } from '../../src/limits.js'
import { pairOf, piecesFor, serverIndexes } from '../../src/wire/placement.js'
import { protocolVersions, versionsText } from '../../src/wire/protocol-versions.js'
import { decisionRecords } from './decisions.js'
import { importsOf, rooms } from './rooms.js'

/** Makes the text of a part. `before` is the text that the document has now. */
type Part = (before: string) => string

const parts: Readonly<Record<string, Part>> = {
  decisions: () => decisionTable(),
  errors: () => errorTable(),
  lateVerbs: () => `${sentenceOf(lateVerbs().map((verb) => `\`${verb}\``))}.\n`,
  metricsOfMount: () => metricsTable(mountMetrics),
  metricsOfServer: () => metricsTable(serverMetrics),
  limits: (before) => withLimits(before),
  placement: () => placementTable(),
  placementWithoutOne: () => absenceTable(),
  protocolVersions: () => versionsText(protocolVersions),
  rooms: () => roomTable(),
  votesAtOnce: () => String(Math.floor(limits.lateCountAtOnce / 2)),
}

const marked = /(<!-- generated: (\w+) -->\n?)([\s\S]*?)(<!-- end -->)/g

/** The document with every generated part as the source has it now. */
export function rewritten(document: string): string {
  return document.replaceAll(marked, (_, start: string, name: string, before, end) => {
    const part = Object.hasOwn(parts, name) ? parts[name] : undefined
    if (part === undefined) throw new Error(`no part of a document is called "${name}"`)
    return `${start}${part(before)}${end}`
  })
}

/** Rows of a Markdown table, the header first. */
function tableOf(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, header.map(() => '---'), ...rows]
  return lines.map((cells) => `| ${cells.join(' | ')} |\n`).join('')
}

interface DescribedMetric {
  readonly name: string
  readonly type: string
  readonly labels?: readonly string[]
  readonly help: string
}

function metricsTable(metrics: readonly DescribedMetric[]): string {
  const rows = metrics.map(({ name, type, labels = [], help }) => {
    const words = labels.map((label) => `\`${label}\``).join(', ')
    return [`\`${name}\``, type, words || '-', help]
  })
  return tableOf(['metric', 'type', 'labels', 'meaning'], rows)
}

function sentenceOf(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}

function lateVerbs(): readonly string[] {
  const rows = Object.entries<{ readonly answered: string }>(handlers)
  return rows.filter(([, { answered }]) => answered === 'later').map(([verb]) => verb)
}

function decisionTable(): string {
  const rows = decisionRecords().map(({ file, number, title, status, date }) => [
    `[${number}](${file})`,
    title,
    status,
    date,
  ])
  return tableOf(['number', 'decision', 'status', 'date'], rows)
}

function roomTable(): string {
  const rows = Object.entries(rooms).map(([room, { knows, never }]) => [
    room === 'src' ? '`src/*.ts`' : `\`${room}\``,
    knows,
    importsOf(room) || 'one another',
    never,
  ])
  return tableOf(['folder', 'knows', 'may import', 'never'], rows)
}

function errorTable(): string {
  const rows = errorCodes().map((code) => {
    const { wireNumber, errno, message } = new DfsError(code)
    return [String(wireNumber), code, errnoName(errno), message]
  })
  return tableOf(['number', 'code', 'errno', 'sentence'], rows)
}

/** All codes in the order of their numbers. The numbers have no gap: an unknown one reads as `io`. */
function errorCodes(): readonly ErrorCode[] {
  const codes: ErrorCode[] = ['io']
  for (let number = 2; codeOfWireNumber(number) !== 'io'; number += 1) {
    codes.push(codeOfWireNumber(number))
  }
  return codes
}

const serverNames = serverIndexes.map((server) => `DFS${server + 1}`)

function placementTable(): string {
  const rows = serverIndexes.map((rotation) => [
    String(rotation),
    ...serverIndexes.map((server) => pairOf(server, rotation).join(', ')),
  ])
  return tableOf(['x', ...serverNames], rows)
}

/** What each server takes of a segment with the rotation 0 while one server is absent. */
function absenceTable(): string {
  const rows = serverIndexes.map((absent) => [
    serverNames[absent] ?? '',
    ...serverIndexes.map((server) => {
      if (server === absent) return '-'
      const [first, second, third] = piecesFor(server, 0, new Set([absent]))
      return `${first}, ${second}${third === undefined ? '' : ` + **${third}**`}`
    }),
  ])
  return tableOf(['absent', ...serverNames], rows)
}

/**
 * Fills the column "value" of a table from the names of limits in its column "limit". Everything
 * else in the table is written by hand.
 */
function withLimits(table: string): string {
  const lines = table.trimEnd().split('\n')
  const header = cellsOf(lines[0] ?? '')
  const [nameAt, valueAt] = [header.indexOf('limit'), header.indexOf('value')]
  if (nameAt < 0 || valueAt < 0)
    throw new Error('a table of limits has columns "limit" and "value"')
  const filled = lines.map((line, index) => {
    if (index < 2) return line
    const cells = cellsOf(line)
    cells[valueAt] = [...(cells[nameAt] ?? '').matchAll(/`(\w+)`/g)]
      .map(([, name]) => valueOfLimit(name ?? ''))
      .join(', ')
    return `| ${cells.join(' | ')} |`
  })
  return `${filled.join('\n')}\n`
}

function cellsOf(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim())
}

/** The value of a limit as people write it; its name says the unit. */
function valueOfLimit(name: string): string {
  if (!Object.hasOwn(limits, name)) throw new Error(`there is no limit "${name}"`)
  const value = limits[name as keyof typeof limits]
  if (/Bytes/.test(name)) return inUnits(value, byteUnits)
  if (/Ms(Max)?$/.test(name)) return inUnits(value, timeUnits)
  return value.toLocaleString('en')
}

type Units = readonly (readonly [size: number, name: string])[]

const byteUnits: Units = [
  [2 ** 30, 'GiB'],
  [2 ** 20, 'MiB'],
  [2 ** 10, 'KiB'],
  [1, 'bytes'],
]
const timeUnits: Units = [
  [24 * 3600_000, 'days'],
  [3600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
  [1, 'ms'],
]

/** `value` in the greatest of the units of which it is a whole number. */
function inUnits(value: number, units: Units): string {
  const unit = units.find(([size]) => value >= size && value % size === 0)
  if (unit === undefined) return `${value} ${units.at(-1)?.[1]}`
  return `${(value / unit[0]).toLocaleString('en')} ${unit[1]}`
}
