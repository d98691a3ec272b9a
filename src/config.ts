/**
 * The two configuration files: dfc.conf of the client (the user and the four servers) and dfs.conf of a server (the
 * users that may log in). A mistake is reported with its file and line and what was expected there.
 */
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import { parseByteSize } from './byte-size.js'
import { durationText, parseDuration } from './duration.js'
import { sentenceOf } from './error-message.js'
import { DfsError } from './errors.js'
import { limits } from './limits.js'
import { type MetricsAddress, metricsRule, parseMetricsAddress } from './metrics-address.js'
import { readNamedFile, readPipe } from './named-file.js'
import { type Address, addressText } from './network.js'
import { prepared, preparedRule } from './password.js'
import { assertPrivate } from './private-file.js'
import { isKeyName, isLoopback } from './tls.js'
import { parseToml } from './toml.js'
import { expecting, parsed, readToml, secret, table, tableByName } from './toml-schema.js'

export interface ServerAddress {
  /** DFS1 .. DFS4, for messages. */
  readonly name: string
  readonly address: Address
  /** Names the key that the server has to show over TLS (`keyNameOf`), if the configuration says it. */
  readonly key?: string | undefined
}

/** Whether TLS is asked for: always, never, or (undefined) where bytes leave this machine. */
export type TlsWord = 'on' | 'off' | undefined

export interface ClientConfig {
  readonly user: string
  readonly password: string
  /** How long a client waits for a silent server, in milliseconds. */
  readonly timeoutMs: number
  /** Exactly four servers, in the order that places the pieces. */
  readonly servers: readonly ServerAddress[]
  readonly tls?: TlsWord
  /** Absolute path of the folder for data that could not be stored, if one is configured. */
  readonly recovery: string | undefined
  /** Where a mount listens for whoever reads its metrics, if it does. */
  readonly metrics?: MetricsAddress | undefined
}

/** A user's entry in dfs.conf: a password in clear text, or what `parseVerifier` made of the verifier. */
export type UserConfig<V> = (
  | { readonly kind: 'password'; readonly password: string }
  /** One for each position of a server, 0 .. 3; or a single one, of a file that one server alone has. */
  | {
      readonly kind: 'verifiers'
      readonly verifiers: readonly V[]
      readonly old?: OldVerifiers<V> | undefined
    }
) & {
  /** Bytes that the user's files may have together, if that is bounded. */
  readonly quotaBytes?: number
  /** For how long what the user removes or replaces is kept; 0 or absent for not at all. */
  readonly trashMs?: number
}

/** Verifiers of the password before, good until `untilMs` since 1970. */
export interface OldVerifiers<V> {
  readonly untilMs: number
  readonly verifiers: readonly V[]
}

/** The form of a quota, for errors. */
export const quotaRule = 'a size such as "500M" or "10G"'

/** The form of the time for which the trash keeps what was removed, for errors. */
export const trashRule = `a time such as "36h" or "7d", at most ${durationText(limits.trashMsMax)}, or "off"`

export const passwordVariable = 'DFC_PASSWORD'

const timeoutsMs = { least: 10, most: 60_000 } as const
const userNameRule = `1 to ${limits.userNameBytesMax} of A-Z a-z 0-9 . _ - (no dot in front)`

/** The server keeps these beside the users' folders, on disks that may not tell apart "A" and "a". */
const reservedNames = /^(identity\.json|lock\.db|key\.pem|dfs\.conf|server\.env)/i

/** Whether a client of `config` uses TLS to `server`. */
export function usesTls({ tls }: Pick<ClientConfig, 'tls'>, server: ServerAddress): boolean {
  if (tls !== undefined) return tls === 'on'
  return server.key !== undefined || !isLoopback(server.address.host)
}

/** Warns, at every start, where the configuration turns TLS off for bytes that leave this machine. */
export function tlsRemark({ tls, servers }: ClientConfig): string | undefined {
  if (tls !== 'off' || servers.every(({ address }) => isLoopback(address.host))) return undefined
  return 'tls = "off": what is stored and read can be read and changed on the way'
}

/** Whether a user may have this name: it becomes the name of a folder on the servers. */
export function isUserName(name: string): boolean {
  return (
    name.length <= limits.userNameBytesMax &&
    /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(name) &&
    !reservedNames.test(name)
  )
}

/** Returns the name that was given for a user. Throws `invalid` for one that no user may have. */
export function checkedUserName(name: string): string {
  if (isUserName(name)) return name
  throw new DfsError('invalid', `"${name}" cannot be a user's name: use letters, digits, . _ -`)
}

/**
 * Reads the client's file. `environment` may hold the password in DFC_PASSWORD. Throws `configuration` naming the file
 * and, where it can, the line; also when there is a password in it that others can read.
 */
