/** Clocks that are wrong: those of servers, which the others outvote, and those of clients. */
import t, { type Test } from 'tap'
import { type Clock, sleep, systemClock, systemRandom, timeOfMs } from '../../src/clock.js'
import { Client } from '../../src/dfc/client.js'
import { folderStorage } from '../../src/dfs/account/storage.js'
import { Server } from '../../src/dfs/server.js'
import { UsersFile } from '../../src/dfs/users/users.js'
import { redirectNotices } from '../../src/log.js'
import { tcpNetwork } from '../../src/network.js'
import { fileType, rootIno } from '../../src/wire/records.js'
import { msOfVersion, versionOf } from '../../src/wire/version.js'
import { checkAll, clean, healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { openProxies } from '../fixtures/server-proxy.js'
import { TestServers } from '../fixtures/servers.js'

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs

/** Four servers whose clocks are so far ahead as `aheadMs` says, at any time. */
function openServers(t: Test, aheadMs: readonly number[]): Promise<TestServers> {
  return TestServers.open(t, async (folder, users, port) => {
    const clock = clockAhead(() => aheadMs[Number(folder.at(-1)) - 1] ?? 0)
    const storage = folderStorage(folder, systemRandom)
    const server = await Server.start({
      address: { host: '127.0.0.1', port },
      users: new UsersFile(users, storage.identity.secret),
      storage,
      network: tcpNetwork,
      clock,
      random: systemRandom,
    })
    return { port: server.port, kill: () => server.stop(0), process: undefined }
  })
}

function clockAhead(aheadMs: () => number): Clock {
  const now = (): number => systemClock.now() + aheadMs()
  return { ...systemClock, now, time: () => timeOfMs(now()) }
}

function openAhead(t: Test, servers: TestServers, aheadMs: () => number): Promise<Client> {
  return openClient(t, servers, 'alice', clockAhead(aheadMs))
}

/** What is said of clocks from now on. */
function listen(t: Test): string[] {
  const told: string[] = []
  redirectNotices((line) => {
    if (line.includes('clock')) told.push(line)
  })
  t.teardown(() => redirectNotices(() => {}))
  return told
}

const bytesOf = (value: number): Buffer => Buffer.alloc(70_000, value)
const folderMode = { mode: fileType.folder | 0o755, uid: 0, gid: 0 }

/** How far the times of a file or folder are from now, in ms. */
async function agesOf(client: Client, ino: number): Promise<number[]> {
  const { inode } = await client.namespace.names.node(ino)
  return [inode.mtime, inode.ctime].map(({ seconds }) => Math.abs(seconds * 1000 - Date.now()))
}

async function assertOfNow(t: Test, client: Client, ino: number, what: string): Promise<void> {
  for (const age of await agesOf(client, ino)) t.ok(age < minuteMs, `${what}: ${age} ms`)
}

t.test('one server whose clock is behind is outvoted, named once, and catches up', async (t) => {
  const aheadMs = [0, 0, -20 * minuteMs, 0]
  const servers = await openServers(t, aheadMs)
  const told = listen(t)
  const client = await openClient(t, servers)
  t.match(told, [/DFS3's clock is 20 minutes behind the others/])
  for (let i = 0; i < 6; i += 1) await putFile(client, `file ${i}`, bytesOf(i))
  await client.namespace.unlink(rootIno, 'file 5')
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true, lost: [] })
  t.ok((await readFile(client, 'file 4')).equals(bytesOf(4)))
  // It takes the pieces of what was removed meanwhile for those of a file on its way: they go in a day.
  t.match(await checkAll(client), { ...clean, garbage: 2 })
  await putFile(client, 'file 6', bytesOf(6))
  await client.namespace.unlink(rootIno, 'file 6')
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true, lost: [] })
  t.match(await checkAll(client), { ...clean, garbage: 2 }, 'what is deleted is given back')
  t.equal(told.length, 1)

  aheadMs[2] = 0
  await putFile(client, 'file 7', bytesOf(7))
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true, lost: [] })
  t.match(await checkAll(client), { ...clean, garbage: 2 })
})

t.test('servers whose clocks are ahead serve as ever', async (t) => {
  const servers = await openServers(t, [0, dayMs, 0, 0])
  const told = listen(t)
  const client = await openClient(t, servers)
  t.match(told, [/DFS2's clock is 24 hours ahead of the others/])
  for (let i = 0; i < 5; i += 1) await putFile(client, `file ${i}`, bytesOf(i))
  await client.namespace.unlink(rootIno, 'file 4')
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true, orphansDeleted: 0 })
  t.match(await checkAll(client), clean)
  await assertOfNow(t, client, rootIno, 'the folder')
  const { ino } = await client.namespace.names.lookup(rootIno, 'file 3')
  await assertOfNow(t, client, ino, 'the file')
})

