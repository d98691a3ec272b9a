/** The trash with four servers: what is kept, for how long, and that no segment of it goes before. */
import t, { type Test } from 'tap'
import { sleep, systemClock } from '../../src/clock.js'
import type { Client } from '../../src/dfc/client.js'
import { recordOf } from '../../src/dfc/namespace/kept.js'
import type { KeptFile } from '../../src/dfc/namespace/trash.js'
import { withQuota, withTrash } from '../../src/dfs/users/users-text.js'
import { fileType, rootIno, trashIno } from '../../src/wire/records.js'
import { checkAll, clean, healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { MessageProxies } from '../fixtures/message-proxies.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServerProcesses, startServers, type TestServers, until } from '../fixtures/servers.js'

t.setTimeout(120_000)

const random = new Seeded(30)

/** Servers whose user alice keeps what is removed for a time. */
async function keeping(t: Test, time: string | undefined): Promise<TestServers> {
  const servers = await startServers(t)
  // They look at each login.
  servers.configure((users) => withTrash(users, 'dfs.conf', 'alice', time))
  return servers
}

async function setTrash(servers: TestServers, time: string | undefined): Promise<void> {
  servers.configure((users) => withTrash(users, 'dfs.conf', 'alice', time))
  // They look once a second.
  await sleep(systemClock, 1_500)
}

async function kept({ namespace }: Client): Promise<KeptFile[]> {
  const all: KeptFile[] = []
  for await (const one of namespace.trash.files()) all.push(one)
  return all
}

async function contentOf({ content }: Client, { node: { inode } }: KeptFile): Promise<Buffer> {
  return content.read(inode, 0, inode.size)
}

/** Repairs and sweeps until nothing that could go is left. */
async function sweep(t: Test, client: Client): Promise<void> {
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true })
  t.match(await checkAll(client), clean)
}

const folderMode = { mode: fileType.folder | 0o755, uid: 0, gid: 0 }

t.test('a removed file stays with its content until it is removed for good', async (t) => {
  const alice = await openClient(t, await keeping(t, '7d'))
  const { namespace } = alice
  const bytes = random.bytes(300_000)
  const folder = await namespace.create(rootIno, 'docs', folderMode)
  await putFile(alice, 'plan', bytes)
  await namespace.rename(rootIno, 'plan', folder.ino, 'plan', 'replace')
  await namespace.unlink(folder.ino, 'plan')
  await namespace.rmdir(rootIno, 'docs')
  await sweep(t, alice)
  await sweep(t, alice)
  const [file, ...others] = await kept(alice)
  t.match(others, [{ kind: 'removed', folder: '', name: 'docs' }])
  if (file === undefined) return t.fail('nothing is kept')
  t.match(file, { kind: 'removed', folder: '/docs', name: 'plan', node: { inode: { nlink: 1 } } })
  t.same(await contentOf(alice, file), bytes)
  t.match(await namespace.trash.use(), { removed: 2, replaced: 0, bytes: bytes.length })

  const restoration = { kept: file.id, parent: rootIno, name: 'again', mayReplace: false }
  const node = await namespace.trash.restore(restoration)
  t.equal(recordOf(node.inode), undefined)
  t.same(await readFile(alice, 'again'), bytes)
  const [docs] = others
  if (docs === undefined) return t.fail('the folder is not kept')
  const place = { kept: docs.id, parent: rootIno, name: 'docs', mayReplace: true }
  t.match(await namespace.trash.restore(place), {
    inode: { mode: folderMode.mode, parent: rootIno },
  })
  await sweep(t, alice)
  t.same(await kept(alice), [])
  await t.rejects(namespace.trash.restore(restoration), { code: 'notFound' })

  await namespace.unlink(rootIno, 'again')
  const ids = (await kept(alice)).map(({ id }) => id)
  t.equal(await namespace.trash.remove(ids), 1)
  t.equal(await namespace.trash.remove(ids), 0)
  await sweep(t, alice)
  const { pieces } = (await alice.cluster.request(0, 'status', {})).reply
  t.equal(pieces, 0, 'its pieces are gone')
})

t.test('what is replaced is a version, whose segments outlive the file', async (t) => {
  const alice = await openClient(t, await keeping(t, '7d'))
  const [one, two, three] = [100_000, 200_000, 3].map((length) => random.bytes(length))
  if (one === undefined || two === undefined || three === undefined) return
  const { ino } = await putFile(alice, 'file', one)
  await putFile(alice, 'file', two)
  // Half of the first version is in the file again, so that two inodes share a segment.
  await alice.namespace.update(ino, (inode) => ({ ...inode, size: 50_000, extents: [] }))
  await putFile(alice, 'other', three)
  await alice.namespace.rename(rootIno, 'other', rootIno, 'file', 'replace')
  await sweep(t, alice)
  const files = await kept(alice)
  t.same(
    files.map(({ kind, ino: of }) => [kind, of]),
    [
      ['replaced', ino],
      ['replaced', ino],
      ['removed', ino],
    ],
  )
  t.same(await Promise.all(files.slice(0, 2).map((file) => contentOf(alice, file))), [one, two])
  t.same(await readFile(alice, 'file'), three)
  await alice.namespace.unlink(rootIno, 'file')
  await sweep(t, alice)
  t.same(await Promise.all(files.slice(0, 2).map((file) => contentOf(alice, file))), [one, two])
})

