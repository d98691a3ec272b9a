/**
 * The two configuration files: config/dfc.conf of the client (who I am, where the four servers are)
 * and config/dfs.conf of a server (who may log in). A mistake in one is told with its file and line
 * and what was expected there.
 */
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { asDfsError, DfsError } from './errors.js'
import { limits } from './limits.js'
import type { Address } from './network.js'
import { parseToml, type Section } from './toml.js'

export interface ServerAddress {
  /** DFS1 .. DFS4: for people. */
  readonly name: string
  readonly address: Address
}

export interface ClientConfig {
  readonly user: string
  readonly password: string
  /** How long one server is waited for. */
  readonly timeoutMs: number
  /** Exactly four, in the order that places the pieces. */
  readonly servers: readonly ServerAddress[]
  /** Absolute path of the folder for data that could not be stored, when one was named. */
  readonly recovery: string | undefined
}

/** What stands for a user in dfs.conf: a password in clear, or what `parseVerifier` made of it. */
export type UserConfig<V> =
  | { readonly kind: 'password'; readonly password: string }
  | { readonly kind: 'verifier'; readonly verifier: V }

export const passwordVariable = 'DFC_PASSWORD'

const timeoutsMs = { least: 10, most: 60_000 } as const
const userNameRule = `1 to ${limits.userNameBytesMax} of A-Z a-z 0-9 . _ - (no dot in front)`

/** The server keeps these beside the users' folders, so nobody can be called so. */
const reservedNames = /^(identity\.json|lock\.db)/

/** Whether a user may have this name: it becomes the name of a folder on the servers. */
export function isUserName(name: string): boolean {
  return (
    name.length <= limits.userNameBytesMax &&
    /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(name) &&
    !reservedNames.test(name)
  )
}

/** Reads the client's file. Throws `configuration` naming the file and, where it can, the line. */
export function loadClientConfig(file: string, environment = process.env): ClientConfig {
  return parseClientConfig(readConfig(file), file, environment)
}

/** `environment` may hold the password in DFC_PASSWORD, which then wins. */
export function parseClientConfig(
  text: string,
  file: string,
  environment: Readonly<Record<string, string | undefined>>,
): ClientConfig {
  const top = parseToml(text, file)
  top.only('user', 'password', 'timeout', 'recovery', 'server')
  const recovery = top.text('recovery', 'a folder')
  return {
    user: userOf(top),
    password: passwordOf(top, environment[passwordVariable]),
    timeoutMs: timeoutOf(top),
    servers: serversOf(top),
    recovery: recovery === undefined ? undefined : resolve(dirname(file), recovery),
  }
}

/**
 * The users of dfs.conf by name. `parseVerifier` returns undefined for a text that is not a verifier;
 * `file` is only named in errors.
 */
export function parseUsersConfig<V>(
  text: string,
  file: string,
  parseVerifier: (text: string) => V | undefined,
): ReadonlyMap<string, UserConfig<V>> {
  const top = parseToml(text, file)
  top.only('users')
  const users = top.section('users', 'tables [users.NAME]')
  return new Map(
    users?.keys.map((name) => {
      if (!isUserName(name)) {
        throw users.complaint(name, `user "${name}": expected a name of ${userNameRule}`)
      }
      const user = users.section(name, 'a table with a password or a verifier')
      return [name, userConfigOf(users, name, user, parseVerifier)] as const
    }),
  )
}

/** The text of a configuration file. Throws `configuration` when it cannot be read. */
export function readConfig(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const why = missing ? 'there is no such file' : asDfsError(cause).message
    throw new DfsError('configuration', `${file}: cannot read the configuration: ${why}`, { cause })
  }
}

function userConfigOf<V>(
  users: Section,
  name: string,
  user: Section | undefined,
  parseVerifier: (text: string) => V | undefined,
): UserConfig<V> {
  user?.only('password', 'verifier')
  const password = user?.text('password', 'a text', true)
  const text = user?.text('verifier', 'a SCRAM-SHA-256 verifier', true)
  if (user === undefined || (password === undefined) === (text === undefined)) {
    throw users.complaint(name, `user "${name}": expected exactly one of password and verifier`)
  }
  if (text === undefined) {
    if (password === undefined || password === '') {
      throw user.error('password', 'at least one character', true)
    }
    return { kind: 'password', password }
  }
  const verifier = parseVerifier(text)
  if (verifier === undefined) throw user.error('verifier', 'a SCRAM-SHA-256 verifier', true)
  return { kind: 'verifier', verifier }
}

function userOf(top: Section): string {
  const user = top.text('user', 'a name')
  if (user === undefined || !isUserName(user)) throw top.error('user', `a name of ${userNameRule}`)
  return user
}

function passwordOf(top: Section, fromEnvironment: string | undefined): string {
  const inFile = top.text('password', 'a text', true)
  if (fromEnvironment !== undefined && fromEnvironment !== '') return fromEnvironment
  if (inFile !== undefined && inFile !== '') return inFile
  throw top.error('password', `a text here or in the environment's ${passwordVariable}`, true)
}

function timeoutOf(top: Section): number {
  const { least, most } = timeoutsMs
  const expected = `a duration from "${least}ms" to "${most / 1000}s", such as "2s"`
  const text = top.text('timeout', expected)
  if (text === undefined) return limits.requestTimeoutMs
  const match = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(text)
  const ms = match === null ? Number.NaN : Number(match[1]) * (match[2] === 's' ? 1000 : 1)
  if (!(ms >= least && ms <= most)) throw top.error('timeout', expected)
  return ms
}

function serversOf(top: Section): readonly ServerAddress[] {
  const count = limits.serverCount
  const sections = top.sections('server', `${count} tables [[server]]`)
  if (sections.length !== count) {
    throw top.complaint('server', `expected exactly ${count} [[server]], got ${sections.length}`)
  }
  const servers = sections.map(serverOf)
  for (const [index, section] of sections.entries()) {
    const before = servers.slice(0, index)
    const server = servers[index]
    if (before.some((other) => other.name === server?.name)) {
      throw section.error('name', 'a name that no other server has')
    }
    if (before.some(({ address }) => same(address, server?.address))) {
      throw section.error('address', 'an address that no other server has')
    }
  }
  return servers
}

function serverOf(section: Section): ServerAddress {
  section.only('name', 'address')
  const name = section.text('name', 'a name')
  if (name === undefined || !/^[^\s\p{C}](?:[^\p{C}]{0,62}[^\s\p{C}])?$/u.test(name)) {
    throw section.error('name', 'a name such as "DFS1"')
  }
  const address = parseAddress(section.text('address', '"host:port"') ?? '')
  if (address === undefined) throw section.error('address', '"host:port"')
  return { name, address }
}

/** `host:port` or `[IPv6]:port`. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host !== undefined && port >= 1 && port <= 65_535 ? { host, port } : undefined
}

function same(a: Address, b: Address | undefined): boolean {
  return a.port === b?.port && a.host.toLowerCase() === b.host.toLowerCase()
}