t.test('when two clocks differ from two others nothing is written, and all is read', async (t) => {
  const aheadMs = [0, 0, 0, 0]
  const servers = await openServers(t, aheadMs)
  const before = await openClient(t, servers)
  await putFile(before, 'before', bytesOf(1))
  aheadMs[0] = 30 * minuteMs
  aheadMs[2] = 30 * minuteMs
  const client = await openClient(t, servers)
  await t.rejects(putFile(client, 'meanwhile', bytesOf(2)), {
    code: 'readOnly',
    message: /^Read-only until the clocks of the servers agree: .*DFS2 and DFS4/,
  })
  t.ok((await readFile(client, 'before')).equals(bytesOf(1)))
  await t.rejects(client.namespace.names.lookup(rootIno, 'meanwhile'), { code: 'notFound' })
  aheadMs.fill(0)
  const after = await openClient(t, servers)
  await putFile(after, 'meanwhile', bytesOf(3))
  t.ok((await readFile(after, 'meanwhile')).equals(bytesOf(3)))
})

t.test('a client whose clock is ahead, and jumps, leaves nothing of the future', async (t) => {
  const servers = await openServers(t, [0, 0, 0, 0])
  const told = listen(t)
  const other = await openClient(t, servers)
  t.same(told, [])
  let aheadMs = 30 * dayMs
  const client = await openAhead(t, servers, () => aheadMs)
  t.match(told, [/the clock of this machine is 30 days ahead of those of the servers/])
  const { namespace } = client
  const shared = await namespace.create(rootIno, 'shared', folderMode)
  await putFile(client, 'gone', bytesOf(1))
  const open = await other.namespace.createNameless(rootIno, {
    mode: fileType.file | 0o600,
    uid: 0,
    gid: 0,
  })
  await namespace.unlink(rootIno, 'gone')
  t.match(await client.scheduler.heal(), { orphansDeleted: 0, left: 0 })
  await other.namespace.names.node(open.ino)
  await assertOfNow(t, other, shared.ino, 'a new folder')
  await assertOfNow(t, other, rootIno, 'the folder it is in')
  t.match(await other.scheduler.heal({ sweepAgeMs: 0 }), { swept: true, left: 0 })

  for (aheadMs of [-400 * dayMs, 3 * dayMs, 0]) {
    await namespace.create(shared.ino, `after ${aheadMs}`, folderMode)
    await assertOfNow(t, other, shared.ino, 'after a jump')
  }
})

t.test('answers that were long on their way do not move the time', async (t) => {
  const servers = await openServers(t, [0, 0, 0, 0])
  const told = listen(t)
  const { proxies, config } = await openProxies(t, servers)
  const client = await Client.open({
    config: { ...config, timeoutMs: 20_000 },
    network: tcpNetwork,
    clock: systemClock,
    random: systemRandom,
  })
  t.teardown(() => client.close())
  for (const proxy of proxies) proxy.delayMs = 3_000
  await client.cluster.ask([0, 1, 2, 3], 'status', () => ({}))
  const offMs = Math.abs(client.cluster.clock.now() - systemClock.now())
  t.ok(offMs < 100, `${offMs} ms`)
  t.same(told, [])
})

t.test('a fence of one server alone holds nobody up', async (t) => {
  const aheadMs = [0, 0, 0, 0]
  const servers = await openServers(t, aheadMs)
  const client = await openClient(t, servers)
  const fence = versionOf(Date.now() + 400 * dayMs, 0, '00000000')
  await t.rejects(client.cluster.request(1, 'fence', { fence, agreed: false }), { code: 'clock' })
  aheadMs[1] = 401 * dayMs
  await client.cluster.request(1, 'fence', { fence, agreed: false })
  aheadMs[1] = 0
  const later = await openClient(t, servers)
  for (const one of [client, later]) {
    for (let i = 0; i < 3; i += 1) await putFile(one, 'file', bytesOf(i))
    const { version } = await one.namespace.names.lookup(rootIno, 'file')
    t.ok(Math.abs(msOfVersion(version) - Date.now()) < minuteMs)
  }

  t.match(await later.scheduler.heal(healNow), { left: 0 })
  const { reply } = await later.cluster.request(1, 'status', {})
  t.ok(reply.stamp.fence < fence, 'it is taken back')
  await servers.kill(3)
  // All three that are left have to vote.
  await putFile(later, 'file', bytesOf(9))
  const { version } = await later.namespace.names.lookup(rootIno, 'file')
  t.ok(Math.abs(msOfVersion(version) - Date.now()) < minuteMs)
  await servers.start(3)
  while (!later.cluster.voters.includes(3)) await sleep(systemClock, 10)
  t.match(await later.scheduler.heal(healNow), { left: 0, swept: true })
})

t.test('what is from the future already can be replaced, and infects nothing', async (t) => {
  const aheadMs = [30, 30, 30, 30].map((days) => days * dayMs)
  const servers = await openServers(t, aheadMs)
  const before = await openClient(t, servers)
  const old = await before.namespace.create(rootIno, 'folder', folderMode)
  await putFile(before, 'file', bytesOf(1))
  await putFile(before, 'other', bytesOf(1))
  await before.cluster.request(0, 'sync', { segments: [] })

  aheadMs.fill(0)
  const client = await openClient(t, servers)
  for (let i = 0; i < 3; i += 1) await putFile(client, 'file', bytesOf(i))
  await client.namespace.create(old.ino, 'in the folder', folderMode)
  await client.namespace.unlink(rootIno, 'other')
  t.ok((await readFile(client, 'file')).equals(bytesOf(2)))
  const { ino } = await client.namespace.names.lookup(rootIno, 'folder')
  t.equal(ino, old.ino)
  t.match(await client.scheduler.heal({ thorough: true }), { left: 0 })
})
