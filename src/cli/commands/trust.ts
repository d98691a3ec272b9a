/** TRUST: accepts the key that a server presents now, in the place of the known one. */
import { type ClientConfig, usesTls } from '../../config.js'
import { keyShownBy, ServerKeys, serverKeysFile } from '../../dfc/cluster/server-keys.js'
import { DfsError } from '../../errors.js'
import { tcpNetwork } from '../../network.js'
import { type NamedServer, serverNamed } from '../named-server.js'
import type { Status } from '../session.js'
import type { Output } from '../terminal/output.js'
import type { Command } from './command.js'

export const trust: Command = {
  name: 'trust',
  operands: 'SERVER',
  operandsMin: 1,
  operandsMax: 1,
  summary: 'trust the key that a server shows now, for example after its disk was replaced',
  details: [
    'Over TLS a client knows a server by its key, and refuses one that shows another key. Either that server was',
    'set up anew, or somebody else answers at its address. Compare the printed key with "dfs-server key FOLDER"',
    'on the machine of the server.',
  ].join(' '),
  options: [],
  completes: [],

  run: ({ client, output }, operands) => trustServer(client.cluster.config, output, operands),

  runWithoutLogin: ({ loadConfig, output }, operands) =>
    trustServer(loadConfig(), output, operands),
}

async function trustServer(
  config: ClientConfig,
  output: Output,
  [wanted = '']: readonly string[],
): Promise<Status> {
  await trustShownKey(config, output, serverNamed(config, wanted))
  return 0
}

/** Trusts the key that a server shows now. Throws `invalid` where no key is remembered, and `down`. */
export async function trustShownKey(
  config: ClientConfig,
  output: Output,
  { index, server }: NamedServer,
): Promise<void> {
  if (server.key !== undefined) {
    throw new DfsError(
      'invalid',
      `the key of ${server.name} is in the configuration: change it there`,
    )
  }
  if (!usesTls(config, server)) {
    throw new DfsError('invalid', `${server.name} is connected to without TLS, and shows no key`)
  }
  const key = await keyShownBy(tcpNetwork, server, config.timeoutMs)
  const before = new ServerKeys(() => config, serverKeysFile()).trust({ index, key })
  output.print(`${server.name} shows the key ${key}`)
  if (before === key) output.print('It is the known key')
  else if (before === undefined) output.print('It is trusted from now on')
  else output.print(`It is trusted from now on, instead of ${before}`)
}
