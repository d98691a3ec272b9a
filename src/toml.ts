/**
 * TOML with errors that say where: file, line, key, what was expected and what stands there. The
 * parser reports lines only for broken syntax, so the place of a key is found by a scan of the text
 * (`statementsOf`), which also serves those who edit a file without losing its comments.
 */
import { parse, TomlError } from 'smol-toml'
import { DfsError } from './errors.js'

type Table = Readonly<Record<string, unknown>>

/** Parses `text`; `file` is only named in errors. Throws `configuration`. */
export function parseToml(text: string, file: string): Section {
  try {
    return new Section(new Places(text, file), [], parse(text))
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown
    const why = thrown.message.split('\n')[0]?.replace('Invalid TOML document: ', '')
    const hint = why === 'invalid value' ? ': expected a text in quotes, as in key = "text"' : ''
    throw new DfsError('configuration', `${file}:${thrown.line}: ${why}${hint}`, { cause: thrown })
  }
}

/** One table of the document. Every getter throws `configuration`, naming the line. */
export class Section {
  readonly #places: Places
  readonly #path: readonly string[]
  readonly #table: Table

  constructor(places: Places, path: readonly string[], table: Table) {
    this.#places = places
    this.#path = path
    this.#table = table
  }

  get keys(): readonly string[] {
    return Object.keys(this.#table)
  }

  /** A failure about `key`. What stands there is quoted unless it is `secret`. */
  error(key: string, expected: string, secret = false): DfsError {
    const line = this.#places.lineOf([...this.#path, key])
    const got = describe(this.#table[key], secret)
    const what = `${key}: expected ${expected}, got ${got}`
    return new DfsError('configuration', `${this.#places.file}:${line}: ${what}`)
  }

  /** A failure about `key` in words of its own. */
  complaint(key: string, what: string): DfsError {
    const line = this.#places.lineOf([...this.#path, key])
    return new DfsError('configuration', `${this.#places.file}:${line}: ${what}`)
  }

  /** Refuses every key that is not one of `known`. */
  only(...known: readonly string[]): void {
    const unknown = this.keys.find((key) => !known.includes(key))
    if (unknown === undefined) return
    throw this.complaint(unknown, `unknown key "${unknown}": expected one of ${known.join(', ')}`)
  }

  /** The text at `key`, or undefined when there is no such key. */
  text(key: string, expected: string, secret = false): string | undefined {
    const value = this.#table[key]
    if (value === undefined || typeof value === 'string') return value
    throw this.error(key, expected, secret)
  }

  /** The table at `key`, or undefined when there is no such key. */
  section(key: string, expected: string): Section | undefined {
    const value = this.#table[key]
    if (value === undefined) return undefined
    if (!isTable(value)) throw this.error(key, expected)
    return new Section(this.#places, [...this.#path, key], value)
  }

  /** The tables of the array `key`; none when there is no such key. */
  sections(key: string, expected: string): readonly Section[] {
    const value = this.#table[key] ?? []
    if (!Array.isArray(value) || !value.every(isTable)) throw this.error(key, expected)
    return value.map(
      (table, index) => new Section(this.#places, [...this.#path, key, String(index)], table),
    )
  }
}

/** A line that opens a table or assigns a value, with the full path of what it is about. */
export interface Statement {
  readonly kind: 'table' | 'value'
  /** An array's tables are numbered: ['server', '0', 'address']. */
  readonly path: readonly string[]
  /** Counts from 0. */
  readonly lineIndex: number
}

const keyPart = /\s*("(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+)\s*(\.)?/y

/** Every statement that begins on a line of its own. `text` must have been parsed before. */
export function statementsOf(text: string): readonly Statement[] {
  const statements: Statement[] = []
  const counts = new Map<string, number>()
  let table: readonly string[] = []
  let quote: string | undefined
  for (const [lineIndex, line] of text.split('\n').entries()) {
    const inside = quote !== undefined
    quote = quoteAfter(line, quote)
    if (inside) continue
    const [, brackets = '', rest = line] = /^\s*(\[\[?)(.*)$/.exec(line) ?? []
    const keys = keysAt(rest, brackets === '' ? '=' : ']')
    if (keys === undefined) continue
    if (brackets === '') {
      statements.push({ kind: 'value', path: [...table, ...keys], lineIndex })
      continue
    }
    table = brackets === '[' ? keys : [...keys, String(countUp(counts, keys))]
    statements.push({ kind: 'table', path: table, lineIndex })
  }
  return statements
}

/** The dotted key at the begin of `text`, when `end` follows it. */
function keysAt(text: string, end: string): string[] | undefined {
  const keys: string[] = []
  keyPart.lastIndex = 0
  for (;;) {
    const match = keyPart.exec(text)
    if (match === null) return undefined
    const at = keyPart.lastIndex
    keys.push(unquoted(match[1] ?? ''))
    keyPart.lastIndex = at
    if (match[2] === undefined) return text[at] === end ? keys : undefined
  }
}

function unquoted(key: string): string {
  if (key.startsWith("'")) return key.slice(1, -1)
  return key.startsWith('"') ? (Object.keys(parse(`${key}=0`))[0] ?? '') : key
}

function countUp(counts: Map<string, number>, keys: readonly string[]): number {
  const name = keys.join('\0')
  const count = counts.get(name) ?? 0
  counts.set(name, count + 1)
  return count
}

/** The multi-line quote that is still open behind `line`. */
function quoteAfter(line: string, open: string | undefined): string | undefined {
  let quote = open
  for (const [found] of line.matchAll(/"""|'''/g)) {
    if (quote === undefined) quote = found
    else if (quote === found) quote = undefined
  }
  return quote
}

/** Where the keys of one file stand. */
class Places {
  readonly file: string
  readonly #text: string
  #lines: ReadonlyMap<string, number> | undefined

  constructor(text: string, file: string) {
    this.#text = text
    this.file = file
  }

  /** The line, from 1, of the key or else of the nearest table that it would belong to. */
  lineOf(path: readonly string[]): number {
    this.#lines ??= new Map(
      statementsOf(this.#text)
        .map((statement) => [statement.path.join('\0'), statement.lineIndex + 1] as const)
        .reverse(),
    )
    for (let length = path.length; length > 0; length -= 1) {
      const wanted = path.slice(0, length)
      const line = this.#lines.get(wanted.join('\0')) ?? this.#lineBelow(wanted)
      if (line !== undefined) return line
    }
    return 1
  }

  /** The first line about what is below `path`: an array is nowhere but in its tables. */
  #lineBelow(path: readonly string[]): number | undefined {
    const start = `${path.join('\0')}\0`
    const lines = [...(this.#lines ?? [])].filter(([key]) => key.startsWith(start))
    return lines.length === 0 ? undefined : Math.min(...lines.map(([, line]) => line))
  }
}

function isTable(value: unknown): value is Table {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  )
}

function describe(value: unknown, secret: boolean): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string' && !secret) return JSON.stringify(value)
  if (typeof value === 'number' && !secret) return String(value)
  if (typeof value === 'string') return 'another text'
  return Array.isArray(value) ? 'a list' : isTable(value) ? 'a table' : `a ${typeof value}`
}
