/**
 * Splits a line of the prompt into words like a shell: blanks separate, '...' keeps everything, "..." keeps all but
 * \" and \\, and a backslash keeps the character behind it. $'...' holds escapes, as in bash: \n, \t, \xe9 and \351
 * for any byte, \u00e9. Nothing else is expanded.
 */
import { bytesOf, byteText, hasBytes, textOf } from '../../byte-text.js'
import { DfsError } from '../../errors.js'
import { escapeName } from '../../visible-text.js'

export interface Word {
  readonly text: string
  /** Index in the line at which the word begins, its quotes included. */
  readonly start: number
  /** The quote that was still open at the end of the line. */
  readonly open: Quote | undefined
}

export type Quote = "'" | '"' | '\\' | "$'"

/** The words of a complete line. Throws `invalid` when a quote is not closed. */
export function wordsOf(line: string): string[] {
  const words = splitWords(line)
  const open = words.at(-1)?.open
  if (open !== undefined) throw new DfsError('invalid', `unfinished ${open} in the line`)
  return words.map((word) => word.text)
}

/** The words of a line that may be incomplete. */
export function splitWords(line: string): Word[] {
  const words: Word[] = []
  let at = 0
  for (;;) {
    while (isBlank(line[at])) at += 1
    if (at >= line.length) return words
    const { word, end } = readWord(line, at)
    words.push(word)
    at = end
  }
}

function readWord(line: string, start: number): { word: Word; end: number } {
  let text = ''
  let quote: Quote | undefined
  let at = start
  for (; at < line.length; at += 1) {
    const character = line.charAt(at)
    if (quote === undefined && isBlank(character)) break
    if (quote === "$'" && character === '\\') {
      const [whole, read] = readEscape(line.slice(at))
      text += read
      at += whole.length - 1
    } else if (quote === "$'") {
      if (character === "'") quote = undefined
      else text += character
    } else if (quote === undefined && character === '$' && line[at + 1] === "'") {
      quote = "$'"
      at += 1
    } else if (character === quote) {
      quote = undefined
    } else if (quote === undefined && (character === "'" || character === '"')) {
      quote = character
    } else if (character === '\\' && quote !== "'") {
      const next = line[at + 1]
      if (next === undefined) {
        quote ??= '\\'
      } else if (quote === undefined || next === '"' || next === '\\') {
        text += next
        at += 1
      } else {
        text += character
      }
    } else {
      text += character
    }
  }
  // Several escapes may together be the bytes of one character.
  const whole = hasBytes(text) ? textOf(bytesOf(text)) : text
  return { word: { text: whole, start, open: quote }, end: at }
}

const shortEscapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  e: '\x1b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

/** The escape at the beginning of `line`, and the text that it stands for. */
function readEscape(line: string): readonly [whole: string, read: string] {
  const byte = /^\\(?:x([0-9a-f]{1,2})|([0-3]?[0-7]{1,2}))/i.exec(line)
  if (byte) {
    const [whole, hexadecimal, octal] = byte
    return [
      whole,
      byteText(hexadecimal ? Number.parseInt(hexadecimal, 16) : Number.parseInt(octal ?? '', 8)),
    ]
  }
  const point = /^\\u([0-9a-f]{1,4})/i.exec(line)
  if (point) return [point[0], String.fromCodePoint(Number.parseInt(point[1] ?? '', 16))]
  const next = line.charAt(1)
  return [line.slice(0, 2), shortEscapes[next] ?? next]
}

/** Quotes `text` so that it reads back as one word, continuing the quote `style` if there is one. */
export function quoteWord(text: string, style?: Quote): string {
  if (style === "$'" || escapeName(text) !== text) {
    return `$'${escapeName(text.replace(/[\\']/g, '\\$&'))}${style === "$'" ? '' : "'"}`
  }
  if (style === "'" && !text.includes("'")) return `'${text}`
  if (style === '"') return `"${text.replace(/["\\]/g, '\\$&')}`
  return text === '' ? "''" : text.replace(/[\s'"\\]|\$(?=')/g, '\\$&')
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}
