/** Servers whose clocks are a day off, one ahead and one behind: only people notice. */
import t from 'tap'
import { systemClock, systemRandom } from '../../src/clock.js'
import { Server } from '../../src/dfs/server.js'
import { folderStorage } from '../../src/dfs/storage.js'
import { UsersFile } from '../../src/dfs/users.js'
import { redirectNotices } from '../../src/log.js'
import { tcpNetwork } from '../../src/network.js'
import { rootIno } from '../../src/wire/records.js'
import { checkAll, clean, healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { TestServers, until } from '../fixtures/servers.js'

const dayMs = 24 * 3600_000
const aheadMs = [0, dayMs, 0, -dayMs]

t.test('servers with clocks a day off serve as ever, and are told of', async (t) => {
  const servers = await TestServers.open(t, async (folder, users, port) => {
    const offMs = aheadMs[Number(folder.at(-1)) - 1] ?? 0
    const server = await Server.start({
      address: { host: '127.0.0.1', port },
      users: new UsersFile(users, systemRandom),
      storage: folderStorage(folder, systemRandom),
      network: tcpNetwork,
      clock: { ...systemClock, now: () => systemClock.now() + offMs },
      random: systemRandom,
    })
    return { port: server.port, kill: () => server.stop(0), process: undefined }
  })
  const told: string[] = []
  redirectNotices((line) => void told.push(line))
  const client = await openClient(t, servers)
  const said = told.filter((line) => line.includes('clock'))
  t.match(
    said.find((line) => line.includes('DFS2')),
    /24 hours ahead of/,
  )
  t.match(
    said.find((line) => line.includes('DFS4')),
    /24 hours behind/,
  )
  t.equal(said.length, 2)

  const beganMs = Date.now()
  for (let i = 0; i < 10; i += 1) await putFile(client, `file ${i}`, Buffer.alloc(90_000, i))
  for (let i = 0; i < 5; i += 1) await putFile(client, `file ${i}`, Buffer.alloc(80_000, i))
  await client.namespace.unlink(rootIno, 'file 9')
  // Tombstones and replaced content go with a sweep, and what is in use does not.
  t.match(await client.keeper.heal(healNow), { left: 0, swept: true, orphansDeleted: 0 })
  await servers.kill(1)
  await until(() => client.cluster.up.length === 3)
  await putFile(client, 'while DFS2 is away', Buffer.alloc(70_000, 1))
  await servers.start(1)
  await until(() => client.cluster.up.length === 4)
  t.match(await client.keeper.heal(healNow), { left: 0, swept: true, lost: [] })
  t.match(await checkAll(client), clean)

  const other = await openClient(t, servers)
  await t.rejects(other.namespace.lookup(rootIno, 'file 9'), { code: 'notFound' })
  t.ok((await readFile(other, 'file 4')).equals(Buffer.alloc(80_000, 4)))
  const { inode } = await other.namespace.lookup(rootIno, 'file 4')
  const root = await other.namespace.node(rootIno)
  for (const { seconds } of [inode.mtime, inode.ctime]) {
    t.ok(Math.abs(seconds * 1000 - beganMs) < 60_000, 'the times are those of the client')
  }
  t.ok(root.folder !== null)
})
