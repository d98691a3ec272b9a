/**
 * `dfs-server user add|remove|passwd|quota|trash|list`: edits the users in dfs.conf for the person who runs the
 * server, and leaves all else in it alone. A running server notices by itself.
 */
import {
  chownSync,
  existsSync,
  readdirSync,
  realpathSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { askNewPassword } from '../../ask-password.js'
import { parseByteSize } from '../../byte-size.js'
import { systemRandom } from '../../clock.js'
import { checkedUserName, parseTrashTime, quotaRule, readConfig, trashRule } from '../../config.js'
import { makeConfigFolder } from '../../config-home.js'
import { writeDurably } from '../../durable.js'
import { DfsError } from '../../errors.js'
import { serverIndexes } from '../../wire/placement.js'
import { makeVerifier, scramIterations, type Verifier } from '../../wire/scram.js'
import { lockFile } from '../disk/folder-lock.js'
import { folderKeyOf } from './users.js'
import { userIn, userNames, withoutUser, withQuota, withTrash, withUser } from './users-text.js'

/** For as long as another edit takes, on a disk that is slow. */
const editWaitMs = 20_000

/** The options of `dfs-server user` that some of its commands have. */
export interface UserOptions {
  /** For how long the old password stays good, such as 24h. */
  readonly keepOld?: string
}

export interface UserCommand {
  readonly description: string
  /** Arguments, as a usage line has them. */
  readonly takes: '' | '<name>' | '<name> <size>' | '<name> <time>'
  /** Returns what to print. Throws DfsError, and has then changed nothing. */
  readonly run: (file: string, name: string, options: UserOptions, value: string) => Promise<string>
  readonly options?: readonly (readonly [flags: string, description: string])[]
}

export const userCommands = {
  add: { description: 'add a user and ask for the password', takes: '<name>', run: add },
  passwd: {
    description: 'change the password of a user',
    takes: '<name>',
    run: changePassword,
    options: [
      [
        '--keep-old <time>',
        'keep the old password valid as well for 90m, 24h or 7d, while clients learn the new one',
      ],
    ],
  },
  quota: {
    description: "limit the total size of a user's files to a size such as 10G, or none",
    takes: '<name> <size>',
    run: changeQuota,
  },
  trash: {
    description: 'keep what a user removes or replaces for a time such as 7d, or off',
    takes: '<name> <time>',
    run: changeTrash,
  },
  remove: { description: 'remove a user; the files stay', takes: '<name>', run: remove },
  list: { description: 'list the users, one per line', takes: '', run: list },
} as const satisfies Record<string, UserCommand>

async function add(file: string, name: string): Promise<string> {
  requireNewName(file, name)
  return await addUser(file, name, await askNewPassword(name))
}

/** Adds a user to the file, which is made if it is not there. Returns what to print. */
export async function addUser(file: string, name: string, password: string): Promise<string> {
  requireNewName(file, name)
  const verifiers = await verifiersOf(password)
  edit(file, (text) => {
    requireNew(text, file, name)
    return withUser(text, file, name, { verifiers })
  })
  return `Added the user ${name} to ${file}`
}

async function changePassword(file: string, name: string, options: UserOptions): Promise<string> {
  const before = userIn(readConfig(file), file, name)
  const keptMs = options.keepOld === undefined ? undefined : keptMsOf(options.keepOld)
  if (keptMs === undefined) {
    const verifiers = await verifiersOf(await askNewPassword(name))
    edit(file, (text) => {
      userIn(text, file, name)
      return withUser(text, file, name, { verifiers })
    })
    return `Changed the password of ${name} in ${file}`
  }
  if (before.kind === 'password') {
    const why = 'its password is in clear there, and no verifier of it can be kept'
    throw new DfsError('invalid', `${name}: ${why}: change it without --keep-old`)
  }
  // A single one is that of every position.
  const kept = serverIndexes.flatMap((at) => before.verifiers[at] ?? before.verifiers[0] ?? [])
  const verifiers = await verifiersOf(await askNewPassword(name), kept)
  const old = { untilMs: Date.now() + keptMs, verifiers: kept }
  edit(file, (text) => {
    if (!isDeepStrictEqual(userIn(text, file, name), before)) {
      throw new DfsError('busy', `${file}: another command has changed ${name} meanwhile`)
    }
    return withUser(text, file, name, { verifiers, old })
  })
  const until = new Date(old.untilMs).toISOString()
  return `Changed the password of ${name} in ${file}; the old one is good until ${until}`
}

const units: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }
const keptMsMax = 30 * 86_400_000

/** Parses the time of --keep-old to ms. Throws `invalid`. */
function keptMsOf(text: string): number {
  const [, number, unit = ''] = /^(\d+)([mhd])$/.exec(text) ?? []
  const ms = Number(number) * (units[unit] ?? Number.NaN)
  if (ms > 0 && ms <= keptMsMax) return ms
  throw new DfsError(
    'invalid',
    `--keep-old ${text}: expected a time such as 90m, 24h or 7d, at most 30d`,
  )
}

