/** Completions of the tab key at the prompt: operations, local names and names on the servers. */
import { readdir } from 'node:fs/promises'
import type { Namespace } from '../dfc/namespace/namespace.js'
import { escapeName } from '../visible-text.js'
import { folderDirentType } from '../wire/records.js'
import { commands } from './commands/table.js'
import { followPath } from './paths/remote-path.js'
import { type Quote, quoteWord, splitWords, type Word } from './terminal/words.js'

const namesOfferedMax = 1000

interface Offer {
  /** The completed word, without quotes. */
  readonly text: string
  /** Whether the word ends here: nothing more can follow. */
  readonly final: boolean
}

/** Completes a line for readline: returns the possible endings of the line, and the part that they replace. */
export async function complete(
  namespace: Namespace,
  line: string,
): Promise<[candidates: string[], end: string]> {
  const words = splitWords(line)
  const typing = words.at(-1)
  const isNew =
    typing === undefined ||
    (/[ \t]$/.test(line) && typing.open === undefined && !touchesEnd(line, typing))
  const word: Word = isNew ? { text: '', start: line.length, open: undefined } : typing
  const position = isNew ? words.length : words.length - 1
  const end = line.slice(word.start)
  const first = words[0]?.text ?? ''
  const offers =
    position === 0
      ? operationsFor(word.text)
      : await operandsFor(namespace, first.toLowerCase(), position - 1, word.text)
  // If one offer needs escapes, all get them: readline takes their common beginning.
  const style = offers.some(({ text }) => escapeName(text) !== text) ? "$'" : styleOf(end)
  return [offers.map((offer) => written(offer, style, offers.length === 1)), end]
}

/** Whether the blank at the end of the line belongs to the word, because it is quoted. */
function touchesEnd(line: string, { start, text }: Word): boolean {
  return /[ \t]$/.test(text) && /\\[ \t]$/.test(line.slice(start))
}

function operationsFor(typed: string): Offer[] {
  const names = [...commands.map(({ name }) => name), 'help', 'exit']
  const cased = typed === typed.toUpperCase() ? names.map((name) => name.toUpperCase()) : names
  return cased.filter((name) => name.startsWith(typed)).map((text) => ({ text, final: true }))
}

async function operandsFor(
  namespace: Namespace,
  operation: string,
  position: number,
  typed: string,
): Promise<Offer[]> {
  const sources = commands.find(({ name }) => name === operation)?.completes ?? []
  const asked = position === 0 ? sources.slice(0, 1) : sources
  const slash = typed.lastIndexOf('/') + 1
  const folder = typed.slice(0, slash)
  const begin = typed.slice(slash)
  const lists = await Promise.all(
    asked.map((source) =>
      source === 'local' ? localNames(folder || '.') : remoteNames(namespace, folder, begin),
    ),
  )
  const byText = new Map<string, Offer>()
  for (const { name, isFolder } of lists.flat()) {
    if (!name.startsWith(begin)) continue
    const text = folder + name + (isFolder ? '/' : '')
    byText.set(text, { text, final: !isFolder })
  }
  return [...byText.values()].slice(0, namesOfferedMax)
}

/** The paths on the servers that begin like `typed`, folders with a slash behind them. */
export async function remoteNamesFor(namespace: Namespace, typed: string): Promise<string[]> {
  const slash = typed.lastIndexOf('/') + 1
  const folder = typed.slice(0, slash)
  const names = await remoteNames(namespace, folder, typed.slice(slash))
  return names.map(({ name, isFolder }) => folder + name + (isFolder ? '/' : ''))
}

interface Name {
  readonly name: string
  readonly isFolder: boolean
}

async function localNames(folder: string): Promise<Name[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  return entries.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
}

/** Names on the servers that begin with `begin`, read page by page until there are enough. */
async function remoteNames(namespace: Namespace, folder: string, begin: string): Promise<Name[]> {
  const { ino } = await followPath(namespace, folder)
  const names: Name[] = []
  for await (const { entries } of namespace.names.pages(ino)) {
    for (const { name, type } of entries) {
      if (name.startsWith(begin)) names.push({ name, isFolder: type === folderDirentType })
    }
    if (names.length >= namesOfferedMax) break
  }
  return names
}

function written({ text, final }: Offer, style: Quote | undefined, isOnly: boolean): string {
  const word = quoteWord(text, style)
  if (!isOnly || !final) return word
  return `${word}${style === "$'" ? "'" : (style ?? '')} `
}

function styleOf(end: string): Quote | undefined {
  if (end.startsWith("$'")) return "$'"
  const first = end.charAt(0)
  return first === "'" || first === '"' ? first : undefined
}
