/**
 * TOML with the place of every key and value: its line, for errors, and its range in the text, for edits
 * that keep all other bytes.
 */
import { type AST, ParseError, parseTOML } from 'toml-eslint-parser'
import { DfsError } from './errors.js'

export type Table = Readonly<Record<string, unknown>>

/** Keys from the root of the document. The tables of an array are numbered: ['server', 0, 'address']. */
export type Path = readonly (string | number)[]

/** A header or an assignment. */
export interface Statement {
  readonly kind: 'table' | 'value'
  readonly path: Path
  /** Whether the statement is in an inline table, and so shares its lines with others. */
  readonly isInline: boolean
  /** Line number, counted from 1. */
  readonly line: number
  /** Offsets in the text; `nameStart` is where the last part of the key begins. */
  readonly start: number
  readonly nameStart: number
  readonly end: number
}

export interface TomlDocument {
  /** Name of the file, for errors. */
  readonly file: string
  readonly root: Table
  /** Statements in the order of the text. That of an inline table comes before those in it. */
  readonly statements: readonly Statement[]
}

const rule = 'expected each key once, as in key = "text", and tables as in [name]'

/** Parses `text`. Throws `configuration` with file and line. */
export function parseToml(text: string, file: string): TomlDocument {
  // A byte order mark counts as a space: every offset stays as it is.
  const body = text.replace(/^\uFEFF/, ' ')
  const tree = treeOf(body)
  if (!(tree instanceof ParseError)) return new Reader().read(file, tree.body[0])
  const { lineNumber, message } = begin(tree, body)
  const what = `${file}:${lineNumber}: ${message}: ${rule}`
  // Without the cause, which may quote the line: there may be a password in it.
  throw new DfsError('configuration', what)
}

function treeOf(text: string): AST.TOMLProgram | ParseError {
  try {
    return parseTOML(text, { tomlVersion: '1.1' })
  } catch (thrown) {
    if (thrown instanceof ParseError) return thrown
    throw thrown
  }
}

/** Where an entry ends too early, the parser stops at the next one: the first of the two is wrong. */
function begin(error: ParseError, text: string): ParseError {
  const line = error.index - error.column
  if (text.slice(line, error.index).trim() !== '') return error
  const before = treeOf(text.slice(0, line).trimEnd())
  return before instanceof ParseError ? before : error
}

/** The line of `path`, or else of the nearest table that it would belong to. */
export function lineOf({ statements }: TomlDocument, path: Path): number {
  for (let length = path.length; length > 0; length -= 1) {
    const wanted = path.slice(0, length)
    const found = statements.find((statement) =>
      wanted.every((key, at) => statement.path[at] === key),
    )
    if (found !== undefined) return found.line
  }
  return 1
}

type MutableTable = Record<string, unknown>

/**
 * Makes values of the parser's tree. The parser's own `getStaticTOMLValue` is of no use: it has no
 * places, and a table called __proto__ would change every object of the program.
 */
class Reader {
  readonly #statements: Statement[] = []

  read(file: string, top: AST.TOMLTopLevelTable): TomlDocument {
    const root = newTable()
    for (const node of top.body) {
      if (node.type === 'TOMLKeyValue') this.#assign(root, [], node, false)
      else this.#readTable(root, node)
    }
    return { file, root, statements: this.#statements }
  }

  #readTable(root: MutableTable, node: AST.TOMLTable): void {
    const path = node.resolvedKey
    const [, headerEnd] = node.key.range
    this.#note('table', path, node, headerEnd, false)
    const table = tableAt(root, path)
    for (const assignment of node.body) this.#assign(table, path, assignment, false)
  }

  #assign(table: MutableTable, at: Path, node: AST.TOMLKeyValue, isInline: boolean): void {
    const keys = node.key.keys.map((key) => (key.type === 'TOMLBare' ? key.name : key.value))
    const path = [...at, ...keys]
    this.#note('value', path, node, node.range[1], isInline)
    tableAt(table, keys.slice(0, -1))[keys.at(-1) ?? ''] = this.#valueOf(node.value, path)
  }

  #note(
    kind: Statement['kind'],
    path: Path,
    node: AST.TOMLTable | AST.TOMLKeyValue,
    end: number,
    isInline: boolean,
  ): void {
    const start = node.range[0]
    const nameStart = node.key.keys.at(-1)?.range[0] ?? start
    this.#statements.push({
      kind,
      path,
      isInline,
      line: node.loc.start.line,
      start,
      nameStart,
      end,
    })
  }

  #valueOf(node: AST.TOMLContentNode, path: Path): unknown {
    if (node.type === 'TOMLValue') return node.value
    if (node.type === 'TOMLArray') {
      return node.elements.map((element, index) => this.#valueOf(element, [...path, index]))
    }
    const table = newTable()
    for (const assignment of node.body) this.#assign(table, path, assignment, true)
    return table
  }
}

/** Without a prototype, a key is nothing but a key. */
function newTable(): MutableTable {
  return Object.create(null)
}

/** The table at `path` below `root`; what is missing on the way is made. */
function tableAt(root: MutableTable, path: Path): MutableTable {
  let table = root
  for (const [at, key] of path.entries()) {
    table[key] ??= typeof path[at + 1] === 'number' ? [] : newTable()
    table = table[key] as MutableTable
  }
  return table
}