async function changeQuota(
  file: string,
  name: string,
  _: UserOptions,
  size: string,
): Promise<string> {
  if (size !== 'none' && parseByteSize(size) === undefined) {
    throw new DfsError('invalid', `"${size}" is no quota: use ${quotaRule}, or none`)
  }
  edit(file, (text) => withQuota(text, file, name, size === 'none' ? undefined : size))
  const is = size === 'none' ? 'has no quota' : `has a quota of ${size}`
  return `The user ${name} in ${file} ${is}; do the same for the other servers, or copy the file to them`
}

async function changeTrash(
  file: string,
  name: string,
  _: UserOptions,
  time: string,
): Promise<string> {
  if (parseTrashTime(time) === undefined) {
    throw new DfsError('invalid', `"${time}" is no time for a trash: use ${trashRule}`)
  }
  edit(file, (text) => withTrash(text, file, name, time === 'off' ? undefined : time))
  const is =
    time === 'off'
      ? 'keeps nothing that is removed from now on; what is in the trash stays until "dfc trash empty"'
      : `keeps what is removed or replaced for ${time}`
  return `The user ${name} in ${file} ${is}; do the same for the other servers, or copy the file to them`
}

async function remove(file: string, name: string): Promise<string> {
  userIn(readConfig(file), file, name)
  edit(file, (text) => {
    userIn(text, file, name)
    return withoutUser(text, file, name)
  })
  return `Removed the user ${name} from ${file} (the files of ${name} are still there)`
}

async function list(file: string): Promise<string> {
  return userNames(readConfig(file), file).join('\n')
}

/** Throws `invalid` for what cannot be a name, and `exists` for one that is taken. */
function requireNewName(file: string, name: string): void {
  requireNew(textOf(file), file, checkedUserName(name))
}

function requireNew(text: string, file: string, name: string): void {
  const names = userNames(text, file)
  if (names.includes(name)) throw new DfsError('exists', `${file} has a user "${name}" already`)
  const twin = names.find((other) => folderKeyOf(other) === folderKeyOf(name))
  if (twin === undefined) return
  const why = `has a user "${twin}", whose folder would be the same on some disks`
  throw new DfsError('exists', `${file} ${why}: take another name than "${name}"`)
}

/**
 * Makes a verifier of a password for each of the four servers, in the form of dfs.conf. What a login shows to one of
 * them is then of no use at the others, also where all have copies of one file. `like`: verifiers whose salts and rounds
 * they have, so that both can be offered to one client.
 */
async function verifiersOf(
  password: string,
  like: readonly Pick<Verifier, 'salt' | 'iterations'>[] = serverIndexes.map(() => ({
    salt: systemRandom.bytes(16),
    iterations: scramIterations.written,
  })),
): Promise<readonly Verifier[]> {
  return await Promise.all(
    like.map(({ salt, iterations }) => makeVerifier(password, salt, iterations)),
  )
}

function textOf(file: string): string {
  return existsSync(file) ? readConfig(file) : ''
}

/**
 * Replaces the text of the file by what `change` makes of it, one command after the other, so that of several at once
 * none is lost. The file is its owner's alone afterwards, and its owner stays the same: root may edit that of a server
 * which does not run as root. One that was killed leaves at most what the next removes.
 * `path` may be a link, which stays one: other servers may read the same file by another name.
 */
function edit(path: string, change: (text: string) => string): void {
  const file = existsSync(path) ? saying(path, () => realpathSync(path)) : path
  saying(file, () => makeConfigFolder(file))
  const lock = saying(file, () =>
    lockFile(`${file}.lock`, editWaitMs, `${file} is being edited by another command`),
  )
  try {
    removeLeftovers(file)
    const text = change(textOf(file))
    saying(file, () => {
      const before = statSync(file, { throwIfNoEntry: false })
      writeDurably(file, text, 0o600)
      if (before !== undefined) keepOwner(file, before)
    })
  } finally {
    lock.release()
  }
}

/** Gives a file that was replaced to the owner of the one before, which only root can do for another one. */
function keepOwner(file: string, { uid, gid }: Pick<Stats, 'uid' | 'gid'>): void {
  if (process.getuid?.() === 0) chownSync(file, uid, gid)
}

/** Files of `writeDurably` whose process was killed. */
function removeLeftovers(file: string): void {
  const folder = dirname(resolve(file))
  const start = `${basename(file)}.`
  for (const name of readdirSync(folder)) {
    const isOurs = name.startsWith(start) && /^\d+\.tmp$/.test(name.slice(start.length))
    if (isOurs) rmSync(join(folder, name), { force: true })
  }
}

function saying<T>(file: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    if (cause instanceof DfsError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new DfsError('configuration', `${file}: cannot write it: ${why}`, { cause })
  }
}
