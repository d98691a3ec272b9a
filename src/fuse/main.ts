/**
 * The program dfs-mount: mounts in the background or the foreground, with servers of its own (--local) or those of a
 * configuration, unmounts, and is the helper of mount(8). Exit status: 0 done, 1 failed, 2 not understood,
 * 78 the configuration is wrong.
 */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CommanderError } from 'commander'
import { systemRandom } from '../clock.js'
import { awaitConfig, type ClientConfig, loadClientConfig, passwordVariable } from '../config.js'
import { clientConfigFile, clientConfigPlaces } from '../config-home.js'
import { sentenceOf, sentenceWithPath } from '../error-message.js'
import { asDfsError, DfsError, isError } from '../errors.js'
import { exitStatusOf } from '../exit-status.js'
import { complain, debugFuse, isJournal, logTo, notice } from '../log.js'
import { type MetricsAddress, metricsRule, parseMetricsAddress } from '../metrics-address.js'
import { askDaemon } from '../mount-control.js'
import { isPipe } from '../named-file.js'
import { makePrivateFolder } from '../private-file.js'
import { nameProcess } from '../process-name.js'
import { takeFromEnvironment } from '../secret-environment.js'
import { tellServiceManager } from '../service-manager.js'
import { onEndSignals, outliveTerminal } from '../signals.js'
import { dataHome } from '../state-home.js'
import { Daemon } from './daemon/daemon.js'
import { launch, report } from './daemon/launch.js'
import { type StateFolder, stateFolderOf } from './daemon/state-folder.js'
import { defaultPort, mountGrammar } from './grammar.js'
import { knownFirstPort, localAccount } from './local/local-accounts.js'
import { isAlive } from './local/local-server.js'
import { LocalServers, serverFolders } from './local/local-servers.js'
import {
  isFsname,
  type MountWords,
  parseMountOptions,
  withoutWordsOfHelper,
} from './mount/mount-options.js'
import { absoluteMountpoint, isOurs, prepareMountpoint, unmount } from './mount/mountpoint.js'
import { remount } from './mount/remount.js'

/** This file runs as <project>/dist/src/fuse/main.js. */
const project = resolve(import.meta.dirname, '../../..')
const portMax = 65_535 - 3
const portsTried = 10
const randomPorts = 2_000
const endTimeoutMs = 30_000
const endPollMs = 20
const goodbyeMs = 1_000
/** Leaves the environment before any process is started, and goes on to the daemon by a pipe. */
const password = takeFromEnvironment(passwordVariable)
const standardInput = 0
/** Whatever is made on this machine is for its owner alone; modes of files in the mount come from the programs. */
const privateUmask = 0o077

interface Options {
  readonly config?: string
  readonly local?: true | readonly string[]
  /** There is no configuration, so the servers are those of --local. */
  readonly isTrial?: true
  readonly port?: string
  readonly foreground?: true
  readonly log?: string
  readonly metrics?: string
  readonly passwordStdin?: true
  readonly unmount?: true
  readonly option?: readonly string[]
  readonly fake?: true
  readonly sloppy?: true
  readonly verbose?: true
}

/** The account of a mount, and its servers if --local runs them. */
interface Backing {
  readonly config: ClientConfig
  /** Reads the configuration again. */
  readonly configNow: () => ClientConfig
  readonly clientFile: string
  readonly servers: LocalServers | undefined
}

const program = mountGrammar()

nameProcess('dfs-mount')
process.umask(privateUmask)
try {
  program.parse()
  const { mountpoint, options } = understand(program.args, program.opts<Options>())
  // An empty word, such as that of an unset variable in a script, would be the working folder.
  if (mountpoint === '') program.error('error: the name of the mountpoint is empty')
  await run(await absoluteMountpoint(mountpoint), options)
} catch (thrown) {
  if (thrown instanceof CommanderError) process.exit(thrown.exitCode === 0 ? 0 : 2)
  debugFuse('%o', thrown)
  if (!(thrown instanceof DfsError)) debugFuse('a bug? %o', thrown)
  const sentence = sentenceWithPath(thrown)
  report({ failed: sentence, code: asDfsError(thrown).code })
  complain(`dfs-mount: ${sentence}`)
  process.exitCode = exitStatusOf(thrown)
}

/**
 * Finds the mountpoint among the words. --local takes all the words behind it: when none is left for the mountpoint,
 * it is the last of them. None, one or four folders may be in front of it, so that this is never ambiguous. mount(8)
 * puts the source in front of the mountpoint, and expects it as the source of the mount.
 */
