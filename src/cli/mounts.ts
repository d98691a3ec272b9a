/** The mounts that this user has made on this machine, found by their state folders and asked by their control sockets. */

import type { ClientConfig } from '../config.js'
import type { ClientFigures } from '../dfc/figures.js'
import { sentenceOf } from '../error-message.js'
import { debugDfc } from '../log.js'
import {
  askDaemon,
  type ControlAnswer,
  type ControlRequest,
  controlFolders,
} from '../mount-control.js'
import type { MountFigures } from '../mount-figures.js'
import { addressText } from '../network.js'

export type Figures = MountFigures<ClientFigures>

/** Asks the daemons of all mounts of this user. Those that have ended, hang or are not meant do not count. */
export async function askMounts(request: ControlRequest): Promise<readonly ControlAnswer[]> {
  const asked = controlFolders().map(async (folder) => {
    try {
      return [await askDaemon(folder, request)]
    } catch (error) {
      debugDfc('%s: %s', folder, sentenceOf(error))
      return []
    }
  })
  return (await Promise.all(asked)).flat()
}

/** Returns the counters of each mount, of whatever account, in the order of their mountpoints. */
export async function figuresOfMounts(): Promise<readonly Figures[]> {
  const answers = await askMounts({ verb: 'figures' })
  // A mount of a release before this one may have none.
  const found = answers.flatMap(({ figures }) =>
    figures === undefined ? [] : [figures as Figures],
  )
  return found.sort((a, b) => (a.mountpoint < b.mountpoint ? -1 : 1))
}

/** Returns the counters of each mount of the account. */
export async function mountsOf(
  config: Pick<ClientConfig, 'user' | 'servers'>,
): Promise<readonly Figures[]> {
  return (await figuresOfMounts()).filter(({ client }) => isOf(client, config))
}

function isOf(
  { user, servers }: ClientFigures,
  config: Pick<ClientConfig, 'user' | 'servers'>,
): boolean {
  const addresses = config.servers.map(({ address }) => addressText(address))
  return user === config.user && servers.map(({ address }) => address).join() === addresses.join()
}
