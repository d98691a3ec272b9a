/** The mounts of an account on this machine that this user has made, found by their control sockets. */
import type { ClientConfig } from '../config.js'
import type { ClientFigures } from '../dfc/figures.js'
import { debugDfc } from '../log.js'
import { askDaemon, controlFolders } from '../mount-control.js'
import type { MountFigures } from '../mount-figures.js'

export type Figures = MountFigures<ClientFigures>

/** Returns the counters of each mount of the account, in the order of their mountpoints. */
export async function mountsOf(
  config: Pick<ClientConfig, 'user' | 'servers'>,
): Promise<readonly Figures[]> {
  const asked = controlFolders().map(async (folder) => {
    try {
      const { figures } = await askDaemon(folder, { verb: 'figures' })
      return figures as Figures | undefined
    } catch (error) {
      // It has ended, or is of another release.
      debugDfc('%s: %o', folder, error)
      return undefined
    }
  })
  const found = (await Promise.all(asked)).filter((figures) => figures !== undefined)
  return found
    .filter(({ client }) => isOf(client, config))
    .sort((a, b) => (a.mountpoint < b.mountpoint ? -1 : 1))
}

function isOf(
  { user, servers }: ClientFigures,
  config: Pick<ClientConfig, 'user' | 'servers'>,
): boolean {
  const addresses = config.servers.map(({ address: { host, port } }) =>
    host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
  )
  return user === config.user && servers.map(({ address }) => address).join() === addresses.join()
}