t.test(
  'a version and the file share segments, and neither takes them from the other',
  async (t) => {
    const alice = await openClient(t, await keeping(t, '7d'))
    const { namespace, content } = alice
    const bytes = random.bytes(200_000)
    const { ino, inode } = await putFile(alice, 'file', bytes)
    await namespace.update(ino, (old) => ({
      ...old,
      size: 100_000,
      extents: old.extents.map((extent) => ({ ...extent, length: 100_000 })),
    }))
    t.match(await namespace.trash.use(), { replaced: 1, bytes: 0 }, 'a version costs a record')
    await namespace.trash.remove((await kept(alice)).map(({ id }) => id))
    await sweep(t, alice)
    t.same(
      await readFile(alice, 'file'),
      bytes.subarray(0, 100_000),
      'the version went, the file stays',
    )
    await namespace.update(ino, (old) => ({ ...old, size: 0, segments: [], extents: [] }))
    await sweep(t, alice)
    t.same(await content.read(inode, 0, 100_000), bytes.subarray(0, 100_000), 'the other way round')
  },
)

t.test('nothing is kept where the trash is off', async (t) => {
  const alice = await openClient(t, await startServers(t))
  await putFile(alice, 'file', random.bytes(10))
  await alice.namespace.unlink(rootIno, 'file')
  t.same(await kept(alice), [])
  await t.rejects(alice.namespace.names.node(trashIno), { code: 'stale' }, 'there is no folder')
  t.equal(await alice.namespace.trash.expire(), 0)
})

t.test('what one server alone says of the trash does not count', async (t) => {
  const proxies = await MessageProxies.open(t, await keeping(t, '7d'))
  const said = new Map<number, number>()
  proxies.watch(({ server, change }) => {
    const trashMs = said.get(server)
    if (trashMs !== undefined) change('status', (reply) => ({ ...reply, trashMs }))
  })
  const alice = await openClient(t, proxies)
  const { trash } = alice.namespace
  const keptMs = async (...times: readonly (readonly [server: number, ms: number])[]) => {
    said.clear()
    for (const [server, ms] of times) said.set(server, ms)
    await alice.cluster.ask(alice.cluster.up, 'status', () => ({}))
    return trash.keptMs
  }
  const week = 7 * 86_400_000
  t.equal(await keptMs([2, 0]), week)
  t.equal(await keptMs([2, 10 * week]), week)
  t.equal(await keptMs([0, 0], [1, 0], [2, 0]), 0)
  t.equal(await keptMs([0, 0], [1, 0], [2, 1_000]), 1_000)
})

t.test('a client that runs follows dfs.conf', async (t) => {
  const servers = await startServerProcesses(t)
  const alice = await openClient(t, servers)
  await setTrash(servers, '1h')
  await alice.space()
  await putFile(alice, 'file', random.bytes(10))
  await alice.namespace.unlink(rootIno, 'file')
  t.equal((await kept(alice)).length, 1, 'the folder was made for it')
  await setTrash(servers, undefined)
  await alice.space()
  await putFile(alice, 'file', random.bytes(10))
  await alice.namespace.unlink(rootIno, 'file')
  t.equal((await kept(alice)).length, 1, 'what is there stays, and nothing comes')
  t.match(await checkAll(alice), { flaws: [] })
})

t.test('a repair removes what was kept for its time, and no more', async (t) => {
  const servers = await keeping(t, '2s')
  const alice = await openClient(t, servers)
  for (const name of ['a', 'b', 'c']) await putFile(alice, name, random.bytes(1000))
  await alice.namespace.unlink(rootIno, 'a')
  await alice.namespace.unlink(rootIno, 'b')
  await sleep(systemClock, 2_100)
  await alice.namespace.unlink(rootIno, 'c')
  await sweep(t, alice)
  t.match(await kept(alice), [{ name: 'c' }])
  await putFile(alice, 'd', random.bytes(500))
  await alice.namespace.unlink(rootIno, 'd')
  t.match(await alice.namespace.trash.use(1), { removed: 1, bytes: 1000, more: 1 })
  t.match(await alice.namespace.trash.use(2), { removed: 2, bytes: 1500, more: 0 })
  await sleep(systemClock, 2_100)
  await sweep(t, alice)
  t.same(await kept(alice), [])
})

