/** The picture of DFC TOP: a mount in as many lines and columns as a terminal has. Pure. */
import { limits } from '../../limits.js'
import { visibleLine } from '../../visible-text.js'
import {
  type Alignment,
  alignColumns,
  countTexts,
  cutColumns,
  sizeText,
} from '../terminal/format.js'
import type { Pace, ProgramRates, Rates } from './top-rates.js'

type Table = readonly [
  columns: readonly (readonly [title: string, Alignment])[],
  rows: readonly (readonly string[])[],
]

/** Lines about one mount, the most important ones first. */
export function viewOf(rates: Rates): readonly string[] {
  const { mountpoint, user, pid, all, readPerSecond, writtenPerSecond } = rates
  return [
    `${visibleLine(mountpoint)}  user ${user}  pid ${pid}`,
    [
      `${rateText(all.perSecond)} operations/s`,
      `${sizeText(readPerSecond)}/s read`,
      `${sizeText(writtenPerSecond)}/s written`,
      ...(all.meanMs === undefined
        ? []
        : [`${msText(all.meanMs)} mean, ${msText(all.slowMs)} 99 %`]),
    ].join('  '),
    [logText(rates), repairText(rates), rates.isAlone ? 'alone' : 'other clients'].join('  '),
    '',
    ...lines(servers(rates)),
    ...rates.servers.flatMap(({ name, failure }) =>
      failure === undefined ? [] : [`${name}: ${visibleLine(failure)}`],
    ),
    '',
    ...(rates.programs.length === 0 ? ['No program uses the mount now'] : lines(programs(rates))),
    ...(rates.operations.length === 0 ? [] : ['', ...lines(operations(rates))]),
  ]
}

/** Lines cut to the columns and rows of a terminal. */
export function fitted(all: readonly string[], columns: number, rows: number): readonly string[] {
  return all.slice(0, Math.max(1, rows)).map((line) => cutColumns(line, Math.max(1, columns)))
}

function lines([columns, rows]: Table): readonly string[] {
  return alignColumns(
    [columns.map(([title]) => title), ...rows],
    columns.map(([, alignment]) => alignment),
  ).map((line) => line.trimEnd())
}

function servers(rates: Rates): Table {
  return [
    [
      ['SERVER', 'left'],
      ['STATE', 'left'],
      ['REQUESTS/S', 'right'],
      ['MEAN', 'right'],
      ['99 %', 'right'],
      ['ADDRESS', 'left'],
    ],
    rates.servers.map(({ name, state, address, ...pace }) => [
      name,
      state,
      ...paceCells(pace),
      address,
    ]),
  ]
}

function programs(rates: Rates): Table {
  return [
    [
      ['PID', 'right'],
      ['WAITS', 'right'],
      ['OPS/S', 'right'],
      ['MEAN', 'right'],
      ['READ/S', 'right'],
      ['WRITTEN/S', 'right'],
      ['PROGRAM', 'left'],
    ],
    shownPrograms(rates.programs).map((program) => [
      program.pid === 0 ? '-' : `${program.pid}`,
      `${Math.round(program.waits * 100)} %`,
      rateText(program.perSecond),
      msText(program.meanMs),
      sizeText(program.readPerSecond),
      sizeText(program.writtenPerSecond),
      visibleLine(program.name),
    ]),
  ]
}

/** Programs that still run, and those that have ended as one row: a script may start hundreds in a second. */
function shownPrograms(programs: readonly ProgramRates[]): readonly ProgramRates[] {
  const ended = programs.filter(({ name }) => name === '')
  const sum = (of: (program: ProgramRates) => number): number =>
    ended.reduce((all, program) => all + of(program), 0)
  const perSecond = sum((program) => program.perSecond)
  const together: ProgramRates = {
    pid: 0,
    name: `(${ended.length} that have ended)`,
    perSecond,
    meanMs: sum((program) => program.meanMs * program.perSecond) / perSecond,
    waits: sum(({ waits }) => waits),
    readPerSecond: sum(({ readPerSecond }) => readPerSecond),
    writtenPerSecond: sum(({ writtenPerSecond }) => writtenPerSecond),
  }
  return [...programs.filter(({ name }) => name !== ''), ...(ended.length > 0 ? [together] : [])]
    .sort((a, b) => b.waits - a.waits)
    .slice(0, limits.topProgramsMax)
}

function operations(rates: Rates): Table {
  return [
    [
      ['OPERATION', 'left'],
      ['PER SECOND', 'right'],
      ['MEAN', 'right'],
      ['99 %', 'right'],
    ],
    rates.operations.map(({ name, ...pace }) => [name, ...paceCells(pace)]),
  ]
}

function paceCells({ perSecond, meanMs, slowMs }: Pace): readonly string[] {
  return [rateText(perSecond), msText(meanMs), msText(slowMs)]
}

function logText({ log: { changes, bytes, ageMs } }: Rates): string {
  if (changes === 0) return 'log: empty'
  return `log: ${changes} changes, ${sizeText(bytes)}, ${msText(ageMs)} old`
}

function repairText({ repair: { isRunning, step, left, lost } }: Rates): string {
  const now = isRunning ? `repair: ${step?.phase ?? 'looking'}` : 'repair: idle'
  const counts = countTexts([
    [left ?? 0, 'left'],
    [lost ?? 0, 'lost'],
  ])
  return [now, ...counts].join(', ')
}

/** Formats a number per second, with a digit behind the point where that says something. */
function rateText(perSecond: number): string {
  return perSecond >= 10 ? `${Math.round(perSecond)}` : `${Number(perSecond.toFixed(1))}`
}

function msText(ms: number | undefined): string {
  if (ms === undefined) return '-'
  if (ms >= 10_000) return `${Math.round(ms / 1000)} s`
  return ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(ms >= 1 ? 1 : 2)} ms`
}
