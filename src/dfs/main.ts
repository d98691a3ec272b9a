/**
 * `dfs-server <folder> <port>` runs one of the four servers in the foreground until it gets SIGTERM,
 * SIGINT or SIGHUP; `dfs-server user ...` edits who may log in.
 */
import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { CommanderError } from 'commander'
import { systemClock, systemRandom } from '../clock.js'
import { passwordVariable, type TlsWord } from '../config.js'
import { serverConfigFile } from '../config-home.js'
import { sentenceOf, sentenceWithPath } from '../error-message.js'
import { DfsError } from '../errors.js'
import { exitStatusOf } from '../exit-status.js'
import { limits } from '../limits.js'
import { complain, logTo, notice } from '../log.js'
import { type MetricsAddress, metricsRule, parseMetricsAddress } from '../metrics-address.js'
import { addressText, tcpNetwork } from '../network.js'
import { nameProcess } from '../process-name.js'
import { takeFromEnvironment } from '../secret-environment.js'
import { tellServiceManager } from '../service-manager.js'
import { onEndSignals, outliveTerminal } from '../signals.js'
import { isLoopback } from '../tls.js'
import { folderStorage } from './account/storage.js'
import { descriptorsMax } from './disk/descriptors.js'
import { FileSystemRoom } from './disk/disk-space.js'
import { ServerKey } from './disk/server-key.js'
import { type ServeOptions, serverGrammar } from './grammar.js'
import { Server, type ServerSecurity } from './server.js'
import { type NamedFigures, serverMetrics } from './server-metrics.js'
import { setUpServer } from './setup.js'
import { UsersFile } from './users/users.js'

/** Leaves the environment at once; only `init` wants it. */
const password = takeFromEnvironment(passwordVariable)
/** Whatever the server makes is for its owner alone. */
const privateUmask = 0o077
/** The exit status for words that are not understood. */
const notUnderstood = 2

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is already in use',
  EACCES: 'this user may not use the port',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no such host',
}

const program = serverGrammar({
  serve: (...words) => serve(...words).catch((thrown) => fail(thrown, exitStatusOf(thrown))),
  async key(folder) {
    if (!existsSync(folder))
      throw new DfsError('configuration', `${folder}: there is no such folder`)
    process.stdout.write(`${(await ServerKey.open(folder)).name}\n`)
  },
  async init(folder, port, options) {
    const lines = await setUpServer(folder, port, { ...options, password })
    process.stdout.write(`${lines.join('\n')}\n`)
  },
  async user(command, config, [target = '', value = ''], options) {
    const said = await command.run(config, target, options, value)
    if (said !== '') process.stdout.write(`${said}\n`)
  },
})

nameProcess('dfs-server')
process.umask(privateUmask)
try {
  await program.parseAsync()
} catch (thrown) {
  if (thrown instanceof CommanderError) process.exit(thrown.exitCode === 0 ? 0 : notUnderstood)
  fail(thrown, 1)
}

/** Ends the process: what the system or a person did wrong is one line, and a fault of the program shows its stack. */
function fail(thrown: unknown, status: number): never {
  if (!(thrown instanceof DfsError) && !(thrown instanceof Error && 'syscall' in thrown))
    throw thrown
  complain(`dfs-server: ${sentenceWithPath(thrown)}`)
  process.exit(status)
}