function understand(
  args: readonly string[],
  options: Options,
): { readonly mountpoint: string; readonly options: Options } {
  if (options.local !== undefined && options.config !== undefined) {
    program.error('error: --config cannot be used with --local')
  }
  const [word, second, ...others] = args
  if (word !== undefined && second !== undefined) {
    const isTwice = options.local !== undefined || options.config !== undefined
    if (isTwice || options.unmount || others.length > 0)
      return program.error('error: too many arguments')
    const source = isFsname(word) ? [`fsname=${word}`] : []
    const option = [...source, ...(options.option ?? []).map(withoutWordsOfHelper)]
    return { mountpoint: second, options: withAccount({ ...options, config: word, option }) }
  }
  if (word !== undefined) return { mountpoint: word, options: withAccount(options) }
  const words = typeof options.local === 'object' ? options.local : []
  const mountpoint = words.at(-1)
  if (mountpoint === undefined) return program.error("error: missing argument 'mountpoint'")
  return { mountpoint, options: { ...options, local: words.slice(0, -1) } }
}

/** Adds the configuration that no option names or, where there is none, servers on this machine. */
function withAccount(options: Options): Options {
  if (options.unmount || options.local !== undefined) return options
  const config = options.config ?? clientConfigFile()
  if (config === undefined) return { ...options, local: true, isTrial: true }
  if (options.port !== undefined) program.error('error: --port belongs to --local')
  return { ...options, config }
}

async function run(mountpoint: string, options: Options): Promise<void> {
  const state = stateFolderOf(mountpoint)
  // Errors found here are reported by the command, not only in the daemon's log.
  const words = parseMountOptions(options.option ?? [], options.sloppy)
  metricsOf(options)
  if (options.unmount) await unmountAt(mountpoint, state)
  else if (options.fake) await check(options, words)
  else if (words.remount) await remount(mountpoint, words)
  else {
    // The one command works in a home that has nothing yet.
    if (options.isTrial) makeMountpoint(mountpoint)
    // Before servers are started and an account is founded in vain.
    await prepareMountpoint(mountpoint, words.nonEmpty)
    if (options.isTrial) process.stdout.write(`${trialSentence()}\n`)
    if (options.foreground) await serve(mountpoint, options, words, state)
    else await mountInBackground(mountpoint, options, state)
  }
  if (options.verbose && !options.unmount && !options.fake) notice(`${mountpoint} is mounted`)
}

function makeMountpoint(mountpoint: string): void {
  try {
    makePrivateFolder(mountpoint)
  } catch (cause) {
    const why = `${mountpoint}: cannot make the mountpoint: ${sentenceOf(cause)}`
    throw new DfsError('configuration', why, { cause })
  }
}

/** Says why servers on this machine keep the files, and what takes their place. */
function trialSentence(): string {
  const places = clientConfigPlaces().join(' or ')
  return `There is no configuration in ${places}, so four servers on this machine keep the files, in ${dataHome()}, as with --local; "dfc init" makes a configuration for four servers of your own`
}

/** Parses the address for metrics. Throws `configuration`. */
function metricsOf({ metrics: text }: Options): MetricsAddress | undefined {
  if (text === undefined) return undefined
  const address = parseMetricsAddress(text)
  if (address !== undefined) return address
  throw new DfsError('configuration', `--metrics ${text}: expected ${metricsRule}`)
}

/** Checks everything that can be checked without mounting. */
async function check({ config }: Options, { remount }: MountWords): Promise<void> {
  if (config === undefined || remount) return
  await awaitConfig(config)
  loadClientConfig(config, { [passwordVariable]: password })
}

async function mountInBackground(
  mountpoint: string,
  options: Options,
  state: StateFolder,
): Promise<void> {
  if (options.config !== undefined && isPipe(options.config)) {
    const why = 'it is a pipe, which the mount in the background has not'
    throw new DfsError('configuration', `${options.config}: ${why}: give a file, or --foreground`)
  }
  // The daemon has another working folder, so paths are made absolute.
  const local = typeof options.local === 'object' ? options.local.map((f) => resolve(f)) : []
  const words = [
    '--foreground',
    ...(options.config === undefined ? [] : ['--config', resolve(options.config)]),
    ...(options.port === undefined ? [] : ['--port', options.port]),
    ...(options.metrics === undefined ? [] : ['--metrics', options.metrics]),
    ...(options.option ?? []).flatMap((words) => ['-o', words]),
    ...(options.sloppy ? ['--sloppy'] : []),
    ...(password === undefined ? [] : ['--password-stdin']),
    ...(options.local === undefined ? [] : ['--local', ...local]),
    '--',
    mountpoint,
  ]
  // What systemd mounts is looked for in the journal of its unit.
  const log = options.log ?? (isJournal() ? undefined : state.log)
  await launch(state, log === undefined ? undefined : resolve(log), words, password)
}

/** Asks the daemon to unmount. Without a daemon, its dead mount is removed. */
async function unmountAt(mountpoint: string, state: StateFolder): Promise<void> {
  try {
    const { pid, remark } = await askDaemon(state.path, { verb: 'unmount' })
    if (remark !== undefined) process.stdout.write(`${remark}\n`)
    // The daemon still has servers to stop.
    else await processEnd(pid)
  } catch (error) {
    if (!isError(error, 'notFound')) throw error
    if (!(await isOurs(mountpoint))) {
      throw new DfsError('notFound', `${mountpoint} is not mounted`)
    }
    await unmount(mountpoint)
  }
}

