/**
 * Edits of dfs.conf as text: one user is added, changed or removed, and every comment and every
 * other user stays where it is. An edit whose result does not say exactly what was meant is refused.
 */
import { isDeepStrictEqual } from 'node:util'
import { parseUsersConfig, type UserConfig } from '../../config.js'
import { DfsError } from '../../errors.js'
import { type Statement, statementsOf } from '../../toml.js'
import { parseVerifier, type Verifier } from '../../wire/scram.js'

type UserMap = ReadonlyMap<string, UserConfig<Verifier>>

/** The names in `text`, in its order. `file` is only named in errors. */
export function userNames(text: string, file: string): readonly string[] {
  return [...usersIn(text, file).keys()]
}

/** `text` with the user's `verifier` (as `formatVerifier` writes it) instead of what it had. */
export function withUser(text: string, file: string, name: string, verifier: string): string {
  const parsed = parseVerifier(verifier)
  if (parsed === undefined) throw new DfsError('invalid', 'not a verifier')
  const wanted = new Map(usersIn(text, file))
  wanted.set(name, { kind: 'verifier', verifier: parsed })
  const lines = text.split('\n')
  const mine = statementsAbout(text, name)
  const header = mine.find(({ kind, path }) => kind === 'table' && path.length === 2)
  const assignment = `verifier = "${verifier}"`
  const edited = withoutLines(
    lines,
    mine.filter((statement) => statement !== header),
  )
  if (header === undefined) {
    const body = edited.join('\n').trimEnd()
    const section = `[users.${quoted(name)}]\n${assignment}\n`
    return checked(body === '' ? section : `${body}\n\n${section}`, file, wanted)
  }
  const removedBefore = mine.filter(({ lineIndex }) => lineIndex < header.lineIndex).length
  edited.splice(header.lineIndex - removedBefore + 1, 0, assignment)
  return checked(edited.join('\n'), file, wanted)
}

/** `text` without the user. */
export function withoutUser(text: string, file: string, name: string): string {
  const wanted = new Map(usersIn(text, file))
  wanted.delete(name)
  const edited = withoutLines(text.split('\n'), statementsAbout(text, name)).join('\n')
  return checked(`${edited.replace(/\n{3,}/g, '\n\n').trimEnd()}\n`.trimStart(), file, wanted)
}

function usersIn(text: string, file: string): UserMap {
  return parseUsersConfig(text, file, parseVerifier)
}

function statementsAbout(text: string, name: string): readonly Statement[] {
  return statementsOf(text).filter(({ path }) => path[0] === 'users' && path[1] === name)
}

function withoutLines(lines: readonly string[], statements: readonly Statement[]): string[] {
  const removed = new Set(statements.map(({ lineIndex }) => lineIndex))
  return lines.filter((_, index) => !removed.has(index))
}

function quoted(name: string): string {
  return /^[\w-]+$/.test(name) ? name : `"${name}"`
}

function checked(text: string, file: string, wanted: UserMap): string {
  if (isDeepStrictEqual(parsedOrUndefined(text, file), new Map(wanted))) return text
  const why = 'cannot edit it without harm: please write the user as a table [users.NAME]'
  throw new DfsError('configuration', `${file}: ${why}`)
}

function parsedOrUndefined(text: string, file: string): UserMap | undefined {
  try {
    return usersIn(text, file)
  } catch {
    return undefined
  }
}
