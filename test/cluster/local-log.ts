/** Changes of names that are answered before they are stored: real servers, and what may come between. */
import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import { sleep, systemClock, systemRandom } from '../../src/clock.js'
import type { ClientConfig } from '../../src/config.js'
import { Client } from '../../src/dfc/client.js'
import { build, wholeSlice } from '../../src/dfc/content/extents.js'
import { prepare } from '../../src/dfc/content/prepared-segment.js'
import type { Node } from '../../src/dfc/namespace/cache/node.js'
import { isError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { redirectNotices } from '../../src/log.js'
import { tcpNetwork } from '../../src/network.js'
import { fileType, rootIno } from '../../src/wire/records.js'
import { MemoryJournals } from '../fixtures/memory-journals.js'
import { MessageProxies } from '../fixtures/message-proxies.js'
import { Seeded } from '../fixtures/seeded.js'
import { openProxies } from '../fixtures/server-proxy.js'
import { startServers, type TestServers, until } from '../fixtures/servers.js'

const attributes = { mode: fileType.file | 0o644, uid: 0, gid: 0 }
const folderAttributes = { ...attributes, mode: fileType.folder | 0o755 }

interface How {
  readonly log?: MemoryJournals
  readonly lease?: boolean
  readonly dirSync?: boolean
  readonly config?: ClientConfig
}

async function connect(t: Test, servers: TestServers, how: How = {}): Promise<Client> {
  const { lease = true, dirSync = false, config = servers.config() } = how
  const { log = new MemoryJournals() } = how
  const options = { network: tcpNetwork, clock: systemClock, random: systemRandom }
  const client = await Client.open({ ...options, config, lease, dirSync, log })
  t.teardown(() => client.close())
  return client
}

/** A folder with `count` empty files f0, f1, ... in it, all of them stored. */
async function folderOf({ namespace }: Client, count: number): Promise<number> {
  const { ino } = await namespace.create(rootIno, 'folder', folderAttributes)
  for (let index = 0; index < count; index += 1) {
    await namespace.create(ino, `f${index}`, attributes)
  }
  await namespace.settle()
  return ino
}

async function namesIn({ namespace }: Client, folder: number): Promise<string[]> {
  const { entries } = await namespace.names.list(folder, '')
  return entries.map(({ name }) => name)
}

/** A client, and the proxies that show its messages. */
async function connectCounted(
  t: Test,
  servers: TestServers,
  how: How = {},
): Promise<{ readonly client: Client; readonly proxies: MessageProxies }> {
  const proxies = await MessageProxies.open(t, servers)
  return { client: await connect(t, servers, { ...how, config: proxies.config() }), proxies }
}

function noticesOf(t: Test): string[] {
  const lines: string[] = []
  redirectNotices((line) => lines.push(line))
  t.teardown(() => redirectNotices((line) => process.stderr.write(`${line}\n`)))
  return lines
}

t.test('many changes are one transaction, and the next client finds all of them', async (t) => {
  const servers = await startServers(t)
  const { client: first, proxies } = await connectCounted(t, servers)
  const folder = await folderOf(first, 20)
  const commits = proxies.counter('commit', 0)
  const { namespace } = first
  for (let index = 0; index < 10; index += 1) {
    await namespace.rename(folder, `f${index}`, folder, `g${index}`, 'replace')
    await namespace.rename(folder, `g${index}`, folder, `h${index}`, 'replace')
  }
  for (let index = 10; index < 20; index += 1) await namespace.unlink(folder, `f${index}`)
  const { ino } = await namespace.create(folder, 'sub', folderAttributes)
  await namespace.create(ino, 'link', {
    ...attributes,
    mode: fileType.symlink | 0o777,
    target: 'x',
  })
  const moved = await namespace.names.lookup(folder, 'h3')
  await namespace.update(moved.ino, (inode) => ({ ...inode, uid: 7 }))
  t.ok(commits() <= 4, `${commits()} commits for 33 changes`)
  const second = await connect(t, servers, { lease: false })
  const expected = [...Array.from({ length: 10 }, (_, index) => `h${index}`), 'sub']
  t.same(await namesIn(second, folder), expected)
  t.same(await namesIn(second, ino), ['link'])
  t.equal((await second.namespace.names.lookup(folder, 'h3')).inode.uid, 7)
  t.same(await namesIn(first, folder), expected)
})

t.test('a tree is removed, every folder with what was in it', async (t) => {
  const servers = await startServers(t)
  const { client, proxies } = await connectCounted(t, servers)
  const { namespace } = client
  const outer = await folderOf(client, 3)
  const inner = await namespace.create(outer, 'inner', folderAttributes)
  await namespace.create(inner.ino, 'f', attributes)
  await namespace.settle()
  const commits = proxies.counter('commit', 0)
  await t.rejects(namespace.rmdir(rootIno, 'folder'), { code: 'notEmpty' })
  const before = commits()
  await namespace.unlink(inner.ino, 'f')
  await namespace.rmdir(outer, 'inner')
  for (const name of ['f0', 'f1', 'f2']) await namespace.unlink(outer, name)
  await namespace.rmdir(rootIno, 'folder')
  await namespace.settle()
  t.equal(commits() - before, 1)
  t.same(await namesIn(await connect(t, servers, { lease: false }), rootIno), [])
})

t.test('what was synced is not there without the names that were changed before', async (t) => {
  const servers = await startServers(t)
  const first = await connect(t, servers)
  const folder = await folderOf(first, 2)
  const base = await first.namespace.names.lookup(folder, 'f1')
  await first.namespace.rename(folder, 'f0', folder, 'g0', 'replace')
  const time = { seconds: 1, nanoseconds: 0 }
  const content = { size: 5, segments: [], extents: [] }
  const times = { mtime: time, ctime: time }
  await first.namespace.writeContent(base.ino, base, content, times, { onDisk: true })
  // As if it was killed: nothing else is sent.
  first.cluster.close()
  const second = await connect(t, servers, { lease: false })
  t.equal((await second.namespace.names.lookup(folder, 'f1')).inode.size, 5)
  t.same(await namesIn(second, folder), ['f1', 'g0'])
})

t.test('without a journal a change is stored when it is answered', async (t) => {
  const servers = await startServers(t)
  const notices = noticesOf(t)
  const proxies = await MessageProxies.open(t, servers)
  const options = { network: tcpNetwork, clock: systemClock, random: systemRandom, lease: true }
  const log = {
    openJournal(): never {
      throw new Error('ENOSPC: no space left on device')
    },
    keepContent: () => Promise.reject(new Error('nothing is kept')),
  }
  const client = await Client.open({ ...options, config: proxies.config(), log })
  t.teardown(() => client.close())
  t.match(notices, [/every change waits for the servers: ENOSPC/])
  const { ino } = await client.namespace.create(rootIno, 'folder', folderAttributes)
  const commits = proxies.counter('commit', 0)
  await client.namespace.create(ino, 'file', attributes)
  t.equal(commits(), 1)
})

t.test('with dirSync a change is stored when it is answered', async (t) => {
  const servers = await startServers(t)
  const { client: first, proxies } = await connectCounted(t, servers, { dirSync: true })
  const folder = await folderOf(first, 2)
  const commits = proxies.counter('commit', 0)
  await first.namespace.rename(folder, 'f0', folder, 'g0', 'replace')
  await first.namespace.unlink(folder, 'f1')
  t.equal(commits(), 2)
  first.cluster.close()
  t.same(await namesIn(await connect(t, servers, { lease: false }), folder), ['g0'])
})

t.test('times that were set for a folder hold until its next entry', async (t) => {
  const servers = await startServers(t)
  const client = await connect(t, servers)
  const folder = await folderOf(client, 2)
  const { namespace } = client
  const mtime = { seconds: 1_000, nanoseconds: 0 }
  await namespace.unlink(folder, 'f0')
  await namespace.update(folder, (inode, ctime) => ({ ...inode, mtime, ctime }))
  t.same((await namespace.names.node(folder)).inode.mtime, mtime)
  await namespace.settle()
  const second = await connect(t, servers, { lease: false })
  t.same((await second.namespace.names.node(folder)).inode.mtime, mtime)
  await second.close()
  await namespace.update(folder, (inode, ctime) => ({ ...inode, mtime, ctime }))
  await namespace.unlink(folder, 'f1')
  // A folder's times follow from what is decided, which others hear of a moment later.
  await client.close()
  const third = await connect(t, servers, { lease: false })
  t.ok((await third.namespace.names.node(folder)).inode.mtime.seconds > 1_000)
})

t.test('a name that another one had removed before is given again', async (t) => {
  const servers = await startServers(t)
  const earlier = await connect(t, servers, { lease: false })
  const folder = await folderOf(earlier, 3)
  for (const name of ['f1', 'f2']) await earlier.namespace.unlink(folder, name)
  await earlier.close()
  const { client, proxies } = await connectCounted(t, servers)
  const { namespace } = client
  await namespace.names.lookup(rootIno, 'folder')
  t.same(await namesIn(client, folder), ['f0'])
  await namespace.rename(folder, 'f0', folder, 'f1', 'replace')
  await namespace.create(folder, 'f2', folderAttributes)
  const commits = proxies.counter('commit', 0)
  await namespace.settle()
  t.equal(commits(), 2, 'both at once, and once more')
  await client.sync()
  t.same(await namesIn(await connect(t, servers, { lease: false }), folder), ['f1', 'f2'])
})

t.test('what two servers that die keep from being stored is stored when one is back', async (t) => {
  const servers = await startServers(t)
  const notices = noticesOf(t)
  const client = await connect(t, servers)
  const { namespace } = client
  const folder = await folderOf(client, 3)
  const killed = Promise.all([servers.kill(1), servers.kill(2)])
  await namespace.rename(folder, 'f0', folder, 'g0', 'replace')
  await killed
  await until(() => client.cluster.voters.length === 2)
  await until(() => notices.some((line) => line.includes('are not stored yet')))
  await t.rejects(namespace.rename(folder, 'f1', folder, 'g1', 'replace'), { code: 'readOnly' })
  await t.rejects(client.sync(), { code: 'readOnly' })
  await servers.start(1)
  await until(() => notices.some((line) => line.includes('Recent changes are stored now')))
  await namespace.rename(folder, 'f1', folder, 'g1', 'replace')
  await client.sync()
  const second = await connect(t, servers, { lease: false })
  t.same(await namesIn(second, folder), ['f2', 'g0', 'g1'])
})

t.test('what others have made impossible is given up, and told', async (t) => {
  const servers = await startServers(t)
  const notices = noticesOf(t)
  const { proxies, config } = await openProxies(t, servers)
  const first = await connect(t, servers, { config })
  const folder = await folderOf(first, 3)
  const { namespace } = first
  await namespace.rename(folder, 'f0', folder, 'g0', 'replace')
  await namespace.rename(folder, 'g0', folder, 'h0', 'replace')
  await namespace.rename(folder, 'f1', folder, 'g1', 'replace')
  await namespace.unlink(folder, 'f2')
  // It is cut off before it can store any of this, and its lease runs out.
  for (const proxy of proxies) proxy.isMute = true
  const second = await connect(t, servers, { lease: false })
  t.same(await namesIn(second, folder), ['f0', 'f1', 'f2'])
  await second.namespace.rename(folder, 'f0', folder, 'mine', 'replace')
  await second.namespace.unlink(folder, 'f2')
  const theirs = await second.namespace.create(folder, 'f2', attributes)
  for (const proxy of proxies) proxy.isMute = false
  await until(() => notices.some((line) => line.includes('"f2"')))
  const lost = notices.filter((line) => line.includes('another client changed'))
  t.match(lost, [/"f0" and "g0"|"g0" and "f0"/, /"g0" and "h0"|"h0" and "g0"/, /"f2"/])
  await t.rejects(first.sync(), { code: 'stale' })
  await first.sync()
  t.same(await namesIn(second, folder), ['f2', 'g1', 'mine'])
  t.equal(
    (await second.namespace.names.lookup(folder, 'f2')).ino,
    theirs.ino,
    'theirs is not removed',
  )
  t.same(await namesIn(first, folder), ['f2', 'g1', 'mine'])
})

t.test('another mode of a folder is no reason to give up what was made in it', async (t) => {
  const servers = await startServers(t)
  const notices = noticesOf(t)
  const { proxies, config } = await openProxies(t, servers)
  const first = await connect(t, servers, { config })
  const folder = await folderOf(first, 1)
  await first.namespace.create(folder, 'made', folderAttributes)
  await first.namespace.rename(folder, 'f0', folder, 'g0', 'replace')
  for (const proxy of proxies) proxy.isMute = true
  const second = await connect(t, servers, { lease: false })
  await second.namespace.update(folder, (inode) => ({ ...inode, mode: fileType.folder | 0o700 }))
  t.same(await namesIn(second, folder), ['f0'])
  for (const proxy of proxies) proxy.isMute = false
  await until(() => notices.some((line) => line.includes('Recent changes are stored now')))
  await first.sync()
  t.same(await namesIn(second, folder), ['g0', 'made'])
})

t.test('what was answered is shown, or nothing, while it is stored in another way', async (t) => {
  const servers = await startServers(t)
  const notices = noticesOf(t)
  const { proxies, config } = await openProxies(t, servers)
  const first = await connect(t, servers, { config })
  const { namespace } = first
  const folder = await folderOf(first, 1)
  for (const proxy of proxies) proxy.isMute = true
  const names = Array.from({ length: 20 }, (_, index) => `made${index}`)
  const made: Node[] = []
  for (const name of names) made.push(await namespace.create(folder, name, attributes))
  // They are on their way, as one transaction, when the next one begins.
  await sleep(systemClock, 2 * limits.behindMs)
  const time = { seconds: 1, nanoseconds: 0 }
  for (const node of made) {
    const content = { size: 5, segments: [], extents: [] }
    await namespace.writeContent(node.ino, node, content, { mtime: time, ctime: time })
  }
  await namespace.unlink(folder, 'f0')
  const second = await connect(t, servers, { lease: false })
  await second.namespace.update(folder, (inode) => ({ ...inode, mode: fileType.folder | 0o700 }))
  for (const [index, proxy] of proxies.entries()) {
    // Answers are on their way when it is refused, and when it is stored.
    proxy.delayMs = 5 + 10 * index
    proxy.isMute = false
  }
  const isOver = (): boolean => notices.some((line) => line.includes('stored now'))
  const wrong = new Set<string>()
  const look = async (
    what: string,
    found: () => Promise<unknown>,
    wanted: unknown,
  ): Promise<void> => {
    while (!isOver()) {
      try {
        const now = await found()
        if (!isDeepStrictEqual(now, wanted)) wrong.add(`${what}: ${JSON.stringify(now)}`)
      } catch (error) {
        // The servers cannot be asked, or not about this.
        if (!isError(error, 'undecided', 'readOnly', 'unknownOutcome', 'down', 'io')) throw error
      }
      await sleep(systemClock, 1)
    }
  }
  await Promise.all([
    look('names', () => namesIn(first, folder), [...names].sort()),
    ...made.map(({ ino }) =>
      look(`inode`, async () => (await namespace.names.node(ino)).inode.size, 5),
    ),
    ...names.map((name) =>
      look(name, async () => (await namespace.names.lookup(folder, name)).inode.size, 5),
    ),
  ])
  t.same([...wrong], [])
  await first.sync()
  t.same(await namesIn(second, folder), [...names].sort())
})

/** Runs `act` before each of the next `count` commits reaches these servers. */
function beforeCommits(
  proxies: MessageProxies,
  count: number,
  servers: readonly number[],
  act: () => Promise<void>,
): void {
  let left = count
  let acting: Promise<void> | undefined
  proxies.watch(({ server, verb, isAnswer }) => {
    if (verb !== 'commit' || isAnswer || !servers.includes(server)) return
    if (acting === undefined && left > 0) {
      left -= 1
      acting = act().finally(() => {
        acting = undefined
      })
    }
    return acting
  })
}

/** Answers files with content in `folder`, more than one transaction takes, and returns their names. */
async function fileMany({ namespace }: Client, folder: number): Promise<string[]> {
  const names = Array.from({ length: 150 }, (_, index) => `made${1000 + index}`)
  const time = systemClock.time()
  for (const name of names) {
    const node = await namespace.create(folder, name, attributes)
    const inline = prepare(Buffer.from(name), systemRandom)
    const content = build(name.length, [wholeSlice(inline.segment)])
    await namespace.writeContent(node.ino, node, content, { mtime: time, ctime: time }, { inline })
  }
  return names
}

async function assertFiled(t: Test, { namespace }: Client, folder: number, names: string[]) {
  const { entries } = await namespace.names.list(folder, '')
  const sizes = entries.map(({ name, node }) => `${name}: ${node?.inode.size}`)
  t.same(
    sizes,
    names.map((name) => `${name}: ${name.length}`),
  )
}

t.test('what readers abort that meet it half-way is tried again, and not discarded', async (t) => {
  const servers = await startServers(t)
  const notices = noticesOf(t)
  const { client: first, proxies } = await connectCounted(t, servers)
  const folder = await folderOf(first, 0)
  const isFiled = Promise.withResolvers<Client>()
  // Two servers have voted when the reader comes: less than what could be committed.
  let aborts = 0
  beforeCommits(proxies, 8, [2, 3], async () => {
    const second = await isFiled.promise
    const before = second.figures.quorum.aborts
    const isAborted = (): boolean => second.figures.quorum.aborts > before
    const endMs = performance.now() + 500
    while (performance.now() < endMs && !isAborted()) await namesIn(second, folder)
    if (isAborted()) aborts += 1
  })
  const commits = proxies.counter('commit', 0)
  const names = await fileMany(first, folder)
  isFiled.resolve(connect(t, servers, { lease: false }))
  await first.sync()
  t.ok(aborts >= 4, `${aborts} aborts`)
  t.ok(commits() < 30, `${commits()} commits of ${2 * names.length} changes`)
  await assertFiled(t, await connect(t, servers, { lease: false }), folder, names)
  t.notMatch(notices.join('\n'), /discarded/)
})

t.test('nothing is discarded while another client changes the mode of the folder', async (t) => {
  const servers = await startServers(t)
  const notices = noticesOf(t)
  const { client: first, proxies } = await connectCounted(t, servers)
  const folder = await folderOf(first, 0)
  const isFiled = Promise.withResolvers<Client>()
  beforeCommits(proxies, 11, [0, 1, 2, 3], async () => {
    const { namespace } = await isFiled.promise
    await namespace.update(folder, (inode) => ({ ...inode, mode: inode.mode ^ 0o7 }))
    // Until all servers have heard that it is decided.
    await sleep(systemClock, 3 * limits.decisionDelayMs)
  })
  const commits = proxies.counter('commit', 0)
  const names = await fileMany(first, folder)
  isFiled.resolve(connect(t, servers, { lease: false }))
  await first.sync()
  t.ok(commits() < 30, `${commits()} commits of ${2 * names.length} changes`)
  await assertFiled(t, await connect(t, servers, { lease: false }), folder, names)
  t.notMatch(notices.join('\n'), /discarded/)
})

t.test('a change comes while another one of the same file is under way', async (t) => {
  const servers = await startServers(t)
  const client = await connect(t, servers)
  const { namespace } = client
  const folder = await folderOf(client, 20)
  const time = { seconds: 1, nanoseconds: 0 }
  const content = { size: 5, segments: [], extents: [] }
  for (let index = 0; index < 20; index += 1) {
    const base = await namespace.names.lookup(folder, `f${index}`)
    const closing = namespace.writeContent(base.ino, base, content, { mtime: time, ctime: time })
    if (index % 2 === 0) await namespace.unlink(folder, `f${index}`)
    else await namespace.rename(folder, `f${index}`, folder, `g${index}`, 'replace')
    await closing
  }
  await client.sync()
  const left = (await namesIn(await connect(t, servers, { lease: false }), folder)).sort()
  t.same(left, Array.from({ length: 10 }, (_, index) => `g${2 * index + 1}`).sort())
})

t.test('a folder is removed while a file is made in it', async (t) => {
  const servers = await startServers(t)
  const client = await connect(t, servers)
  const { namespace } = client
  for (let round = 0; round < 10; round += 1) {
    const name = `d${round}`
    const { ino } = await namespace.create(rootIno, name, folderAttributes)
    await namespace.settle()
    const making = namespace.create(ino, 'file', attributes)
    const outcomes = await Promise.allSettled([making, namespace.rmdir(rootIno, name)])
    t.equal(outcomes.filter(({ status }) => status === 'rejected').length, 1, 'one of the two')
  }
  await client.sync()
})

t.test('what comes while something is being stored is stored by itself as well', async (t) => {
  const servers = await startServers(t)
  const { client, proxies } = await connectCounted(t, servers)
  const folder = await folderOf(client, 2)
  const commits = proxies.counter('commit', 0)
  // It takes longer than changes wait for one another.
  let delayMs = 60
  proxies.watch(({ isAnswer }) => (isAnswer ? sleep(systemClock, delayMs) : undefined))
  await client.namespace.unlink(folder, 'f0')
  await until(() => commits() === 1)
  await client.namespace.unlink(folder, 'f1')
  await until(() => commits() === 2, 3_000)
  delayMs = 0
})

t.test(
  'what a client leaves that are several transactions is stored by the next one',
  async (t) => {
    const servers = await startServers(t)
    const log = new MemoryJournals()
    const { namespace } = await connect(t, servers, { log })
    const { ino } = await namespace.create(rootIno, 'folder', folderAttributes)
    await namespace.settle()
    await namespace.update(ino, (inode, ctime) => ({ ...inode, mode: inode.mode & ~0o7, ctime }))
    await namespace.create(ino, 'a', attributes)
    t.equal(new Set(log.left.map(({ id }) => id)).size, 2)
    log.crash()
    const next = await connect(t, servers, { log })
    t.same(await namesIn(next, ino), ['a'])
    t.equal((await next.namespace.names.node(ino)).inode.mode & 0o777, 0o750)
    t.same(log.left, [])
  },
)

t.test('nobody waits for what is changed after they have asked', async (t) => {
  const servers = await startServers(t)
  const client = await connect(t, servers)
  const { namespace } = client
  const folder = await folderOf(client, 8)
  let isOver = false
  const goOn = async (first: string): Promise<void> => {
    for (let [from, to] = [first, `${first}g`]; !isOver; [from, to] = [to, from]) {
      await namespace.rename(folder, from, folder, to, 'replace')
      await new Promise(setImmediate)
    }
  }
  const busy = Promise.all(Array.from({ length: 8 }, (_, index) => goOn(`f${index}`)))
  await new Promise((done) => setTimeout(done, 100))
  const startedMs = performance.now()
  setTimeout(() => {
    isOver = true
  }, 5_000).unref()
  await namespace.settle()
  t.ok(performance.now() - startedMs < 4_000, 'it is done while they go on')
  isOver = true
  await busy
})

t.test('what a client that has died left in several batches is stored by the next', async (t) => {
  const servers = await startServers(t)
  const { proxies, config } = await openProxies(t, servers)
  const log = new MemoryJournals()
  const first = await connect(t, servers, { config, log })
  const folder = await folderOf(first, 4)
  for (const proxy of proxies) proxy.isMute = true
  await first.namespace.rename(folder, 'f0', folder, 'g0', 'replace')
  await sleep(systemClock, 3 * limits.behindMs)
  await first.namespace.rename(folder, 'f1', folder, 'g1', 'replace')
  await first.namespace.unlink(folder, 'f2')
  log.crash()
  const ids = new Set(log.left.map(({ id }) => id))
  t.equal(ids.size, 2)
  first.cluster.close()
  const second = await connect(t, servers, { log })
  t.same(log.left, [])
  t.same(await namesIn(second, folder), ['f3', 'g0', 'g1'])
})

t.test('a client that begins without any server stores it once they are there', async (t) => {
  const servers = await startServers(t)
  const { proxies, config } = await openProxies(t, servers)
  const log = new MemoryJournals()
  const first = await connect(t, servers, { config, log })
  const folder = await folderOf(first, 1)
  for (const proxy of proxies) proxy.isMute = true
  await first.namespace.rename(folder, 'f0', folder, 'g0', 'replace')
  log.crash()
  first.cluster.close()
  await servers.kill(0, 1, 2, 3)
  const second = await connect(t, servers, { log })
  t.equal(second.cluster.id, undefined)
  for (const index of [0, 1, 2, 3]) await servers.start(index)
  await until(() => second.cluster.voters.length === 4 && log.left.length === 0)
  t.same(await namesIn(second, folder), ['g0'])
  let isEarly = false
  for (let count = 0; count < 200 && !isEarly; count += 1) {
    await sleep(systemClock, limits.behindMs)
    await second.namespace.rename(folder, `g${count}`, folder, `g${count + 1}`, 'replace')
    isEarly = log.left.length > 0
  }
  t.ok(isEarly, 'it answers early as well')
})

t.test('a listing that was on its way has what was changed and stored meanwhile', async (t) => {
  const servers = await startServers(t)
  const earlier = await connect(t, servers, { lease: false })
  const folder = await folderOf(earlier, 3)
  await earlier.close()
  const { client, proxies } = await connectCounted(t, servers)
  const { namespace } = client
  await namespace.names.lookup(rootIno, 'folder')
  const asked: number[] = []
  const over = Promise.withResolvers<void>()
  proxies.watch((message) => {
    if (message.verb !== 'list' || !message.isAnswer) return
    asked.push(message.server)
    if (asked.length === 1) return over.promise
    // Nobody else knows more than the two that were asked first.
    if (asked.length > 2) message.fail('io')
  })
  const listing = namesIn(client, folder)
  await until(() => asked.length > 1)
  await namespace.create(folder, 'new', attributes)
  await namespace.settle()
  over.resolve()
  await listing
  const count = proxies.count('list')
  t.same(await namesIn(client, folder), ['f0', 'f1', 'f2', 'new'])
  t.equal(proxies.count('list'), count, 'the servers were not asked again')
})

t.test('what was stored and then removed does not come back from another journal', async (t) => {
  const servers = await startServers(t)
  const notices = noticesOf(t)
  const { proxies, config } = await openProxies(t, servers)
  const log = new MemoryJournals()
  const first = await connect(t, servers, { config, log })
  const folder = await folderOf(first, 1)
  for (const proxy of proxies) proxy.isMute = true
  await first.namespace.create(folder, 'new', attributes)
  log.crash()
  const [left] = log.left
  first.cluster.close()
  if (left === undefined) return t.fail('the journal is empty')
  const second = await connect(t, servers, { log })
  t.same(await namesIn(second, folder), ['f0', 'new'])
  await second.namespace.unlink(folder, 'new')
  await second.namespace.settle()
  // As a client leaves it that had stored the change by itself, under an id that the journal does not have.
  const again = new MemoryJournals()
  again.openJournal().append({ ...left, id: second.cluster.versionFor(left.body) })
  await second.close()
  const third = await connect(t, servers, { log: again })
  t.same(again.left, [])
  t.same(await namesIn(third, folder), ['f0'])
  t.notMatch(notices.join('\n'), /discarded/)
})

t.test('a full log is stored within the grace of a lease, with one slow server', async (t) => {
  const servers = await startServers(t)
  const notices = noticesOf(t)
  const proxies = await MessageProxies.open(t, servers)
  const log = new MemoryJournals()
  const first = await connect(t, servers, { config: proxies.config(), log })
  const { namespace } = first
  const folder = await folderOf(first, 0)
  const random = new Seeded(1)
  const bytes = Math.floor((2 * limits.logBytesMax) / limits.logChangesMax)
  const answered: string[] = []
  // Each commit takes long, so that the log fills up meanwhile.
  let isFilling = true
  proxies.watch(({ server, verb, isAnswer }) => {
    if (isFilling) return verb === 'commit' && !isAnswer ? sleep(systemClock, 150) : undefined
    return server === 2 && isAnswer ? sleep(systemClock, 200) : undefined
  })
  let isFull = false
  const fill = async (): Promise<void> => {
    for (let index = 0; !isFull; index += 1) {
      const node = await namespace.create(folder, `f${index}`, attributes)
      const inline = prepare(random.bytes(bytes), systemRandom)
      const content = build(bytes, [wholeSlice(inline.segment)])
      const time = systemClock.time()
      await namespace.writeContent(
        node.ino,
        node,
        content,
        { mtime: time, ctime: time },
        { inline },
      )
      answered.push(`f${index}`)
    }
  }
  const filling = fill()
  await until(() => log.left.length >= 0.9 * limits.logChangesMax)
  isFilling = false
  isFull = true
  await filling
  const count = answered.length
  const startedMs = performance.now()
  const second = await connect(t, servers, { lease: false })
  const found: string[] = []
  for (let after = ''; ; ) {
    const { entries, more } = await second.namespace.names.list(folder, after)
    found.push(...entries.map(({ name }) => name))
    after = found.at(-1) ?? ''
    if (!more) break
  }
  t.comment(`${log.left.length} left, ${count} files, ${performance.now() - startedMs} ms`)
  t.same(found.sort(), answered.sort())
  t.same(log.left, [])
  t.same(
    notices.filter((line) => /discarded|could not/.test(line)),
    [],
  )
})
