/** Formats of names, modes, times, sizes and tables for users. Pure. */
import stringWidth from 'string-width'
import { bytesOf, hasBytes, withVisibleBytes } from '../../byte-text.js'
import type { Time } from '../../clock.js'
import { fileType, typeOf } from '../../wire/records.js'

const typeLetters: Readonly<Record<number, string>> = {
  [fileType.file]: '-',
  [fileType.folder]: 'd',
  [fileType.symlink]: 'l',
  [fileType.fifo]: 'p',
  [fileType.socket]: 's',
  [fileType.characterDevice]: 'c',
  [fileType.blockDevice]: 'b',
}

const typeWords: Readonly<Record<number, string>> = {
  [fileType.file]: 'file',
  [fileType.folder]: 'folder',
  [fileType.symlink]: 'symlink',
  [fileType.fifo]: 'fifo',
  [fileType.socket]: 'socket',
  [fileType.characterDevice]: 'character device',
  [fileType.blockDevice]: 'block device',
}

export function typeWord(mode: number): string {
  return typeWords[typeOf(mode)] ?? 'unknown'
}

/** A field of a JSON object. JSON holds no bytes: those of a name that is not UTF-8 are added in hexadecimal. */
export function nameField(field: string, text: string): object {
  if (!hasBytes(text)) return { [field]: text }
  return { [field]: withVisibleBytes(text), [`${field}Bytes`]: bytesOf(text).toString('hex') }
}

/** Phrases such as "3 pieces missing", for those of `counts` that are not 0. */
export function countTexts(counts: readonly (readonly [count: number, what: string])[]): string[] {
  return counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
}

/** Formats a mode as in the first column of ls -l: `drwxr-sr-t`. */
export function modeText(mode: number): string {
  const bits = (shift: number, special: number, letter: string): string => {
    const execute = (mode >> shift) & 1
    const mark = execute ? letter : letter.toUpperCase()
    return [
      (mode >> shift) & 4 ? 'r' : '-',
      (mode >> shift) & 2 ? 'w' : '-',
      mode & special ? mark : execute ? 'x' : '-',
    ].join('')
  }
  const type = typeLetters[typeOf(mode)] ?? '?'
  return type + bits(6, 0o4000, 's') + bits(3, 0o2000, 's') + bits(0, 0o1000, 't')
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const halfYearSeconds = 31_556_952 / 2

/**
 * Formats a time like ls -l in the C locale: with the time of day for the last half year, otherwise with the year.
 */
export function listTime(time: Time, nowMs: number): string {
  const date = new Date(time.seconds * 1000)
  const ageSeconds = nowMs / 1000 - time.seconds
  const recent = ageSeconds >= 0 && ageSeconds < halfYearSeconds
  const two = (number: number): string => String(number).padStart(2, '0')
  const last = recent
    ? `${two(date.getHours())}:${two(date.getMinutes())}`
    : String(date.getFullYear()).padStart(5)
  return `${months[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${last}`
}

/** Formats a time as ISO 8601 in UTC with all nine digits of the fraction. */
export function isoTime(time: Time): string {
  const date = new Date(time.seconds * 1000)
  if (Number.isNaN(date.getTime())) return `@${time.seconds}`
  return date.toISOString().replace('000Z', `${String(time.nanoseconds).padStart(9, '0')}Z`)
}

const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** Formats a size as `1023 B`, `1.5 KiB` or `12 GiB`. */
export function sizeText(bytes: number): string {
  let value = bytes
  let unit = 'B'
  for (const larger of units) {
    if (value < 1000) break
    value /= 1024
    unit = larger
  }
  return `${unit === 'B' || value >= 10 ? Math.round(value) : value.toFixed(1)} ${unit}`
}

/** Formats how long something takes as `8 s`, `12 min` or `3 h`, rounded up. */
export function timeLeftText(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  if (seconds < 100) return `${seconds} s`
  return seconds < 6000 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`
}

/** Formats a number of things: `1 file`, `12 files`. */
export function countText(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

/** Formats a duration by its two largest units: `0.4 s`, `12 s`, `3 min 12 s`, `2 h 5 min`. */
export function elapsedText(ms: number): string {
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

export type Alignment = 'left' | 'right'

/** The rows with their columns padded to equal widths on the terminal; the last column is left as it is. */
export function alignColumns(
  rows: readonly (readonly string[])[],
  alignments: readonly Alignment[],
): string[] {
  const widths = alignments.map((_, column) =>
    rows.reduce((width, row) => Math.max(width, stringWidth(row[column] ?? '')), 0),
  )
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const blanks = ' '.repeat((widths[column] ?? 0) - stringWidth(cell))
        if (alignments[column] === 'right') return blanks + cell
        return column === row.length - 1 ? cell : cell + blanks
      })
      .join(' '),
  )
}

const graphemes = new Intl.Segmenter()

/** The end of `text`, in exactly `columns` of a terminal. */
export function fitColumns(text: string, columns: number): string {
  let shown = ''
  for (const { segment } of [...graphemes.segment(text)].toReversed()) {
    if (stringWidth(segment + shown) > columns) break
    shown = segment + shown
  }
  return shown + ' '.repeat(columns - stringWidth(shown))
}

/** The beginning of `text`, in at most `columns` of a terminal. */
export function cutColumns(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text
  let shown = ''
  for (const { segment } of graphemes.segment(text)) {
    if (stringWidth(shown + segment) > columns) break
    shown += segment
  }
  return shown
}

const barColumns = 20

/** Draws `progress`, from 0 to 1, as a bar of `#` and `-`. */
export function barText(progress: number): string {
  const full = Math.round(Math.min(1, Math.max(0, progress)) * barColumns)
  return `[${'#'.repeat(full)}${'-'.repeat(barColumns - full)}]`
}
