/**
 * A look at each of the four servers by itself, before there is an account: whether it answers, takes the login, and is
 * where the configuration has it. `Cluster` asks for more, and says less about each.
 */
import type { Clock, Random } from '../../clock.js'
import type { ClientConfig, ServerAddress } from '../../config.js'
import { asDfsError, type DfsError } from '../../errors.js'
import type { Network } from '../../network.js'
import { logInOnce } from './log-in-once.js'
import { ServerKeys, type ShownKey } from './server-keys.js'

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
  const { config, serverKeysFile } = options
  const server = config.servers[index] as ServerAddress
  const known = new ServerKeys(() => config, serverKeysFile)
  let key: string | undefined
  const keys = {
    assertKnown(shown: ShownKey): void {
      key = shown.key
      known.assertKnown(shown)
    },
  }
  try {
    const { cluster } = await logInOnce(index, { ...options, keys })
    return { server, key, isKnown: cluster !== null, failure: undefined }
  } catch (thrown) {
    return { server, key, isKnown: false, failure: asDfsError(thrown) }
  }
}
