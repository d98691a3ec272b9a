/** Moves a server to another address in the client's configuration, after a check that it is the one that answers there. */
import { writeAddress } from '../../client-config-edit.js'
import { systemClock, systemRandom } from '../../clock.js'
import { parseAddress } from '../../config.js'
import { logInOnce } from '../../dfc/cluster/log-in-once.js'
import { ServerKeys, serverKeysFile } from '../../dfc/cluster/server-keys.js'
import { sentenceOf } from '../../error-message.js'
import { DfsError } from '../../errors.js'
import { addressText, tcpNetwork } from '../../network.js'
import type { Reply } from '../../wire/messages.js'
import type { NamedServer } from '../named-server.js'
import type { Session } from '../session.js'

/** Throws, and has changed nothing then, unless this server of the cluster is at the address. */
export async function moveServer(
  { client, configFile, output }: Session,
  { index, server: { name } }: NamedServer,
  given: string,
): Promise<void> {
  const address = parseAddress(given)
  if (address === undefined) {
    throw new DfsError('invalid', `"${given}" is no address: expected HOST:PORT, or [IPv6]:PORT`)
  }
  const { config, id } = client.cluster
  const servers = config.servers.map((one, at) => (at === index ? { ...one, address } : one))
  const moved = { ...config, servers }
  const other = config.servers.find(
    (one, at) => at !== index && addressText(one.address) === addressText(address),
  )
  if (other !== undefined) throw new DfsError('invalid', `${given} is the address of ${other.name}`)
  const status = await logInOnce(index, {
    config: moved,
    keys: new ServerKeys(() => moved, serverKeysFile()),
    network: tcpNetwork,
    clock: systemClock,
    random: systemRandom,
    cluster: id,
  }).catch((cause: unknown) => {
    const why = `${name} cannot be used at ${given}, so nothing was changed: ${sentenceOf(cause)}`
    throw new DfsError('down', why, { cause })
  })
  assertIs(status, { id, index, name, given })
  writeAddress(configFile, index, address)
  output.print(`${name} answers at ${given}: written to ${configFile}`)
  output.print(
    'Mounts that use this file take the address as soon as they lose the server at the old one',
  )
}

/** Throws unless the server that has answered is the one at this position of the cluster. */
function assertIs(
  { cluster, position }: Reply<'status'>,
  wanted: { id: string | undefined; index: number; name: string; given: string },
): void {
  const { id, index, name, given } = wanted
  if (cluster === null) {
    throw new DfsError(
      'wrongServer',
      `the server at ${given} is new and belongs to no cluster: to put a new disk in the place of ${name}, start it at the old address, or change the address in the configuration first`,
    )
  }
  if (cluster !== id)
    throw new DfsError('wrongServer', `the server at ${given} is of another cluster`)
  if (position !== index) {
    throw new DfsError('wrongServer', `the server at ${given} is DFS${position + 1}, not ${name}`)
  }
}
