/**
 * Text that stands for any bytes: names, targets of symbolic links, paths. Inside the programs, on the wire
 * and in the tables a name is valid Unicode. A byte that is not part of valid UTF-8 is one code point of a
 * reserved block at the end of plane 16, U+10FF00 + byte; the UTF-8 of a code point of that block counts as
 * not valid. So each string of bytes has exactly one text, and what is UTF-8 is its own. Pure.
 *
 *     63 61 66 e9      "caf\u{10ffe9}"
 *     63 61 66 c3 a9   "café"
 */
import { isUtf8 } from 'node:buffer'

const reservedFrom = 0x10ff00
/** The first half of the surrogate pair of each reserved code point, and of some others. */
const reservedHigh = '\udbff'
const reserved = /[\u{10ff80}-\u{10ffff}]/u
const allReserved = /[\u{10ff80}-\u{10ffff}]/gu
/** A reserved code point is four bytes of UTF-8 and stands for one byte. */
const extraBytes = 3

/** Converts `bytes` to the text that stands for them. */
export function textOf(bytes: Buffer): string {
  if (isUtf8(bytes)) {
    const text = bytes.toString()
    if (!hasBytes(text)) return text
  }
  let text = ''
  let from = 0
  for (let at = 0; at < bytes.length; ) {
    const length = validLength(bytes, at)
    if (length > 0) {
      at += length
      continue
    }
    text += bytes.toString('utf8', from, at)
    text += String.fromCodePoint(reservedFrom + bytes.readUInt8(at))
    at += 1
    from = at
  }
  return text + bytes.toString('utf8', from)
}

/** Converts `text` to the bytes that it stands for. */
export function bytesOf(text: string): Buffer {
  if (!hasBytes(text)) return Buffer.from(text)
  const parts: Buffer[] = []
  let from = 0
  for (const { 0: character, index } of text.matchAll(allReserved)) {
    parts.push(Buffer.from(text.slice(from, index)))
    parts.push(Buffer.of((character.codePointAt(0) ?? 0) - reservedFrom))
    from = index + character.length
  }
  return Buffer.concat([...parts, Buffer.from(text.slice(from))])
}

/** The text of a single byte, for use beside others that together may be one character. */
export function byteText(byte: number): string {
  return byte < 0x80 ? String.fromCharCode(byte) : String.fromCodePoint(reservedFrom + byte)
}

/** Number of bytes that `text` stands for. */
export function byteLengthOf(text: string): number {
  const length = Buffer.byteLength(text)
  if (!hasBytes(text)) return length
  return length - extraBytes * (text.match(allReserved)?.length ?? 0)
}

/**
 * Compares texts by their UTF-8 bytes, as servers order names and keys. JavaScript's own order is another one where
 * characters beyond the basic plane meet the last ones of it.
 */
export function compareTexts(one: string, other: string): number {
  const least = Math.min(one.length, other.length)
  for (let at = 0; at < least; at += 1) {
    const difference = rankOf(one.charCodeAt(at)) - rankOf(other.charCodeAt(at))
    if (difference !== 0) return difference
  }
  return one.length - other.length
}

/** Halves of surrogate pairs stand for code points behind all others. */
function rankOf(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit
}

/** Whether `text` is the one text of some bytes, and not another way to write them. */
export function isByteText(text: string): boolean {
  if (!text.isWellFormed()) return false
  return !hasBytes(text) || textOf(bytesOf(text)) === text
}

/** Whether some part of `text` stands for bytes that are not UTF-8. */
export function hasBytes(text: string): boolean {
  return text.includes(reservedHigh) && reserved.test(text)
}

/** Converts a path to the form that the functions of node:fs take. */
export function localPath(text: string): string | Buffer {
  return hasBytes(text) ? bytesOf(text) : text
}

/** Replaces each byte of `text` that is not UTF-8 by an escape such as `\xe9`. */
export function withVisibleBytes(text: string): string {
  if (!hasBytes(text)) return text
  return text.replace(allReserved, (character) => {
    const byte = (character.codePointAt(0) ?? 0) - reservedFrom
    return `\\x${byte.toString(16)}`
  })
}

/** Length in bytes of the UTF-8 character that begins at `at`; 0 where none does, or a reserved one. */
function validLength(bytes: Buffer, at: number): number {
  const first = bytes.readUInt8(at)
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  if (length <= 1) return length
  const character = bytes.subarray(at, at + length)
  if (character.length < length || !isUtf8(character)) return 0
  return length === 4 && reserved.test(character.toString()) ? 0 : length
}
