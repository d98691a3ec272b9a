/** A client that is alone, and what happens when it is not any more: real servers, two clients. */
import t, { type Test } from 'tap'
import { compareTimes, sleep, systemClock, systemRandom, type Time } from '../../src/clock.js'
import { Client } from '../../src/dfc/client.js'
import { limits } from '../../src/limits.js'
import { tcpNetwork } from '../../src/network.js'
import { fileType, rootIno } from '../../src/wire/records.js'
import { MemoryJournals } from '../fixtures/memory-journals.js'
import { MessageProxies } from '../fixtures/message-proxies.js'
import { startServerProcesses, startServers, type TestServers, until } from '../fixtures/servers.js'

const attributes = { mode: fileType.file | 0o644, uid: 0, gid: 0 }
const folderAttributes = { ...attributes, mode: fileType.folder | 0o755 }

const journals = new WeakMap<Client, MemoryJournals>()

async function connect(
  t: Test,
  servers: TestServers,
  lease: boolean,
  config = servers.config(),
): Promise<Client> {
  const log = new MemoryJournals()
  const client = await Client.open({
    config,
    network: tcpNetwork,
    clock: systemClock,
    random: systemRandom,
    lease,
    log,
  })
  journals.set(client, log)
  t.teardown(() => client.close())
  return client
}

/** Resolves when `client` answers changes before they are stored, and so counts on being alone. */
async function alone(client: Client): Promise<void> {
  const { namespace } = client
  do {
    await namespace.settle()
    await namespace.create(rootIno, systemRandom.bytes(4).toString('hex'), folderAttributes)
  } while (isStored(client))
  await namespace.settle()
}

/** Whether everything that the client has answered is stored. */
function isStored(client: Client): boolean {
  return journals.get(client)?.left.length === 0
}

/** On a machine that is busy a lease runs out at times; then it is right to ask. */
function hasLeaseLeft({ cluster }: Client): boolean {
  const nowMs = cluster.clock.monotonic()
  return cluster.links.filter((link) => nowMs - link.answeredMs < limits.leaseMs).length >= 3
}

t.test('what one has made and not stored yet is there when another one looks', async (t) => {
  const servers = await startServers(t)
  const first = await connect(t, servers, true)
  await alone(first)
  await t.rejects(first.namespace.names.lookup(rootIno, 'new'), { code: 'notFound' })
  const { ino } = await first.namespace.create(rootIno, 'new', attributes)
  const second = await connect(t, servers, false)
  t.equal((await second.namespace.names.lookup(rootIno, 'new')).ino, ino)
})

t.test(
  'a repair while it is busy does not touch what it is storing, nor what it knows',
  async (t) => {
    // As processes they have it at different moments.
    const servers = await startServerProcesses(t)
    const proxies = await MessageProxies.open(t, servers)
    const client = await connect(t, servers, true, proxies.config('alice', 10_000))
    await alone(client)
    const { namespace, scheduler } = client
    const { ino: folder } = await namespace.create(rootIno, 'folder', folderAttributes)
    await namespace.settle()
    let isOver = false
    const write = async (writer: number): Promise<void> => {
      for (let index = 0; !isOver; index += 1) {
        await namespace.create(folder, `${writer} ${index}`, attributes)
        await sleep(systemClock, 4)
      }
      await namespace.settle()
    }
    const writers = Promise.all([0, 1, 2].map(write))
    // So much that a server tells of it in more than one answer.
    await sleep(systemClock, 2_000)
    const ballots = proxies.counter('prepare')
    let lookupsAlone = 0
    proxies.watch(({ verb, isAnswer }) => {
      if (verb === 'lookup' && !isAnswer && hasLeaseLeft(client)) lookupsAlone += 1
    })
    let young = 0
    for (let round = 0; round < 20; round += 1) {
      // A busy machine takes longer for what it stores than the usual patience.
      const report = await scheduler.heal({ patienceMs: 10_000 })
      t.match(report, { registersCopied: 0, left: 0, swept: true })
      young += report.young
    }
    isOver = true
    await writers
    t.ok(young > 0, 'something was being stored')
    t.equal(ballots(), 0)
    t.equal(lookupsAlone, 0, 'it knows that the next name is not there')
  },
)

t.test('who was alone sees at once what another one changes', async (t) => {
  const servers = await startServers(t)
  const first = await connect(t, servers, true)
  await alone(first)
  await first.namespace.create(rootIno, 'f', attributes)
  const second = await connect(t, servers, false)
  await second.namespace.rename(rootIno, 'f', rootIno, 'g', 'replace')
  await t.rejects(first.namespace.names.lookup(rootIno, 'f'), { code: 'notFound' })
  await second.namespace.update(
    (await first.namespace.names.lookup(rootIno, 'g')).ino,
    (inode) => ({
      ...inode,
      uid: 7,
    }),
  )
  t.equal((await first.namespace.names.lookup(rootIno, 'g')).inode.uid, 7)
})

