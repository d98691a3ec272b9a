/**
 * PASSWD: puts a new password into the client's configuration, once the servers know it. What servers know of passwords
 * is in the dfs.conf of whoever runs them, and only there it is changed: docs/operating.md.
 */
import { askNewPassword } from '../../ask-password.js'
import { passwordIn, writePassword } from '../../client-config-edit.js'
import { systemClock, systemRandom } from '../../clock.js'
import { type ClientConfig, passwordVariable } from '../../config.js'
import { logInOnce } from '../../dfc/cluster/log-in-once.js'
import { ServerKeys, serverKeysFile } from '../../dfc/cluster/server-keys.js'
import { sentenceOf } from '../../error-message.js'
import { DfsError } from '../../errors.js'
import { tcpNetwork } from '../../network.js'
import { quorum } from '../../wire/quorum.js'
import type { Status } from '../session.js'
import type { Command, Start } from './command.js'

export const passwd: Command = {
  name: 'passwd',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  summary: 'write a new password into the configuration, once the servers know it',
  details: [
    'First change it on the servers: run "dfs-server user passwd NAME --keep-old 24h" on one, and copy its',
    'dfs.conf to the others. Asks for the new password, or reads it from standard input without a terminal. Logs',
    'in with it, and writes it when at least three servers accept it. Mounts that use the file need no remount.',
  ].join(' '),
  options: [],
  completes: [],

  run: ({ client, ...context }) => changePassword(client.cluster.config, context),
  runWithoutLogin: ({ loadConfig, ...context }) => changePassword(loadConfig(), context),
}

type Context = Pick<Start, 'configFile' | 'output' | 'passwordOfEnvironment'>

async function changePassword(
  config: ClientConfig,
  { configFile, output, passwordOfEnvironment }: Context,
): Promise<Status> {
  const before = passwordIn(configFile)
  if (before === undefined) {
    const why = 'there is none in it. Change it where DFC_PASSWORD is set'
    throw new DfsError('configuration', `${configFile}: has no password to be changed: ${why}`)
  }
  const password = await askNewPassword(config.user)
  if (password === before) {
    throw new DfsError('invalid', 'that is the password of the configuration already')
  }
  const failures = await refusalsOf({ ...config, password })
  const accepted = config.servers.length - failures.length
  for (const { name, why } of failures) output.problem(`${name}: ${why}`)
  if (accepted < quorum.commit) {
    const how = `"dfs-server user passwd ${config.user} --keep-old 24h" on one of them, and copy its dfs.conf to the others`
    throw new DfsError(
      'invalid',
      `nothing was changed: ${accepted} servers accept the new password, and ${quorum.commit} must. Change it there first: ${how}`,
    )
  }
  writePassword(configFile, password)
  output.print(`${accepted} servers accept the new password: written to ${configFile}`)
  if (failures.length > 0) {
    const names = failures.map(({ name }) => name).join(', ')
    output.print(`Give ${names} the new dfs.conf as well: until then it counts as down`)
  }
  if (passwordOfEnvironment && passwordOfEnvironment !== password) {
    output.problem(
      `${passwordVariable} is set in the environment to another password, and wins over what was written: programs that are started with it go on using that one. Unset it, or give it the new password, also where it is set for services`,
    )
  }
  return 0
}

interface Refusal {
  readonly name: string
  readonly why: string
}

/** The servers that do not let a client in with this configuration. */
async function refusalsOf(config: ClientConfig): Promise<readonly Refusal[]> {
  const keys = new ServerKeys(() => config, serverKeysFile())
  const tools = { network: tcpNetwork, clock: systemClock, random: systemRandom }
  const tries = config.servers.map(async ({ name }, index) => {
    try {
      await logInOnce(index, { config, keys, ...tools })
      return []
    } catch (error) {
      return [{ name, why: sentenceOf(error) }]
    }
  })
  return (await Promise.all(tries)).flat()
}
