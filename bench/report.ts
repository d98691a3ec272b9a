/** Formats the results: as a table for users, and as numbers for programs. */
import type { Column, Row } from './measure.js'
import { median, spread } from './samples.js'
import { units } from './work.js'

const titleWidth = 54
const valueWidth = 15
const spreadWidth = 6

export function header(compared: boolean): string {
  const ours = 'ours'.padStart(valueWidth) + ''.padStart(spreadWidth)
  const theirs = 'theirs'.padStart(valueWidth) + ''.padStart(spreadWidth) + 'ratio'.padStart(8)
  return 'work'.padEnd(titleWidth) + ours + (compared ? theirs : '')
}

/** Formats a row: one line, and one more for each failure and for a program that is missing. */
export function linesOf(row: Row): string[] {
  const [ours, theirs] = row.columns
  const ratio = ratioOf(row)
  const text =
    row.title.padEnd(titleWidth) +
    (ours === undefined ? '' : cell(ours, row)) +
    (theirs === undefined ? '' : cell(theirs, row)) +
    (Number.isNaN(ratio) ? '' : ratio.toFixed(2).padStart(8))
  const failures = row.columns.flatMap(({ failure }, index) =>
    failure === undefined ? [] : [`    ${index === 0 ? 'ours' : 'theirs'}: ${failure}`],
  )
  const missing = row.missing === undefined ? [] : [`    ${row.missing} is not installed here`]
  return [text, ...missing, ...failures]
}

/** Returns the ratio of ours to theirs, inverted for units of which more is better: below 1 ours is better. */
function ratioOf({ unit, columns }: Row): number {
  const [ours, theirs] = columns.map(({ values }) => median(values))
  if (ours === undefined || theirs === undefined) return Number.NaN
  return units[unit].more ? theirs / ours : ours / theirs
}

export interface Numbers {
  readonly work: string
  readonly title: string
  readonly unit: string
  readonly ours: number | null
  readonly oursAll: readonly number[]
  readonly theirs: number | null
  readonly theirsAll: readonly number[]
  readonly ratio: number | null
  readonly missing: string | null
  readonly failures: readonly string[]
}

export function numbersOf(row: Row): Numbers {
  const { work, title, unit, missing, columns } = row
  const [ours = [], theirs = []] = columns.map(({ values }) => values)
  return {
    work,
    title,
    unit,
    ours: orNull(median(ours)),
    oursAll: ours,
    theirs: orNull(median(theirs)),
    theirsAll: theirs,
    ratio: orNull(ratioOf(row)),
    missing: missing ?? null,
    failures: columns.flatMap(({ failure }) => failure ?? []),
  }
}

function cell({ values }: Column, { unit }: Row): string {
  const { decimals } = units[unit]
  const value = values.length === 0 ? '-' : `${median(values).toFixed(decimals)} ${unit}`
  const around = spread(values)
  const percent = Number.isNaN(around) ? '' : `±${Math.round(around * 100)}%`
  return value.padStart(valueWidth) + percent.padStart(spreadWidth)
}

function orNull(value: number): number | null {
  return Number.isNaN(value) ? null : value
}
