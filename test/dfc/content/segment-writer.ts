import t, { type Test } from 'tap'
import { systemClock, systemRandom } from '../../../src/clock.js'
import { prepare } from '../../../src/dfc/content/prepared-segment.js'
import { SegmentWriter } from '../../../src/dfc/content/segment-writer.js'
import { Identity } from '../../../src/dfs/disk/identity.js'
import { Membership } from '../../../src/dfs/disk/membership.js'
import { noHistory } from '../../../src/dfs/index/account-history.js'
import { AccountIndex } from '../../../src/dfs/index/account-index.js'
import { MemoryPieces } from '../../../src/dfs/pieces/memory-pieces.js'
import { MemoryVoteLog } from '../../../src/dfs/quorum/vote-log.js'
import { Server } from '../../../src/dfs/server.js'
import { UsersFile } from '../../../src/dfs/users/users.js'
import { tcpNetwork } from '../../../src/network.js'
import { Seeded } from '../../fixtures/seeded.js'
import { TestServers } from '../../fixtures/servers.js'

const MiB = 1024 * 1024

/** Starts four servers, of which `full` have disks of 3 MiB. */
function startWithFull(t: Test, full: readonly string[]): Promise<TestServers> {
  return TestServers.open(t, async (folder, users, port) => {
    const isFull = full.some((name) => folder.endsWith(name))
    const index = AccountIndex.open(':memory:')
    const pieces = new MemoryPieces(() => systemClock.now(), (isFull ? 3 : 100) * MiB)
    const votes = new MemoryVoteLog()
    const identity = Identity.inMemory(systemRandom)
    const membership = Membership.inMemory()
    const server = await Server.start({
      address: { host: '127.0.0.1', port },
      users: new UsersFile(users, identity.secret),
      storage: {
        identity,
        openAccount: () => ({
          index,
          pieces,
          votes,
          history: noHistory,
          membership,
          boot: 'test',
          file: 'test',
          close: () => {},
        }),
        examine: async () => {},
        setAside: () => {},
        findAside: async () => undefined,
        distrust: () => {},
        close: () => {},
      },
      network: tcpNetwork,
      clock: systemClock,
      random: systemRandom,
    })
    return { port: server.port, kill: () => server.stop(0), process: undefined }
  })
}

t.test('a server whose disk is full costs the others nothing', async (t) => {
  const servers = await startWithFull(t, ['DFS3'])
  const cluster = await servers.connect(t)
  const writer = new SegmentWriter(cluster)
  const random = new Seeded(1)
  await writer.put(prepare(random.bytes(16 * MiB), random))
  const statuses = await cluster.ask([0, 1, 2, 3], 'status', () => ({}))
  const pieces = statuses.map(({ answer }) => answer?.reply.pieces)
  t.same(pieces, [2, 3, 0, 3], 'its neighbours have taken its pieces')
  t.same(cluster.up, [0, 1, 2, 3], 'a full server is not a server that is down')
  await writer.put(prepare(random.bytes(2 * MiB), random))
})

t.test('fails the write when the disks of two servers are full', async (t) => {
  const servers = await startWithFull(t, ['DFS2', 'DFS3'])
  const cluster = await servers.connect(t)
  const writer = new SegmentWriter(cluster)
  const random = new Seeded(1)
  await t.rejects(writer.put(prepare(random.bytes(16 * MiB), random)), { code: 'noSpace' })
  await t.resolves(writer.put(prepare(random.bytes(2 * MiB), random)), 'what fits is stored')
})
