/**
 * Edits of dfs.conf as text: one user is added, changed or removed, and every other byte stays as it
 * is. An edit whose result does not say exactly what was meant is refused.
 */
import { isDeepStrictEqual } from 'node:util'
import { parseByteSize } from '../../byte-size.js'
import {
  type OldVerifiers,
  parseServerConfig,
  parseTrashTime,
  type UserConfig,
} from '../../config.js'
import { DfsError } from '../../errors.js'
import { lineOf, parseToml, type Statement } from '../../toml.js'
import { formatVerifier, parseVerifier, type Verifier } from '../../wire/scram.js'

type UserMap = ReadonlyMap<string, UserConfig<Verifier>>

/** The names in `text`, in its order. `file` is only named in errors. */
export function userNames(text: string, file: string): readonly string[] {
  return [...usersIn(text, file).keys()]
}

/** A user's verifiers for dfs.conf, and those of the password before, while that one is still good. */
export interface NewVerifiers {
  readonly verifiers: readonly Verifier[]
  readonly old?: OldVerifiers<Verifier> | undefined
}

/** `text` with `wanted` as the user's password instead of what it had. */
export function withUser(text: string, file: string, name: string, given: NewVerifiers): string {
  const { verifiers, old } = given
  const wanted = new Map(usersIn(text, file))
  const { quotaBytes, trashMs } = wanted.get(name) ?? {}
  const kept = {
    ...(quotaBytes === undefined ? {} : { quotaBytes }),
    ...(trashMs === undefined ? {} : { trashMs }),
  }
  wanted.set(name, { kind: 'verifiers', verifiers, ...(old && { old }), ...kept })
  const lines = [`verifiers = ${listOf(verifiers)}`]
  if (old !== undefined) {
    const until = new Date(old.untilMs).toISOString()
    lines.push(`old = { until = "${until}", verifiers = ${listOf(old.verifiers)} }`)
  }
  const without = withoutOld(text, file, name)
  // A user has exactly one password or verifier: `usersIn` has seen to it.
  const before = secretOf(without, file, name)
  const edited =
    before === undefined
      ? appended(without, [`[users.${quoted(name)}]`, ...lines])
      : without.slice(0, before.nameStart) + lines.join(endOf(text)) + without.slice(before.end)
  return checked(edited, text, file, wanted)
}

function listOf(verifiers: readonly Verifier[]): string {
  return `[${verifiers.map((one) => `"${formatVerifier(one)}"`).join(', ')}]`
}

/** `text` without the user's password of before. */
function withoutOld(text: string, file: string, name: string): string {
  const old = statementsAbout(text, file, name).filter(
    ({ path, isInline }) => path[2] === 'old' && !isInline,
  )
  return old.toReversed().reduce(withoutLine, text)
}

/** The password of a user as the file has it. Throws `notFound`. */
export function userIn(text: string, file: string, name: string): UserConfig<Verifier> {
  const found = usersIn(text, file).get(name)
  if (found === undefined) throw new DfsError('notFound', `${file} has no user "${name}"`)
  return found
}

/** `text` with this quota of the user, as `parseByteSize` reads it; without one if it is undefined. */
export function withQuota(
  text: string,
  file: string,
  name: string,
  size: string | undefined,
): string {
  const { quotaBytes: _, ...user } = userIn(text, file, name)
  const quotaBytes = size === undefined ? undefined : parseByteSize(size)
  const wanted = { ...user, ...(quotaBytes === undefined ? {} : { quotaBytes }) }
  return withSetting(text, file, { name, wanted, key: 'quota', value: size })
}

/** `text` with this time of the user's trash, as `parseTrashTime` reads it; without one if it is undefined. */
export function withTrash(
  text: string,
  file: string,
  name: string,
  time: string | undefined,
): string {
  const { trashMs: _, ...user } = userIn(text, file, name)
  const trashMs = time === undefined ? undefined : parseTrashTime(time)
  const wanted = { ...user, ...(trashMs === undefined ? {} : { trashMs }) }
  return withSetting(text, file, { name, wanted, key: 'trash', value: time })
}

/** A key of a user's table with its new value, undefined for none, and what the user is then. */
interface Setting {
  readonly name: string
  readonly key: 'quota' | 'trash'
  readonly value: string | undefined
  readonly wanted: UserConfig<Verifier>
}

