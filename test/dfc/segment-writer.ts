import t from 'tap'
import { systemClock, systemRandom } from '../../src/clock.js'
import { prepare } from '../../src/dfc/prepared-segment.js'
import { SegmentWriter } from '../../src/dfc/segment-writer.js'
import { Identity } from '../../src/dfs/identity.js'
import { AccountIndex } from '../../src/dfs/index.js'
import { MemoryPieces } from '../../src/dfs/memory-pieces.js'
import { Server } from '../../src/dfs/server.js'
import { UsersFile } from '../../src/dfs/users.js'
import { MemoryVoteLog } from '../../src/dfs/vote-log.js'
import { tcpNetwork } from '../../src/network.js'
import { Seeded } from '../fixtures/seeded.js'
import { TestServers } from '../fixtures/servers.js'

const MiB = 1024 * 1024

t.test(
  'fails the write when the disk of one server is full, and goes on with smaller ones',
  async (t) => {
    const servers = await TestServers.open(t, async (folder, users, port) => {
      const capacityBytes = folder.endsWith('DFS3') ? 3 * MiB : 100 * MiB
      const index = AccountIndex.open(':memory:')
      const pieces = new MemoryPieces(() => systemClock.now(), capacityBytes)
      const votes = new MemoryVoteLog()
      const server = await Server.start({
        address: { host: '127.0.0.1', port },
        users: new UsersFile(users, systemRandom),
        storage: {
          identity: Identity.inMemory(systemRandom),
          openAccount: () => ({
            index,
            pieces,
            votes,
            boot: 'test',
            file: 'test',
            close: () => {},
          }),
          setAside: () => {},
          close: () => {},
        },
        network: tcpNetwork,
        clock: systemClock,
        random: systemRandom,
      })
      return { port: server.port, kill: () => server.stop(0), process: undefined }
    })
    const cluster = await servers.connect(t)
    const writer = new SegmentWriter(cluster)
    const random = new Seeded(1)
    await t.rejects(writer.put(prepare(random.bytes(16 * MiB), random)), { code: 'noSpace' })
    t.same(cluster.up, [0, 1, 2, 3], 'a full server is not a server that is down')
    await t.resolves(writer.put(prepare(random.bytes(2 * MiB), random)))
  },
)
