/**
 * Draws a session as an animated SVG: each row appears at its time, over and over. Where nothing moves, as in a
 * viewer without animations, all rows are there from the beginning.
 */
import type { Recorded } from './session.js'

interface Row {
  readonly atMs: number
  readonly text: string
  readonly isCommand: boolean
}

export const columns = 92
const prompt = '$ '
const readingMs = 1_200
const outputMsMax = 2_500
const endMs = 6_000
const rowHeight = 18
const letterWidth = 8.4
const margin = 14
const still = '@media (prefers-reduced-motion: reduce) { text { animation: none !important } }'

/** The text of the SVG file. */
export function drawn(session: readonly Recorded[]): string {
  const rows = rowsOf(session)
  const totalMs = (rows.at(-1)?.atMs ?? 0) + endMs
  const width = Math.ceil(columns * letterWidth + 2 * margin)
  const height = rows.length * rowHeight + 2 * margin
  const moments = [...new Set(rows.map(({ atMs }) => atMs))]
  const style = moments.map((atMs, index) => revealAt(index, (100 * atMs) / totalMs))
  const texts = rows.map(({ atMs, text, isCommand }, index) => {
    const classes = `m${moments.indexOf(atMs)}${isCommand ? ' c' : ''}`
    const y = margin + (index + 0.75) * rowHeight
    return `<text class="${classes}" x="${margin}" y="${y}">${escaped(text)}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" xml:space="preserve">
<title>A session with four servers, one of which hangs and comes back</title>
<style>
text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #c9d1d9; white-space: pre;
  animation-duration: ${totalMs}ms; animation-iteration-count: infinite; animation-timing-function: step-end }
.c { fill: #7ee787 }
${style.join('\n')}
${still}
</style>
<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>
${texts.join('\n')}
</svg>
`
}

function revealAt(index: number, percent: number): string {
  if (percent === 0) return ''
  const from = percent.toFixed(2)
  return `.m${index} { animation-name: k${index} }
@keyframes k${index} { 0% { opacity: 0 } ${from}% { opacity: 1 } 100% { opacity: 1 } }`
}

/** A reader gets time before each command; a long wait is shown shorter. */
function rowsOf(session: readonly Recorded[]): readonly Row[] {
  const rows: Row[] = []
  let nowMs = 0
  for (const { command, outputs } of session) {
    for (const text of wrapped(prompt + command)) rows.push({ atMs: nowMs, text, isCommand: true })
    const beganMs = nowMs
    for (const { afterMs, text } of outputs) {
      nowMs = beganMs + Math.round(Math.min(afterMs, outputMsMax))
      for (const line of text.replace(/\n$/, '').split('\n')) {
        for (const part of wrapped(line)) rows.push({ atMs: nowMs, text: part, isCommand: false })
      }
    }
    nowMs += readingMs
  }
  return rows
}

/** The rows of a terminal that one line takes. */
export function wrapped(line: string): readonly string[] {
  return line.match(new RegExp(`.{1,${columns}}`, 'gu')) ?? ['']
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
