/**
 * A look at each of the four servers by itself, before there is an account: whether it answers, takes the login, and is
 * where the configuration has it. `Cluster` asks for more, and says less about each.
 */
import type { Clock, Random } from '../../clock.js'
import type { ClientConfig, ServerAddress } from '../../config.js'
import { asDfsError, type DfsError } from '../../errors.js'
import type { Network } from '../../network.js'
import type { Greeting } from './connection.js'
import { logInOnce } from './log-in-once.js'
import { ServerKeys, type ShownKey } from './server-keys.js'
import { areLikeOne, likeOne } from './two-servers.js'

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

/** A server and what it said before its login, if that was good. */
interface Looked extends CheckedServer {
  readonly greeting: Greeting | undefined
}

/** Checks the servers of a configuration, all at once. Never throws. */
export async function checkServers(options: CheckOptions): Promise<readonly CheckedServer[]> {
  const looked = await Promise.all(options.config.servers.map((_, index) => lookAt(options, index)))
  return looked.map((one, index) => {
    const failure = one.failure ?? likeOneBefore(one, looked.slice(0, index), options.config.user)
    return { ...one, failure }
  })
}

/** The failure of a server that is one of those before it as well. */
function likeOneBefore(
  { server, greeting }: Looked,
  before: readonly Looked[],
  user: string,
): DfsError | undefined {
  if (greeting === undefined) return undefined
  for (const { server: first, greeting: other } of before) {
    if (other === undefined || !areLikeOne(other, greeting)) continue
    return likeOne({ ...other, name: first.name }, { ...greeting, name: server.name }, user)
  }
  return undefined
}

async function lookAt(options: CheckOptions, index: number): Promise<Looked> {
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
    let greeting: Greeting | undefined
    const { cluster } = await logInOnce(index, { ...options, keys }, (said) => {
      greeting = said
    })
    return { server, key, isKnown: cluster !== null, failure: undefined, greeting }
  } catch (thrown) {
    return { server, key, isKnown: false, failure: asDfsError(thrown), greeting: undefined }
  }
}