async function processEnd(pid: number): Promise<void> {
  const deadlineMs = performance.now() + endTimeoutMs
  while (isAlive(pid) && performance.now() < deadlineMs) await sleep(endPollMs)
}

async function serve(
  mountpoint: string,
  options: Options,
  words: MountWords,
  state: StateFolder,
): Promise<void> {
  outliveTerminal()
  const reopenLog = options.log === undefined ? undefined : logTo(resolve(options.log))
  let ending: (() => void) | undefined
  let servers: LocalServers | undefined
  const early = new AbortController()
  onEndSignals(
    (signal) => {
      notice(`${signal}: storing everything, then unmounting`)
      void tellServiceManager('STOPPING=1', 'STATUS=storing everything')
      if (ending === undefined) early.abort()
      else ending()
    },
    () => void leaveAtOnce(servers),
    reopenLog,
  )
  const backing = await backingOf(options)
  servers = backing.servers
  let daemon: Daemon
  try {
    const { config, configNow } = backing
    const [metrics, ended] = [metricsOf(options), early.signal]
    const how = { mountpoint, words, state, config, configNow, metrics, waiting, ended }
    daemon = await Daemon.start(how)
  } catch (error) {
    await backing.servers?.stop()
    throw error
  }
  onBugs(daemon, servers)
  ending = () => void daemon.stop()
  if (early.signal.aborted) ending()
  report({ ready: true })
  void tellServiceManager('READY=1', `STATUS=mounted on ${mountpoint}`)
  notice(`${mountpoint} is mounted`)
  if (process.stdout.isTTY || options.local !== undefined) welcome(mountpoint, backing)
  await daemon.ended
  await backing.servers?.stop()
  await daemon.answered()
  process.exit(0)
}

async function backingOf({ local, config, port, passwordStdin }: Options): Promise<Backing> {
  if (config !== undefined) {
    await awaitConfig(config)
    const given = passwordStdin ? readFileSync(standardInput, 'utf8') : password
    const load = () => loadClientConfig(config, { [passwordVariable]: given })
    return { config: load(), configNow: load, clientFile: config, servers: undefined }
  }
  const chosen = portOf(port)
  const named = typeof local === 'object' ? local.map((folder) => resolve(folder)) : []
  const given = named.length === 0 ? [dataHome()] : named
  const folders = serverFolders(given)
  const home =
    given.length === 1 ? (given[0] ?? dataHome()) : stateFolderOf(given.join(), dataHome()).path
  const account = (firstPort: number) => localAccount(home, firstPort, systemRandom)
  const servers = await LocalServers.start({
    folders,
    firstPorts: chosen === undefined ? firstPorts(await knownFirstPort(home)) : [chosen],
    runFolder: join(home, 'run'),
    serverFile: async (firstPort) => (await account(firstPort)).serverFile,
  })
  const { config: own, clientFile } = await account(servers.firstPort)
  const configNow = () => loadClientConfig(clientFile, {})
  return { config: own, configNow, clientFile, servers }
}

/** Parses --port. Throws `configuration`. */
function portOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (port >= 1 && port <= portMax) return port
  throw new DfsError('configuration', `--port ${text}: expected a number from 1 to ${portMax}`)
}

/**
 * The ports to try when no option names one: those of before, else the usual ones. Another user of this machine may have
 * them, and begin at the same moment, so the others are random ones, below those that the system gives to connections.
 */
function firstPorts(known: number | undefined): readonly number[] {
  const random = Array.from({ length: portsTried }, () => {
    return defaultPort + 10 * (1 + (systemRandom.bytes(2).readUInt16BE() % randomPorts))
  })
  return [known ?? defaultPort, ...random]
}

/** Ends the process without the mount, but stops its servers in order. */
async function leaveAtOnce(servers: LocalServers | undefined): Promise<void> {
  await Promise.race([servers?.stop(), sleep(goodbyeMs)])
  process.exit(1)
}

/** Handles a bug, after which no state can be trusted: stores what can be stored, and leaves no dead mount. */
function onBugs(daemon: Daemon, servers: LocalServers | undefined): void {
  let dying = false
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      notice(`a fault of the program: ${error instanceof Error ? error.stack : error}`, 'error')
      if (dying) return
      dying = true
      void daemon.giveUp().then(() => leaveAtOnce(servers))
    })
  }
}

function welcome(mountpoint: string, { clientFile, servers }: Backing): void {
  const kill =
    servers === undefined
      ? []
      : [`  kill ${servers.firstPid}; ls -l ${mountpoint}    # one server dies and nothing changes`]
  const lines = [
    `Your files are in ${mountpoint}. Try, in another terminal:`,
    `  cp /etc/services ${mountpoint}/`,
    `  ls -l ${mountpoint}`,
    `  cat ${mountpoint}/services | head`,
    ...kill,
    `  ${join(project, 'bin', 'dfc')} --config ${clientFile} list`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

/** Says what a mount waits for, here and to the command that has started it in the background. */
function waiting(line: string): void {
  notice(line)
  report({ waiting: line })
  void tellServiceManager(`STATUS=${line}`)
}