/** Resolves when the server listens; the process then lives until a signal. */
async function serve(folder: string, portText: string, options: ServeOptions): Promise<void> {
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : Number.NaN
  if (!(port <= 65_535)) {
    const why = `"${portText}" is not a port: expected a number from 0 to 65535`
    throw new DfsError('configuration', why)
  }
  // Node would listen at every address of the machine.
  if (options.host === '') throw new DfsError('configuration', '--host: expected an address')
  const reopenLog = options.log === undefined ? undefined : logTo(resolve(options.log))
  const metrics = metricsOf(options)
  const address = { host: options.host, port }
  const config = options.config ?? serverConfigFile(folder)
  assertUsers(config)
  const storage = folderStorage(folder, systemRandom)
  const users = new UsersFile(config, storage.identity.secret)
  const plainFrom = plainFromOf(users.tls)
  // Making one takes half a second, which a cluster on one machine need not spend.
  let made: Promise<ServerKey> | undefined
  const keyOf = (): Promise<ServerKey> => (made ??= ServerKey.open(folder))
  const isForOthers = !isLoopback(options.host) || plainFrom === 'nobody'
  const key = isForOthers ? `, key ${(await keyOf()).name}` : ''
  const server = await Server.start({
    address,
    users,
    storage,
    network: tcpNetwork,
    clock: systemClock,
    random: systemRandom,
    security: { key: async () => (await keyOf()).tls, plainFrom },
    descriptorsMax: descriptorsMax(),
  }).catch((thrown: unknown) => {
    throw cannotListen(address.host, port, thrown)
  })
  setInterval(() => users.refresh(), limits.usersCheckMs).unref()
  stopOnSignals(server, reopenLog)
  const where = addressText({ host: options.host, port: server.port })
  notice(`${basename(resolve(folder))} listens on ${where}${key}`)
  if (plainFrom === 'anybody') {
    notice(
      `${config}: tls = "off": what clients send without TLS can be read and changed on the way`,
      'warning',
    )
  }
  users.warnOfPlainPasswords()
  await serveMetrics(server, resolve(folder), metrics ?? users.metrics)
  process.send?.({ listening: server.port })
  void tellServiceManager('READY=1', `STATUS=listens on ${where}`)
}

/** Parses the address for metrics. Throws `configuration`. */
function metricsOf({ metrics: text }: ServeOptions): MetricsAddress | undefined {
  if (text === undefined) return undefined
  const address = parseMetricsAddress(text)
  if (address !== undefined) return address
  throw new DfsError('configuration', `--metrics ${text}: expected ${metricsRule}`)
}

async function serveMetrics(
  server: Server,
  folder: string,
  address: MetricsAddress | undefined,
): Promise<void> {
  if (address === undefined) return
  // What takes a moment to load is loaded by those alone that want it.
  const { MetricsListener } = await import('../metrics.js')
  const room = new FileSystemRoom(folder)
  const name = basename(folder)
  const figures = async (): Promise<NamedFigures> => {
    return { name, port: server.port, disk: await room.now(), ...server.figures }
  }
  await MetricsListener.start(address, serverMetrics, figures)
}

/** Converts the word `tls` of dfs.conf to the peers that may come without TLS. */
function plainFromOf(word: TlsWord): ServerSecurity['plainFrom'] {
  if (word === undefined) return 'thisMachine'
  return word === 'on' ? 'nobody' : 'anybody'
}

/** Throws `configuration` where nobody could log in, and says what to do. */
function assertUsers(file: string): void {
  const remedy = `"dfs-server user add NAME --config ${file}" adds one`
  if (!existsSync(file)) {
    throw new DfsError(
      'configuration',
      `${file}: there are no users: there is no such file; ${remedy}`,
    )
  }
  if (UsersFile.count(file) === 0)
    throw new DfsError('configuration', `${file}: there are no users; ${remedy}`)
}

/** The first signal drains, a later one does not wait. With a log file SIGHUP is about that. */
function stopOnSignals(server: Server, reopenLog: (() => void) | undefined): void {
  outliveTerminal()
  onEndSignals(
    () => {
      void tellServiceManager('STOPPING=1')
      void server.stop().then(() => process.exit(0))
    },
    () => process.exit(1),
    reopenLog,
  )
}

function cannotListen(host: string, port: number, thrown: unknown): DfsError {
  const code = (thrown as NodeJS.ErrnoException).code ?? ''
  const why = reasons[code] ?? sentenceOf(thrown)
  return new DfsError('io', `cannot listen on ${host}:${port}: ${why}`, { cause: thrown })
}