export function loadClientConfig(
  file: string,
  environment: Readonly<Record<string, string | undefined>>,
): ClientConfig {
  const text = readConfig(file, '"dfc init" makes a configuration')
  const config = parseClientConfig(text, file, environment)
  // Also one that the environment's takes the place of.
  if (parseToml(text, file).root.password !== undefined) assertPrivate(file)
  return config
}

/** Parses the text of dfc.conf. DFC_PASSWORD in `environment` takes precedence over its password. */
export function parseClientConfig(
  text: string,
  file: string,
  environment: Readonly<Record<string, string | undefined>>,
): ClientConfig {
  const fromEnvironment = environment[passwordVariable] ?? ''
  if (fromEnvironment !== '' && !isAllowed(fromEnvironment)) {
    throw new DfsError('configuration', `${passwordVariable}: expected ${preparedRule}`)
  }
  const { user, password, timeout, recovery, server, tls, metrics } = readToml(
    text,
    file,
    clientSchema(fromEnvironment),
  )
  if (tls === 'off' && server.some(({ key }) => key !== undefined)) {
    throw new DfsError(
      'configuration',
      `${file}: tls = "off" and the key of a server contradict each other: without TLS no key is looked at`,
    )
  }
  return {
    user,
    password,
    timeoutMs: timeout,
    servers: server,
    tls,
    recovery: recovery === undefined ? undefined : resolve(dirname(file), recovery),
    metrics,
  }
}

export interface ServerConfig<V> {
  readonly tls: TlsWord
  /** Where a server listens for whoever reads its metrics, if it does. */
  readonly metrics?: MetricsAddress | undefined
  /** By name. */
  readonly users: ReadonlyMap<string, UserConfig<V>>
}

/**
 * Parses the text of dfs.conf. `parseVerifier` returns undefined for a text that is not a verifier; `file` is only
 * named in errors.
 */
export function parseServerConfig<V>(
  text: string,
  file: string,
  parseVerifier: (text: string) => V | undefined,
): ServerConfig<V> {
  const {
    tls,
    metrics,
    users = new Map(),
  } = readToml(text, file, serverConfigSchema(parseVerifier))
  return { tls, metrics, users }
}

/**
 * Awaits what a program writes into `file`, if that is a pipe, so that it can be read as a configuration from now on.
 * Throws `configuration`.
 */
export async function awaitConfig(file: string): Promise<void> {
  try {
    await readPipe(file)
  } catch (cause) {
    throw unreadable(file, sentenceOf(cause), cause)
  }
}

/**
 * Reads the text of a configuration file. Throws `configuration` when it cannot be read; `remedy` is named where there
 * is no such file.
 */
export function readConfig(file: string, remedy?: string): string {
  if (file === '') {
    throw new DfsError('configuration', 'the name of the configuration is empty: expected a file')
  }
  try {
    return readNamedFile(file)
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const absent = `there is no such file${remedy === undefined ? '' : `: ${remedy}`}`
    const why = missing ? absent : sentenceOf(cause)
    throw unreadable(file, why, cause)
  }
}

function unreadable(file: string, why: string, cause: unknown): DfsError {
  return new DfsError('configuration', `${file}: cannot read the configuration: ${why}`, { cause })
}

const userName = parsed(`a name of ${userNameRule}`, (name) =>
  isUserName(name) ? name : undefined,
)

const tlsWord = v.optional(
  parsed('"on" or "off"', (word) => (word === 'on' || word === 'off' ? word : undefined)),
)

const metricsAddress = parsed(metricsRule, parseMetricsAddress)

const nonEmpty = (text: string): string | undefined => (text === '' ? undefined : text)

const isAllowed = (password: string): boolean => prepared(password) !== undefined
const allowed = v.check(isAllowed, expecting(preparedRule, secret))

/** The table that is the whole of dfc.conf. */
function clientSchema(passwordOfEnvironment: string) {
  const required = `a text here or in the environment's ${passwordVariable}`
  const { least, most } = timeoutsMs
  const duration = `a duration from "${least}ms" to "${most / 1000}s", such as "2s"`
  return table('a file', {
    user: userName,
    password:
      passwordOfEnvironment === ''
        ? v.pipe(parsed(required, nonEmpty, secret), allowed)
        : v.pipe(
            v.optional(parsed('a text', (text) => text, secret)),
            v.transform(() => passwordOfEnvironment),
          ),
    timeout: v.optional(parsed(duration, parseTimeout), `${limits.requestTimeoutMs}ms`),
    recovery: v.optional(parsed('a folder', nonEmpty)),
    metrics: v.optional(metricsAddress),
    tls: tlsWord,
    server: v.optional(serversSchema, []),
  })
}

/** Parses a time of ISO 8601 in UTC to ms since 1970. Undefined when it is none. */
function parseTime(text: string): number | undefined {
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(text)
  const ms = isTime ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}

