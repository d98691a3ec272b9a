/** SERVER: guides the replacement of a server's disk, and tells the client a server's new address. */
import { DfsError } from '../../errors.js'
import { serverNamed } from '../named-server.js'
import type { Command } from './command.js'
import { moveServer } from './server-move.js'
import { replaceServer } from './server-replace.js'
import { waitMsOf } from './wait-time.js'

export const server: Command = {
  name: 'server',
  operands: 'ACTION SERVER [ADDRESS]',
  operandsMin: 2,
  operandsMax: 3,
  summary: 'replace the disk of a server, or move it to another address',
  details: [
    '"replace SERVER" guides you through the replacement of a disk. It checks that the three others are complete,',
    'waits for the server with an empty folder, trusts its new key, fills it, and says when the next one may be',
    'taken down. "move SERVER HOST:PORT" checks that this server of the cluster answers there, and writes the',
    'address into the configuration. Mounts that use that file need no remount.',
  ].join(' '),
  options: [
    ['--force', 'replace: begin even if the three others are not complete'],
    ['--wait <time>', 'replace: wait at most for a time such as 90s, 10m or 2h'],
  ],
  completes: [],

  async run(session, [action = '', name = '', address], options) {
    const named = serverNamed(session.client.cluster.config, name)
    if (action === 'move' && address !== undefined) {
      await moveServer(session, named, address)
      return 0
    }
    if (action === 'replace' && address === undefined) {
      const waitMs = options.wait === undefined ? Infinity : waitMsOf(`${options.wait}`)
      await replaceServer(session, named, { isForced: options.force === true, waitMs })
      return 0
    }
    throw new DfsError('invalid', 'expected "server replace DFS3" or "server move DFS3 HOST:PORT"')
  },
}