function withSetting(text: string, file: string, { name, key, value, wanted }: Setting): string {
  const users = new Map(usersIn(text, file)).set(name, wanted)
  const old = statementsAbout(text, file, name).find(({ path }) => path[2] === key)
  const assignment = `${key} = "${value}"`
  if (old !== undefined) {
    const edited =
      value === undefined
        ? withoutLine(text, old)
        : text.slice(0, old.nameStart) + assignment + text.slice(old.end)
    return checked(edited, text, file, users)
  }
  const secret = secretOf(text, file, name)
  if (value === undefined || secret === undefined) return text
  // What is in front of the key says of whom it is, where the keys are dotted.
  const line = text.slice(secret.start, secret.nameStart) + assignment
  return checked(withLineBehind(text, secret, line), text, file, users)
}

const secretKeys = ['password', 'verifier', 'verifiers']

/** Where the user's password or verifiers are assigned. */
function secretOf(text: string, file: string, name: string): Statement | undefined {
  const isSecret = ({ path }: Statement): boolean =>
    path.length === 3 && secretKeys.includes(String(path[2]))
  return statementsAbout(text, file, name).find(isSecret)
}

/** Puts a line behind that of a statement. */
function withLineBehind(text: string, { end }: Statement, line: string): string {
  const lineEnd = text.indexOf('\n', end)
  if (lineEnd < 0) return `${text}${endOf(text)}${line}${endOf(text)}`
  return `${text.slice(0, lineEnd + 1)}${line}${endOf(text)}${text.slice(lineEnd + 1)}`
}

/** Removes the line of a statement. */
function withoutLine(text: string, { start, end }: Statement): string {
  const next = text.indexOf('\n', end)
  const before = text.slice(0, text.lastIndexOf('\n', start) + 1)
  return before + (next < 0 ? '' : text.slice(next + 1))
}

/** `text` without the lines of the user. */
export function withoutUser(text: string, file: string, name: string): string {
  const wanted = new Map(usersIn(text, file))
  wanted.delete(name)
  const statements = statementsAbout(text, file, name).filter(({ isInline }) => !isInline)
  const edited = statements.toReversed().reduce(withoutLines, text)
  return checked(edited, text, file, wanted)
}

function usersIn(text: string, file: string): UserMap {
  return parseServerConfig(text, file, parseVerifier).users
}

function statementsAbout(text: string, file: string, name: string): readonly Statement[] {
  const { statements } = parseToml(text, file)
  return statements.filter(({ path }) => path[0] === 'users' && path[1] === name)
}

function endOf(text: string): string {
  return text.includes('\r\n') ? '\r\n' : '\n'
}

/** At the end, behind an empty line, with the ends of lines that the text has. */
function appended(text: string, lines: readonly string[]): string {
  const end = endOf(text)
  const body = text === '' || text.endsWith('\n') ? text : text + end
  return [body, body === '' ? '' : end, ...lines.map((line) => line + end)].join('')
}

/** Removes whole lines, and one of the empty lines around them. A byte order mark stays. */
function withoutLines(text: string, { start, end }: Statement): string {
  const first = text.startsWith('\uFEFF') ? 1 : 0
  const before = text.slice(0, Math.max(first, text.lastIndexOf('\n', start - 1) + 1))
  const next = text.indexOf('\n', end)
  const after = next < 0 ? '' : text.slice(next + 1)
  if (!/(^|\n)\r?\n$|^\uFEFF?$/.test(before)) return before + after
  return after === '' ? before.replace(/\r?\n$/, '') : before + after.replace(/^\r?\n/, '')
}

function quoted(name: string): string {
  return /^[\w-]+$/.test(name) ? name : `"${name}"`
}

function checked(edited: string, text: string, file: string, wanted: UserMap): string {
  if (isDeepStrictEqual(parsedOrUndefined(edited, file), wanted)) return edited
  const line = lineOf(parseToml(text, file), ['users'])
  const why = 'cannot edit it without harm: please write each user as a table [users.NAME]'
  throw new DfsError('configuration', `${file}:${line}: ${why}`)
}

function parsedOrUndefined(text: string, file: string): UserMap | undefined {
  try {
    return usersIn(text, file)
  } catch {
    return undefined
  }
}
