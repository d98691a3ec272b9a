/**
 * Text of others for terminals and logs: names, messages of servers, addresses. What would act on a terminal, or make
 * one line look like two, is shown as an escape. Pure.
 */
import { withVisibleBytes } from './byte-text.js'

const lineCharactersMax = 4096

/** Characters that act on a terminal: C0, DEL, C1, line separators, and those that change the direction of text. */
const unsafe = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

const shortEscapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** Returns `name` with every character that could act on a terminal as an escape. */
export function escapeName(name: string): string {
  const safe = name.replace(
    unsafe,
    (character) => shortEscapes[character] ?? numericEscape(character),
  )
  return withVisibleBytes(safe)
}

function numericEscape(character: string): string {
  const code = character.codePointAt(0) ?? 0
  const digits = code.toString(16)
  return code < 0x80 ? `\\x${digits.padStart(2, '0')}` : `\\u${digits.padStart(4, '0')}`
}

/** Returns one line of a log: escaped, and cut where somebody has made it very long. */
export function visibleLine(text: string): string {
  const escaped = escapeName(text)
  return escaped.length <= lineCharactersMax ? escaped : `${escaped.slice(0, lineCharactersMax)}...`
}