t.test('a file with several names is kept when its last one goes', async (t) => {
  const alice = await openClient(t, await keeping(t, '7d'))
  const { namespace } = alice
  const { ino } = await putFile(alice, 'a', random.bytes(10))
  await namespace.link(ino, rootIno, 'b')
  await namespace.unlink(rootIno, 'a')
  t.same(await kept(alice), [])
  await namespace.unlink(rootIno, 'b', () => true)
  t.match(await kept(alice), [{ name: 'b' }], 'also while it is open')
  await namespace.forget(ino)
  await sweep(t, alice)
  t.equal((await kept(alice)).length, 1)
})

t.test('a file that takes the place of another puts that into the trash', async (t) => {
  const alice = await openClient(t, await keeping(t, '7d'))
  const [one, two] = [random.bytes(10), random.bytes(20)]
  await putFile(alice, 'file', one)
  await alice.namespace.unlink(rootIno, 'file')
  await putFile(alice, 'file', two)
  const [first] = await kept(alice)
  const restoration = { kept: first?.id ?? '', parent: rootIno, name: 'file' }
  await t.rejects(alice.namespace.trash.restore({ ...restoration, mayReplace: false }), {
    code: 'exists',
  })
  await alice.namespace.trash.restore({ ...restoration, mayReplace: true })
  t.same(await readFile(alice, 'file'), one)
  const [second] = await kept(alice)
  t.same(second && (await contentOf(alice, second)), two)
  await alice.namespace.create(rootIno, 'folder', folderMode)
  const over = { kept: second?.id ?? '', parent: rootIno, name: 'folder', mayReplace: true }
  await t.rejects(alice.namespace.trash.restore(over), { code: 'isDirectory' })
})

t.test(
  'two clients remove and restore at the same time, and nothing is lost or there twice',
  async (t) => {
    const servers = await keeping(t, '7d')
    const clients = [await openClient(t, servers), await openClient(t, servers)] as const
    const [one, other] = clients
    for (let round = 0; round < 5; round += 1) {
      await putFile(one, 'file', random.bytes(10))
      await Promise.allSettled(clients.map((client) => client.namespace.unlink(rootIno, 'file')))
      const [file, ...more] = await kept(other)
      t.same(more, [])
      const id = file?.id ?? ''
      const outcomes = await Promise.allSettled(
        clients.map((client, index) =>
          client.namespace.trash.restore({
            kept: id,
            parent: rootIno,
            name: `${index}`,
            mayReplace: false,
          }),
        ),
      )
      t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
      const counts = await Promise.all(clients.map((client) => client.namespace.trash.remove([id])))
      t.same(counts, [0, 0])
      for (const name of ['0', '1']) {
        await one.namespace.unlink(rootIno, name).catch(() => undefined)
      }
      await one.namespace.trash.remove((await kept(one)).map((each) => each.id))
    }
    await until(() => one.cluster.up.length === 4)
    t.match(await checkAll(one), { flaws: [] })
  },
)

t.test('the quota counts what is kept, and the oldest goes before a write fails', async (t) => {
  const servers = await keeping(t, '7d')
  servers.configure((users) => withQuota(users, 'dfs.conf', 'alice', '8M'))
  const alice = await openClient(t, servers)
  const mebi = 2 ** 20
  const first = random.bytes(3 * mebi)
  await putFile(alice, 'first', first)
  await alice.namespace.unlink(rootIno, 'first')
  await sweep(t, alice)
  t.match(await alice.space(), { totalBytes: 8 * mebi, freeBytes: 5 * mebi })
  const [second, third] = [random.bytes(4 * mebi), random.bytes(3 * mebi)]
  await putFile(alice, 'second', second)
  t.equal((await kept(alice)).length, 1)
  await putFile(alice, 'third', third)
  t.same(await kept(alice), [], 'it had to go')
  t.same(await readFile(alice, 'second'), second)
  t.same(await readFile(alice, 'third'), third)
  await t.rejects(putFile(alice, 'fourth', random.bytes(2 * mebi)), { code: 'quota' })
  await alice.namespace.unlink(rootIno, 'second')
  const source = async function* () {
    yield random.bytes(40_000)
  }
  // Small contents come with the commit, which meets the quota first.
  await putFile(alice, 'filler', random.bytes(mebi - 10_000))
  const { content, inline } = await alice.content.stage(source())
  const attributes = {
    mode: fileType.file | 0o644,
    uid: 0,
    gid: 0,
    content,
    ...(inline && { inline }),
  }
  t.equal((await alice.namespace.create(rootIno, 'small', attributes)).inode.size, 40_000)
  t.same(await kept(alice), [])
})
