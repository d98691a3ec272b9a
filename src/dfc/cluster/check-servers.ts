/**
 * A look at each of the four servers by itself, before there is an account: whether it answers, takes the login, and is
 * where the configuration has it. `Cluster` asks for more, and says less about each.
 */
import type { Clock, Random } from '../../clock.js'
import { type ClientConfig, type ServerAddress, usesTls } from '../../config.js'
import { asDfsError, type DfsError } from '../../errors.js'
import type { Network } from '../../network.js'
import { ScramCredentials } from '../../wire/scram.js'
import { ServerConnection } from './connection.js'
import { ServerKeys } from './server-keys.js'

export interface CheckOptions {
  readonly config: ClientConfig
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly serverKeysFile: string
}

/** Describes a server by what it has shown, or by why it cannot be used. */
export interface CheckedServer {
  readonly server: ServerAddress
  /** Names the key that it has shown over TLS. */
  readonly key: string | undefined
  /** Whether the account belongs to a cluster there. */
  readonly isKnown: boolean
  readonly failure: DfsError | undefined
}

/** Checks the servers of a configuration, all at once. Never throws. */
export async function checkServers(options: CheckOptions): Promise<readonly CheckedServer[]> {
  return await Promise.all(options.config.servers.map((_, index) => checkServer(options, index)))
}

async function checkServer(options: CheckOptions, index: number): Promise<CheckedServer> {
  const { config, network, clock, random, serverKeysFile } = options
  const server = config.servers[index] as ServerAddress
  const keys = new ServerKeys(() => config, serverKeysFile)
  let key: string | undefined
  try {
    const connection = await ServerConnection.open({
      name: server.name,
      address: { ...server.address, tls: usesTls(config, server) },
      credentials: () => new ScramCredentials(config.user, config.password),
      timeoutMs: config.timeoutMs,
      network,
      clock,
      random,
      client: random.bytes(4).toString('hex'),
      index,
      cluster: () => undefined,
      keyShown: (shown) => {
        key = shown
        keys.assertKnown({ index, key: shown })
      },
      greeted: async () => undefined,
      onRecall: () => undefined,
      onClosed: () => undefined,
    })
    try {
      const { reply } = await connection.request('status', {})
      return { server, key, isKnown: reply.cluster !== null, failure: undefined }
    } finally {
      connection.close()
    }
  } catch (thrown) {
    return { server, key, isKnown: false, failure: asDfsError(thrown) }
  }
}
