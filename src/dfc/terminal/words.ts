/**
 * Splits a line of the prompt into words as a shell does: blanks separate, '...' keeps everything,
 * "..." keeps all but \" and \\, and a backslash keeps the character behind it. Nothing is expanded.
 */
import { DfsError } from '../../errors.js'

export interface Word {
  readonly text: string
  /** Where the word begins in the line, its quotes included. */
  readonly start: number
  /** The quote that was still open at the end of the line. */
  readonly open: Quote | undefined
}

export type Quote = "'" | '"' | '\\'

/** The words of a complete line. Throws `invalid` when a quote is not closed. */
export function wordsOf(line: string): string[] {
  const words = splitWords(line)
  const open = words.at(-1)?.open
  if (open !== undefined) throw new DfsError('invalid', `unfinished ${open} in the line`)
  return words.map((word) => word.text)
}

/** The words of a line that may still be being typed. */
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
    if (character === quote) {
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
  return { word: { text, start, open: quote }, end: at }
}

/** `text` written so that it reads back as one word, continuing the quote `style` if there is one. */
export function quoteWord(text: string, style?: Quote): string {
  if (style === "'" && !text.includes("'")) return `'${text}`
  if (style === '"') return `"${text.replace(/["\\]/g, '\\$&')}`
  return text === '' ? "''" : text.replace(/[\s'"\\]/g, '\\$&')
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}