t.test('an exclusive create is won once, whoever was alone before', async (t) => {
  const servers = await startServers(t)
  const first = await connect(t, servers, true)
  for (let round = 0; round < 5; round += 1) {
    await alone(first)
    const second = connect(t, servers, false)
    const create = async (client: Promise<Client> | Client): Promise<string> => {
      const { namespace } = await client
      try {
        await namespace.names.lookup(rootIno, `once ${round}`).catch(() => undefined)
        await namespace.create(rootIno, `once ${round}`, attributes)
        await namespace.sync()
        return 'won'
      } catch (error) {
        return (error as { code: string }).code
      }
    }
    t.same((await Promise.all([create(first), create(second)])).sort(), ['exists', 'won'])
    await (await second).close()
  }
})

t.test('nothing is asked of the servers as long as it is alone', async (t) => {
  const servers = await startServers(t)
  const proxies = await MessageProxies.open(t, servers)
  const client = await connect(t, servers, true, proxies.config())
  await alone(client)
  const { ino } = await client.namespace.create(rootIno, 'folder', folderAttributes)
  const file = await client.namespace.create(ino, 'file', attributes)
  await new Promise((resolve) => setTimeout(resolve, limits.cacheLifeMs + 200))
  const [lookups, reads] = [proxies.counter('lookup'), proxies.counter('read')]
  t.equal((await client.namespace.names.lookup(rootIno, 'folder')).ino, ino)
  t.equal((await client.namespace.names.lookup(ino, 'file')).version, file.version)
  await t.rejects(client.namespace.names.lookup(ino, 'never made'), { code: 'notFound' })
  t.equal((await client.namespace.names.node(ino, true)).ino, ino)
  await proxies.arrived(client.cluster)
  t.equal(lookups(), 0)
  t.equal(reads(), 0)
})

t.test('a folder that is known is listed as it is, and nothing is asked', async (t) => {
  const servers = await startServers(t)
  const proxies = await MessageProxies.open(t, servers)
  const client = await connect(t, servers, true, proxies.config())
  await alone(client)
  const { namespace } = client
  const { ino } = await namespace.create(rootIno, 'folder', folderAttributes)
  for (const name of ['c', 'a', 'b', 'd']) await namespace.create(ino, name, attributes)
  const [lists, lookups] = [proxies.counter('list'), proxies.counter('lookup')]
  const listed = async (after = ''): Promise<string[]> =>
    (await namespace.names.list(ino, after)).entries.map(({ name }) => name)
  t.same(await listed(), ['a', 'b', 'c', 'd'])
  await namespace.unlink(ino, 'b')
  await namespace.rename(ino, 'd', ino, 'B', 'replace')
  t.same(await listed(), ['B', 'a', 'c'])
  t.same(await listed('B'), ['a', 'c'])
  const made = await namespace.create(ino, 'e', attributes)
  await namespace.update(made.ino, (inode) => ({ ...inode, uid: 7 }))
  const { entries } = await namespace.names.list(ino, 'c')
  t.equal(entries[0]?.node?.inode.uid, 7)
  await proxies.arrived(client.cluster)
  t.equal(lists() + lookups(), 0)
  const second = await connect(t, servers, false)
  await second.namespace.unlink(ino, 'a')
  t.same(await listed(), ['B', 'c', 'e'], 'with two clients the servers are asked')
  t.ok(lists() > 0)
})

t.test('folders that are read ahead are asked for together, and then known', async (t) => {
  const servers = await startServers(t)
  const proxies = await MessageProxies.open(t, servers)
  const first = await connect(t, servers, true)
  const inos: number[] = []
  for (let index = 0; index < 70; index += 1) {
    const { ino } = await first.namespace.create(rootIno, `d${index}`, folderAttributes)
    for (let file = 0; file < index % 3; file += 1) {
      await first.namespace.create(ino, `f${file}`, attributes)
    }
    inos.push(ino)
  }
  await first.close()
  const client = await connect(t, servers, true, proxies.config())
  const { names } = client.namespace
  await until(() => client.namespace.useLease() !== undefined)
  const [together, single] = [proxies.counter('listFolders'), proxies.counter('list')]
  names.readAhead(inos)
  for (const [index, ino] of inos.entries()) {
    const { entries } = await names.list(ino, '')
    t.equal(entries.length, index % 3)
  }
  await proxies.arrived(client.cluster)
  t.equal(single(), 0)
  t.equal(together(), 2 * Math.ceil(inos.length / limits.listFoldersMax), 'two servers each')
})

