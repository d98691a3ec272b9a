/**
 * The program dfc: one operation from its arguments, or the prompt without any. Exit status: 0 done,
 * 1 failed, 2 not understood, 130 interrupted.
 */
import { createReadStream, fstatSync, readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { CommanderError } from 'commander'
import { textOf } from '../byte-text.js'
import { systemClock, systemRandom } from '../clock.js'
import {
  awaitConfig,
  type ClientConfig,
  loadClientConfig,
  passwordVariable,
  tlsRemark,
} from '../config.js'
import { clientConfigFile, localConfigFile, noClientConfig } from '../config-home.js'
import { Client } from '../dfc/client.js'
import { serverKeysFile } from '../dfc/cluster/server-keys.js'
import { ThreadDigests } from '../dfc/content/thread-digests.js'
import { sentenceOf, sentenceWithPath, speaksForItself } from '../error-message.js'
import { DfsError } from '../errors.js'
import { debugDfc, redirectNotices, redirectWarnings } from '../log.js'
import { tcpNetwork } from '../network.js'
import { nameProcess } from '../process-name.js'
import { takeFromEnvironment } from '../secret-environment.js'
import { type EndSignal, onEndSignals } from '../signals.js'
import { visibleLine } from '../visible-text.js'
import { argumentGrammar, lowerCaseOperation, type Operation, usageFault } from './grammar.js'
import { Temporaries } from './local/local-file.js'
import { assertInputIsOpen, assertOutputIsOpen } from './local/standard-streams.js'
import { sessionWith } from './session.js'
import { Shell } from './shell.js'
import { Output } from './terminal/output.js'

const status = { done: 0, failed: 1, misunderstood: 2, brokenPipe: 141 } as const
const statusOfSignal: Readonly<Record<EndSignal, number>> = {
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
}

/** The password, taken out of the environment before anything else is done. */
const secrets = { [passwordVariable]: takeFromEnvironment(passwordVariable) }
const temporaries = new Temporaries(systemRandom)

/** A parsed command line. Without an operation the prompt is shown. */
interface Request {
  /** The configuration that was named. */
  readonly config: string | undefined
  readonly operation: Operation | undefined
}

async function main(args: readonly string[]): Promise<number> {
  const asked = parse(args)
  if (typeof asked === 'number') return asked
  const output = outputFor(asked)
  process.on('exit', () => output.end())
  onEndSignals(
    (signal) => {
      // After SIGHUP the terminal is gone.
      if (signal !== 'SIGHUP' && output.advice !== undefined) output.problem(output.advice)
      void temporaries.settle().then(() => process.exit(statusOfSignal[signal]))
    },
    (signal) => process.exit(statusOfSignal[signal]),
  )
  try {
    return await perform(asked, output)
  } catch (error) {
    debugDfc('%o', error)
    if (speaksForItself(error)) output.say(sentenceOf(error))
    else output.problem(sentenceWithPath(error))
    return status.failed
  }
}

/** For a folder or a disk, process.stdin is a stream of nothing: those are read, or refused, as files. */
function standardInput(): Readable {
  assertInputIsOpen()
  const info = fstatSync(0)
  const isOther = info.isDirectory() || info.isBlockDevice()
  return isOther ? createReadStream('', { fd: 0, autoClose: false }) : process.stdin
}

/** The arguments as they were given, byte for byte: Node replaces bytes that are not UTF-8 by U+FFFD. */
function givenArguments(): string[] {
  const args = process.argv.slice(2)
  if (!args.some((arg) => /[\ufffd\udbff]/.test(arg))) return args
  // Each argument ends with a zero byte; those of Node itself come first.
  const given = readFileSync('/proc/self/cmdline', 'latin1').split('\0').slice(0, -1)
  return given.slice(given.length - args.length).map((arg) => textOf(Buffer.from(arg, 'latin1')))
}

async function perform({ config: named, operation }: Request, output: Output): Promise<number> {
  // A server that is down is reported at the prompt and by STATUS; an operation succeeds or reports why not.
  redirectNotices((line) => debugDfc('%s', line))
  redirectWarnings((line) => output.problem(line))
  if (operation?.command.runWithoutConfig !== undefined) {
    const setup = { output, named, password: secrets[passwordVariable] }
    return await operation.command.runWithoutConfig(setup, operation.options)
  }
  const file = named ?? clientConfigFile() ?? localConfigFile()
  if (file === undefined) throw noClientConfig()
  await awaitConfig(file)
  let remarked: string | undefined
  const loadConfig = (): ClientConfig => {
    const config = loadClientConfig(file, secrets)
    const remark = tlsRemark(config)
    // A client that was idle is opened again and again.
    if (remark !== undefined && remark !== remarked) output.problem(remark)
    remarked = remark
    return config
  }
  const openClient = (): Promise<Client> =>
    Client.open({
      config: loadConfig(),
      configNow: () => loadClientConfig(file, secrets),
      serverKeysFile: serverKeysFile(),
      network: tcpNetwork,
      clock: systemClock,
      random: systemRandom,
      digests: new ThreadDigests(),
    })
  const passwordOfEnvironment = secrets[passwordVariable]
  if (operation?.command.runWithoutLogin !== undefined) {
    const { command, operands, options } = operation
    const start = { configFile: file, output, loadConfig, openClient, passwordOfEnvironment }
    const status = await command.runWithoutLogin?.(start, operands, options)
    if (status !== undefined) return status
  }
  if (operation === undefined) {
    const shell = {
      open: openClient,
      openInput: standardInput,
      configFile: file,
      output,
      temporaries,
      passwordOfEnvironment,
      environment: process.env,
    }
    return await new Shell(shell).run()
  }
  const { command, operands, options } = operation
  let client: Client | undefined = await openClient()
  const source = {
    async close() {
      const closed = client
      client = undefined
      await closed?.close()
    },
    async open() {
      client = await openClient()
      return client
    },
  }
  try {
    const session = sessionWith(client, source, {
      configFile: file,
      output,
      temporaries,
      passwordOfEnvironment,
      interrupted: new AbortController().signal,
      input: standardInput,
    })
    return await command.run(session, operands, options)
  } finally {
    await source.close()
  }
}

/**
 * The streams for results and problems. At the prompt problems are part of the dialogue; otherwise they go to
 * standard error.
 */
function outputFor({ operation }: Request): Output {
  const { stdout, stderr } = process
  return operation === undefined
    ? new Output({ results: stdout, problems: stdout, prefix: '' })
    : new Output({ results: stdout, problems: stderr, prefix: 'dfc: ' })
}

/** Parses the arguments. Returns the exit status when there is nothing left to do. */
function parse(args: readonly string[]): Request | number {
  let operation: Operation | undefined
  const program = argumentGrammar((found) => {
    operation = found
  })
  try {
    program.parse(withLowerCaseOperation(args), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return status.done
    process.stderr.write(`dfc: ${sentenceOf(usageFault(error))}\n`)
    return status.misunderstood
  }
  const { config } = program.opts<{ config?: string }>()
  return { config, operation }
}

function withLowerCaseOperation(args: readonly string[]): string[] {
  const configAt = args.indexOf('--config')
  const isOperation = (arg: string, index: number): boolean =>
    !arg.startsWith('-') && (configAt === -1 || index !== configAt + 1)
  const at = args.findIndex(isOperation)
  return args.map((arg, index) => (index === at ? lowerCaseOperation(arg) : arg))
}

/** Ends the program when the reader of the output is gone: the other end of a pipe, or the terminal. */
function onBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code === 'EBADF') assertOutputIsOpen()
  if (error.code === 'EPIPE' || error.code === 'EIO') process.exit(status.brokenPipe)
  throw new DfsError('io', `standard output: ${sentenceOf(error)}`, { cause: error })
}

/** Resolves when all output has left this process. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    // A closed output is no failure of what prints nothing.
    if (stream.writableLength === 0) return resolve()
    stream.write('', (error) => {
      if (error) onBrokenPipe(error)
      resolve()
    })
  })
}

nameProcess('dfc')
process.on('exit', () => temporaries.removeAll())
process.stdout.on('error', onBrokenPipe)
process.stderr.on('error', onBrokenPipe)
process.on('uncaughtException', (error) => {
  debugDfc('%o', error)
  process.stderr.write(`dfc: ${visibleLine(sentenceOf(error))}\n`)
  process.exit(status.failed)
})

const statusAtEnd = await main(givenArguments())
await flushed(process.stdout)
// A connection that is still being attempted must not keep the program from ending.
process.exit(statusAtEnd)
