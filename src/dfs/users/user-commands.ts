/**
 * `dfs-server user add|remove|passwd|list`: edits the users in dfs.conf for the person who runs the
 * server, and leaves all else in it alone. A running server notices by itself.
 */
import { existsSync, statSync } from 'node:fs'
import { systemRandom } from '../../clock.js'
import { isUserName, readConfig } from '../../config.js'
import { DfsError } from '../../errors.js'
import { formatVerifier, makeVerifier } from '../../wire/scram.js'
import { writeDurably } from '../disk/durable.js'
import { askNewPassword } from './ask-password.js'
import { userNames, withoutUser, withUser } from './users-text.js'

export interface UserCommand {
  readonly description: string
  readonly takesName: boolean
  /** Returns what to print. Throws DfsError, and has then changed nothing. */
  readonly run: (file: string, name: string) => Promise<string>
}

export const userCommands = {
  add: { description: 'add a user and ask for the password', takesName: true, run: add },
  passwd: { description: 'change the password of a user', takesName: true, run: changePassword },
  remove: { description: 'remove a user; the files stay', takesName: true, run: remove },
  list: { description: 'list the users, one per line', takesName: false, run: list },
} as const satisfies Record<string, UserCommand>

/** Makes the file if it is not there. */
async function add(file: string, name: string): Promise<string> {
  if (!isUserName(name)) {
    throw new DfsError('invalid', `"${name}" cannot be a user's name: use letters, digits, . _ -`)
  }
  if (existsSync(file) && isKnown(file, name)) {
    throw new DfsError('exists', `${file} has a user "${name}" already`)
  }
  await setPassword(file, name)
  return `Added the user ${name} to ${file}`
}

async function changePassword(file: string, name: string): Promise<string> {
  requireKnown(file, name)
  await setPassword(file, name)
  return `Changed the password of ${name} in ${file}`
}

async function remove(file: string, name: string): Promise<string> {
  requireKnown(file, name)
  store(file, withoutUser(readConfig(file), file, name))
  return `Removed the user ${name} from ${file} (the files of ${name} are still there)`
}

async function list(file: string): Promise<string> {
  return userNames(readConfig(file), file).join('\n')
}

function isKnown(file: string, name: string): boolean {
  return userNames(readConfig(file), file).includes(name)
}

function requireKnown(file: string, name: string): void {
  if (isKnown(file, name)) return
  throw new DfsError('notFound', `${file} has no user "${name}"`)
}

/** The file is read after the password was typed: somebody may have edited it meanwhile. */
async function setPassword(file: string, name: string): Promise<void> {
  const verifier = formatVerifier(makeVerifier(await askNewPassword(name), systemRandom.bytes(16)))
  const text = existsSync(file) ? readConfig(file) : ''
  store(file, withUser(text, file, name, verifier))
}

function store(file: string, text: string): void {
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0o600
  try {
    writeDurably(file, text, mode & 0o777)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new DfsError('configuration', `${file}: cannot write it: ${why}`, { cause })
  }
}