t.test('it is alone from its first operation on', async (t) => {
  const servers = await startServers(t)
  const proxies = await MessageProxies.open(t, servers)
  const client = await connect(t, servers, true, proxies.config())
  const { ino } = await client.namespace.create(rootIno, 'folder', folderAttributes)
  const lookups = proxies.counter('lookup')
  await t.rejects(client.namespace.names.lookup(ino, 'never made'), { code: 'notFound' })
  await proxies.arrived(client.cluster)
  t.equal(lookups(), 0)
})

t.test('a folder of which many names are asked for is read as a whole', async (t) => {
  const servers = await startServers(t)
  const first = await connect(t, servers, false)
  const folder = await first.namespace.create(rootIno, 'folder', folderAttributes)
  const names = Array.from({ length: 64 }, (_, index) => `f${index}`)
  for (const name of names) await first.namespace.create(folder.ino, name, attributes)
  await first.namespace.unlink(folder.ino, 'f7')
  await first.close()
  const proxies = await MessageProxies.open(t, servers)
  const client = await connect(t, servers, true, proxies.config())
  await client.namespace.names.lookup(rootIno, 'folder')
  const heard: string[][] = []
  client.namespace.onFolderRead((_, listed) => heard.push(listed.map(({ name }) => name)))
  const [lookups, lists] = [proxies.counter('lookup'), proxies.counter('list')]
  const found = await Promise.all(
    names.map((name) =>
      client.namespace.names.lookup(folder.ino, name).then(
        () => [],
        () => [name],
      ),
    ),
  )
  t.same(found.flat(), ['f7'])
  await t.rejects(client.namespace.names.lookup(folder.ino, 'g'), { code: 'notFound' })
  t.ok(lookups() <= 8, `${lookups()} look-ups`)
  t.equal(lists(), 2)
  t.same(heard, [names.filter((name) => name !== 'f7').sort()])
})

t.test(
  'a file that was made and changed before it was stored is stored as it is then',
  async (t) => {
    const servers = await startServers(t)
    const first = await connect(t, servers, true)
    await alone(first)
    await t.rejects(first.namespace.names.lookup(rootIno, 'f'), { code: 'notFound' })
    const { ino } = await first.namespace.create(rootIno, 'f', attributes)
    await first.namespace.update(ino, (inode) => ({ ...inode, mode: fileType.file | 0o600 }))
    await first.namespace.rename(rootIno, 'f', rootIno, 'g', 'replace')
    const second = await connect(t, servers, false)
    t.equal((await second.namespace.names.lookup(rootIno, 'g')).inode.mode, fileType.file | 0o600)
    await t.rejects(second.namespace.names.lookup(rootIno, 'f'), { code: 'notFound' })
  },
)

t.test('the time of a folder stays when what was made in it is stored', async (t) => {
  const servers = await startServers(t)
  const earlier = await connect(t, servers, false)
  const { ino: folder } = await earlier.namespace.create(rootIno, 'folder', folderAttributes)
  await earlier.namespace.create(folder, 'removed before', attributes)
  await earlier.namespace.unlink(folder, 'removed before')
  await earlier.close()
  const client = await connect(t, servers, true)
  const { namespace } = client
  const timesOn = async ({ namespace }: Client): Promise<Time[]> => {
    const { mtime, ctime } = (await namespace.names.node(folder, true)).inode
    return [mtime, ctime]
  }
  /** A folder's times follow from what is decided, which the servers hear of a moment later. */
  const timesOnAnother = async (expected: readonly Time[]): Promise<Time[]> => {
    const other = await connect(t, servers, false)
    for (let attempt = 0; ; attempt += 1) {
      const times = await timesOn(other)
      const isThere = times.every((time, index) => compareTimes(time, expected[index] ?? time) >= 0)
      if (!isThere && attempt < 100) await sleep(systemClock, 50)
      else return other.close().then(() => times)
    }
  }

  for (const name of ['new', 'removed before']) {
    await alone(client)
    await namespace.names.list(folder, '')
    await namespace.create(folder, name, attributes)
    t.notOk(isStored(client), 'it is not stored until then')
    const shown = await timesOn(client)
    await namespace.settle()
    t.same(await timesOn(client), shown, name)
    t.same(await timesOnAnother(shown), shown, `${name}: as others see it`)
  }

  await t.test('and goes on with what is done in it next, however that is stored', async (t) => {
    await alone(client)
    await namespace.names.list(folder, '')
    const { ino } = await namespace.create(folder, 'sub', folderAttributes)
    await namespace.settle()
    // What is answered first begins what the rest is stored with.
    await namespace.update(ino, (inode) => ({ ...inode, mode: fileType.folder | 0o700 }))
    await sleep(systemClock, 2)
    await namespace.create(folder, 'newer', attributes)
    const shown = await timesOn(client)
    await sleep(systemClock, 2)
    await namespace.rmdir(folder, 'sub')
    const later = await timesOn(client)
    t.ok(later.every((time, index) => compareTimes(time, shown[index] ?? time) >= 0))
    await namespace.settle()
    t.same(await timesOnAnother(later), later)
  })
})