/** Parses a time such as "2s" to milliseconds. Undefined when it is none, or out of bounds. */
function parseTimeout(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s)$/.exec(text)
  const ms = match === null ? Number.NaN : Number(match[1]) * (match[2] === 's' ? 1000 : 1)
  return ms >= timeoutsMs.least && ms <= timeoutsMs.most ? ms : undefined
}

const serverSchema = table('a table [[server]]', {
  name: parsed('a name such as "DFS1"', (name) =>
    /^[^\s\p{C}](?:[^\p{C}]{0,62}[^\s\p{C}])?$/u.test(name) ? name : undefined,
  ),
  address: parsed('"host:port"', parseAddress),
  key: v.optional(
    parsed('a key such as "sha256:...", as "dfs-server key FOLDER" prints it', (key) =>
      isKeyName(key) ? key : undefined,
    ),
  ),
})

const serversSchema = v.pipe(
  v.array(serverSchema, expecting(`${limits.serverCount} tables [[server]]`)),
  v.length(
    limits.serverCount,
    ({ input }) => `expected exactly ${limits.serverCount} [[server]], got ${input.length}`,
  ),
  noneTwice('name', 'a name', (name) => name),
  noneTwice('address', 'an address', ({ host, port }) =>
    addressText({ host: host.toLowerCase(), port }),
  ),
)

/** Refuses two servers with the same `key`. Values are the same if `textOf` is equal. */
function noneTwice<K extends 'name' | 'address'>(
  key: K,
  what: string,
  textOf: (value: ServerAddress[K]) => string,
) {
  return v.rawCheck<ServerAddress[]>(({ dataset: { typed, value: servers }, addIssue }) => {
    if (!typed) return
    const texts = servers.map((server) => textOf(server[key]))
    const index = texts.findIndex((text, at) => texts.indexOf(text) < at)
    const server = servers[index]
    if (server === undefined) return
    const common = { origin: 'value' as const }
    addIssue({
      message: `expected ${what} that no other server has, got ${JSON.stringify(texts[index])}`,
      path: [
        { ...common, type: 'array', input: servers, key: index, value: server },
        { ...common, type: 'object', input: { ...server }, key, value: server[key] },
      ],
    })
  })
}

/** The table that is the whole of dfs.conf. */
function serverConfigSchema<V>(parseVerifier: (text: string) => V | undefined) {
  const verifier = parsed('a SCRAM-SHA-256 verifier', parseVerifier, secret)
  const list = v.pipe(
    v.array(verifier, expecting(`a list of ${limits.serverCount} verifiers`, secret)),
    v.length(limits.serverCount, expecting(`${limits.serverCount} verifiers`, secret)),
  )
  const user = v.pipe(
    table('a table with a password or verifiers', {
      password: v.optional(v.pipe(parsed('at least one character', nonEmpty, secret), allowed)),
      verifier: v.optional(verifier),
      verifiers: v.optional(list),
      old: v.optional(
        table('a table with until and verifiers', {
          until: parsed('a time such as "2027-01-31T12:00:00Z"', parseTime),
          verifiers: list,
        }),
      ),
      quota: v.optional(parsed(quotaRule, parseByteSize)),
      trash: v.optional(parsed(trashRule, parseTrashTime)),
    }),
    v.rawTransform(({ dataset, addIssue, NEVER }): UserConfig<V> => {
      const { old, quota: quotaBytes, trash: trashMs, ...passwords } = dataset.value
      const { password, verifier: single, verifiers = single && [single] } = passwords
      const given = Object.values(passwords).filter((value) => value !== undefined)
      const bounds = {
        ...(quotaBytes === undefined ? {} : { quotaBytes }),
        ...(trashMs === undefined ? {} : { trashMs }),
      }
      if (given.length === 1 && verifiers !== undefined) {
        if (old === undefined) return { kind: 'verifiers', verifiers, ...bounds }
        const { until: untilMs, verifiers: before } = old
        return { kind: 'verifiers', verifiers, old: { untilMs, verifiers: before }, ...bounds }
      }
      if (given.length === 1 && password !== undefined) {
        return { kind: 'password', password, ...bounds }
      }
      const got = given.length === 0 ? 'none' : `${given.length} of them`
      addIssue({ message: `expected exactly one of password, verifiers and verifier, got ${got}` })
      return NEVER
    }),
  )
  return table('a file', {
    tls: tlsWord,
    metrics: v.optional(metricsAddress),
    users: v.optional(tableByName('tables [users.NAME]', userName, user)),
  })
}

/** Parses the time for which the trash keeps what was removed to ms, 0 for "off". Undefined when it is neither. */
export function parseTrashTime(text: string): number | undefined {
  const ms = text === 'off' ? 0 : parseDuration(text)
  return ms === undefined || ms > limits.trashMsMax ? undefined : ms
}

/** Parses `host:port` or `[IPv6]:port`. Undefined when it is neither. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host !== undefined && port >= 1 && port <= 65_535 ? { host, port } : undefined
}
