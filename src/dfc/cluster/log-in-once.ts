/** Logs in at one server alone, and asks who it is: nothing is claimed or founded there. */
import type { Clock, Random } from '../../clock.js'
import { type ClientConfig, usesTls } from '../../config.js'
import { DfsError } from '../../errors.js'
import type { Network } from '../../network.js'
import type { Reply } from '../../wire/messages.js'
import { ScramCredentials } from '../../wire/scram.js'
import { type Greeting, ServerConnection } from './connection.js'
import type { ServerKeys } from './server-keys.js'

export interface LoginOptions {
  readonly config: ClientConfig
  readonly keys: Pick<ServerKeys, 'assertKnown'>
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  /** The cluster that the server has to be of, if that is known. */
  readonly cluster?: string | undefined
}

/**
 * Opens a connection to the server at `index` for one question. `greeted` receives what it says before the login, and may
 * throw to end there. The caller closes the connection.
 */
export async function connectOnce(
  index: number,
  { config, keys, network, clock, random, cluster }: LoginOptions,
  greeted: (greeting: Greeting) => Promise<void>,
): Promise<ServerConnection> {
  const server = config.servers[index]
  if (server === undefined) throw new DfsError('invalid', `there is no server ${index + 1}`)
  return ServerConnection.open({
    name: server.name,
    address: { ...server.address, tls: usesTls(config, server) },
    credentials: () => new ScramCredentials(config.user, config.password),
    timeoutMs: config.timeoutMs,
    network,
    clock,
    random,
    client: random.bytes(4).toString('hex'),
    onRecall() {},
    index,
    cluster: () => cluster,
    keyShown: (key) => keys.assertKnown({ index, key }),
    greeted,
    onClosed() {},
  })
}

/** Returns the status of the server at `index`. Throws why the login failed, such as `authentication` or `untrusted`. */
export async function logInOnce(
  index: number,
  options: LoginOptions,
  greeted: (greeting: Greeting) => void = () => {},
): Promise<Reply<'status'>> {
  const connection = await connectOnce(index, options, async (greeting) => greeted(greeting))
  try {
    const { reply } = await connection.request('status', {})
    return reply
  } finally {
    connection.close()
  }
}