t.test('no change overlooks a file that was made and is not stored yet', async (t) => {
  const servers = await startServers(t)
  const client = await connect(t, servers, true)
  await alone(client)
  const { namespace } = client
  /** A folder with a new file in it, and an empty one. */
  const make = async (name: string): Promise<{ full: number; file: number }> => {
    const full = await namespace.create(rootIno, name, folderAttributes)
    await namespace.create(rootIno, `${name} empty`, folderAttributes)
    const file = await namespace.create(full.ino, 'x', attributes)
    return { full: full.ino, file: file.ino }
  }
  const there = async ({ full, file }: { full: number; file: number }): Promise<void> => {
    t.equal((await namespace.names.lookup(full, 'x')).ino, file)
    await namespace.settle()
    t.equal((await namespace.names.lookup(full, 'x')).ino, file)
  }

  await t.test('a folder is renamed onto its folder', async (t) => {
    const made = await make('a')
    const renamed = namespace.rename(rootIno, 'a empty', rootIno, 'a', 'replace')
    await t.rejects(renamed, { code: 'notEmpty' })
    await there(made)
  })

  await t.test('its folder is removed', async (t) => {
    const made = await make('b')
    await t.rejects(namespace.rmdir(rootIno, 'b'), { code: 'notEmpty' })
    await there(made)
  })

  await t.test('something else is to have its name', async (t) => {
    const made = await make('c')
    const link = { ...attributes, mode: fileType.symlink | 0o777, target: 'elsewhere' }
    const other = await namespace.create(rootIno, 'c other', attributes)
    await t.rejects(namespace.create(made.full, 'x', link), { code: 'exists' })
    await t.rejects(namespace.link(other.ino, made.full, 'x'), { code: 'exists' })
    const moved = namespace.rename(rootIno, 'c other', made.full, 'x', 'noReplace')
    await t.rejects(moved, { code: 'exists' })
    await there(made)
  })

  await t.test('the times of its folder are set', async (t) => {
    const made = await make('e')
    const mtime = { seconds: 1_000_000_000, nanoseconds: 0 }
    await namespace.update(made.full, (inode) => ({ ...inode, mtime }))
    await there(made)
    t.same((await namespace.names.node(made.full, true)).inode.mtime, mtime)
  })

  await t.test('it gets a second name, loses its first and goes with its last', async (t) => {
    const { full, file } = await make('d')
    t.equal((await namespace.link(file, full, 'y')).inode.nlink, 2)
    t.equal((await namespace.unlink(full, 'x')).inode.nlink, 1)
    t.equal((await namespace.unlink(full, 'y')).inode.nlink, 0)
    await namespace.rmdir(rootIno, 'd')
  })
})

t.test('with two servers gone nothing is made that could not be stored', async (t) => {
  const servers = await startServers(t)
  const client = await connect(t, servers, true)
  await alone(client)
  await servers.kill(1, 3)
  while (client.cluster.voters.length > 2) await new Promise((done) => setTimeout(done, 10))
  const made = client.namespace.create(rootIno, 'f', attributes)
  await t.rejects(made, { code: 'readOnly' })
})

t.test('clients that begin a new account at once all find its root', async (t) => {
  for (let round = 0; round < 8; round += 1) {
    await t.test(`round ${round}`, async (t) => {
      const servers = await startServers(t)
      const look = async (delayMs: number): Promise<void> => {
        await new Promise((resolve) => setTimeout(resolve, delayMs))
        const { namespace } = await connect(t, servers, true)
        t.equal((await namespace.names.node(rootIno, true)).ino, rootIno)
      }
      await Promise.all([look(0), look(2 * round), look(2 * round + 1), look(4 * round)])
    })
  }
})

t.test('no PUT is refused for what a server that was away says', async (t) => {
  const servers = await startServers(t)
  const client = await connect(t, servers, false)
  const link = { ...attributes, mode: fileType.symlink | 0o777, target: 'elsewhere' }
  await client.namespace.create(rootIno, 'f', link)
  await t.rejects(client.namespace.replace(rootIno, 'f', attributes), { code: 'exists' })
  await servers.kill(3)
  await client.namespace.unlink(rootIno, 'f')
  await servers.start(3)
  while (!client.cluster.voters.includes(3)) await sleep(systemClock, 10)
  await servers.kill(0, 1, 2)
  await t.rejects(client.namespace.replace(rootIno, 'f', attributes), { code: 'readOnly' })
})
