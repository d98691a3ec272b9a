/**
 * INIT: sets up a client. It asks for the four servers, the user and the password, or takes them from options, checks
 * each server, founds the account if it is new, and writes the configuration for this user alone.
 */
import { join } from 'node:path'
import { systemClock, systemRandom } from '../../clock.js'
import { type ClientConfig, parseClientConfig, tlsRemark } from '../../config.js'
import {
  clientFileName,
  configHome,
  configVariable,
  isThere,
  makeConfigFolder,
} from '../../config-home.js'
import { Client } from '../../dfc/client.js'
import { type CheckedServer, checkServers } from '../../dfc/cluster/check-servers.js'
import { serverKeysFile } from '../../dfc/cluster/server-keys.js'
import { sentenceOf } from '../../error-message.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { addressText, tcpNetwork } from '../../network.js'
import { assertReplaceable, writePrivate } from '../../private-file.js'
import { shellWord } from '../../shell-word.js'
import { quorum } from '../../wire/quorum.js'
import type { Status } from '../session.js'
import type { Output } from '../terminal/output.js'
import type { Command, Options, Setup } from './command.js'
import { type Answers, clientText, collect } from './init-answers.js'
import { mountAdvice } from './mount-advice.js'

export const init: Command = {
  name: 'init',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary:
    'set up this client: ask for servers, user and password, check them, write the configuration',
  details: [
    'Asks on a terminal for what no option gives. The password comes from DFC_PASSWORD, from --password-file or,',
    'without a terminal, from the first line of standard input. Writes nothing unless the servers pass the check:',
    'all four for a new account, three for an existing one.',
  ].join(' '),
  options: [
    ['--server <HOST:PORT...>', 'the four servers, in an order that never changes'],
    ['--user <NAME>', 'the account, as the servers know it'],
    ['--password-file <FILE>', 'a file whose first line is the password'],
    ['--output <FILE>', 'the file to write instead of ~/.config/dfs/dfc.conf'],
    ['--force', 'replace an existing configuration'],
    ['--mount <FOLDER>', 'print how to mount the files there when the machine starts'],
  ],
  completes: [],

  run: () => {
    throw new DfsError('invalid', 'this client is set up: leave the prompt and run "dfc init"')
  },
  runWithoutConfig: setUp,
}

async function setUp(setup: Setup, options: Options): Promise<Status> {
  const { output } = setup
  const file = fileFor(setup, options)
  if (isThere(file) && options.force !== true) {
    throw new DfsError(
      'exists',
      `${file} is there already: --force replaces it, --output FILE writes another one`,
    )
  }
  assertReplaceable(file)
  const answers = await collect(setup, options)
  const text = clientText(answers)
  const config = parseClientConfig(text, file, {})
  const remark = tlsRemark(config)
  if (remark !== undefined) output.problem(remark)
  try {
    await found(config, output)
    makeConfigFolder(file)
    writePrivate(file, text, options.force === true)
  } catch (error) {
    // What was typed need not be typed again.
    if (process.stdin.isTTY) output.say(`To try it again:  ${commandFor(answers, options)}`)
    throw error
  }
  output.print(`Wrote ${output.name(file)}, which only you can read`)
  for (const line of adviceFor(answers, file)) output.print(line)
  return 0
}

/** The command that asks for no more than the password. */
function commandFor({ servers, user, mountpoint }: Answers, { output, force }: Options): string {
  const words = [
    ...servers.flatMap((address) => ['--server', address]),
    '--user',
    user,
    ...(mountpoint === undefined ? [] : ['--mount', mountpoint]),
    ...(typeof output === 'string' ? ['--output', output] : []),
    ...(force === true ? ['--force'] : []),
  ]
  return ['dfc init', ...words.map(shellWord)].join(' ')
}

/** The file to write: the one that is named in any way, else the user's own. */
function fileFor({ named }: Setup, { output }: Options): string {
  if (output === '') throw new DfsError('invalid', '--output: expected the name of a file')
  if (typeof output === 'string') return output
  return named ?? (process.env[configVariable] || join(configHome(), clientFileName))
}

/** Checks the servers, and has an account begin that is new. Throws when the configuration is not to be written. */
async function found(config: ClientConfig, output: Output): Promise<void> {
  const options = {
    config,
    network: tcpNetwork,
    clock: systemClock,
    random: systemRandom,
    serverKeysFile: serverKeysFile(),
  }
  const checked = await checkServers(options)
  for (const one of checked) output.print(lineOf(one))
  assertGood(checked)
  const client = await Client.open(options)
  try {
    const isNew = checked.every(({ isKnown }) => !isKnown)
    output.print(
      isNew
        ? `The account ${config.user} is new and begins on these four servers`
        : `The account ${config.user} is there`,
    )
  } finally {
    await client.close()
  }
}

function lineOf({ server, key, isKnown, failure }: CheckedServer): string {
  const where = `${server.name}  ${addressText(server.address)}`
  if (failure !== undefined) return `${where}  not usable: ${sentenceOf(failure)}`
  const shown = key === undefined ? 'without TLS' : `key ${key}`
  return `${where}  login good, ${isKnown ? 'in its place' : 'new'}, ${shown}`
}

/** Throws unless the account can be used, or begun, with these servers. */
function assertGood(checked: readonly CheckedServer[]): void {
  const bad = checked.filter(({ failure }) => failure !== undefined)
  if (bad.length === 0) return
  const areDown = bad.every(({ failure }) => failure?.code === 'down')
  const isThere = checked.some(({ isKnown }) => isKnown)
  if (areDown && isThere && checked.length - bad.length >= quorum.commit) return
  const names = bad.map(({ server }) => server.name).join(', ')
  const why = !areDown
    ? 'mend what is said above'
    : isThere
      ? `an account needs ${quorum.commit} servers: start them`
      : `a new account needs all ${limits.serverCount} servers once: start them`
  throw new DfsError(
    'configuration',
    `${names} cannot be used, and nothing was written: ${why}, then run this again`,
  )
}

function adviceFor({ mountpoint }: Answers, file: string): readonly string[] {
  if (mountpoint === undefined)
    return ['dfs-mount FOLDER mounts the files, "dfc status" shows the servers']
  return mountAdvice(file, mountpoint)
}
