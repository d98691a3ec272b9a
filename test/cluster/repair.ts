import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { sleep, systemClock, systemRandom } from '../../src/clock.js'
import type { Client } from '../../src/dfc/client.js'
import { build, wholeSlice } from '../../src/dfc/content/extents.js'
import { inlineContent, prepare } from '../../src/dfc/content/prepared-segment.js'
import type { Node } from '../../src/dfc/namespace/cache/node.js'
import { AccountIndex } from '../../src/dfs/index/account-index.js'
import { asDfsError } from '../../src/errors.js'
import { redirectNotices } from '../../src/log.js'
import { holdersOf, pairOf, rotationOf } from '../../src/wire/placement.js'
import { encodeEntry, entryKey, fileType, inodeKey, rootIno } from '../../src/wire/records.js'
import { noVersion } from '../../src/wire/version.js'
import { UserOfDfc } from '../fixtures/client.js'
import { sampleInode } from '../fixtures/inodes.js'
import { checkAll, clean, healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { MessageProxies } from '../fixtures/message-proxies.js'
import { startServerProcesses, type TestServers, until } from '../fixtures/servers.js'

const allUp = (client: Client): Promise<void> => until(() => client.cluster.up.length === 4)

/** As if the machine had been started anew since the server of this folder ran last. */
function pretendReboot(folder: string): void {
  const index = AccountIndex.open(join(folder, 'alice', 'index.db'))
  index.state.set('open', 'another boot')
  index.close()
}

t.test('a server that was away gets what it missed, and only that', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  for (let i = 0; i < 40; i += 1) await putFile(client, `old ${i}`, Buffer.alloc(3000, i))
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true })
  await servers.kill(2)
  await until(() => client.cluster.up.length === 3)
  for (let i = 0; i < 5; i += 1) await putFile(client, `new ${i}`, Buffer.alloc(9000 + i, i))
  await client.namespace.unlink(rootIno, 'old 7')
  await client.namespace.rename(rootIno, 'old 8', rootIno, 'moved', 'replace')
  await servers.start(2)
  await allUp(client)
  const report = await client.scheduler.heal(healNow)
  t.match(report, { left: 0, swept: true, lost: [], filledServers: [] })
  t.ok(
    report.registersCopied <= 15,
    `${report.registersCopied} registers for 5 files and 2 changes`,
  )
  t.equal(report.piecesCopied, 10, 'two pieces of each new file move home')
  t.match(await checkAll(client), clean)
  t.match(await client.scheduler.heal(healNow), { registersCopied: 0, piecesCopied: 0, left: 0 })
  await servers.kill(1, 3)
  t.same(await readFile(client, 'new 4'), Buffer.alloc(9004, 4), 'the pieces that moved home serve')
})

t.test('registers that fill many replies are copied as well', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const { namespace } = client
  const made = { mode: fileType.file | 0o644, uid: 0, gid: 0 }
  const files: Node[] = []
  for (let i = 0; i < 50; i += 1) files.push(await namespace.create(rootIno, `file ${i}`, made))
  await servers.kill(2)
  await until(() => client.cluster.up.length === 3)
  const value = systemRandom.bytes(60_000)
  for (const { ino } of files) {
    await namespace.update(ino, (inode) => ({ ...inode, attributes: [{ name: 'user.a', value }] }))
  }
  await servers.start(2)
  await allUp(client)
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true, lost: [] })
  t.match(await checkAll(client), clean)
})

t.test('a server with a new disk is filled, and votes only then', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const bytes = systemRandom.bytes(3_000_001)
  await putFile(client, 'large', bytes)
  for (let i = 0; i < 20; i += 1) await putFile(client, `small ${i}`, Buffer.alloc(100, i))
  await servers.kill(1)
  servers.wipe(1)
  await servers.start(1)
  await allUp(client)
  t.same(client.cluster.voters, [0, 2, 3])
  await putFile(client, 'meanwhile', Buffer.from('written without the blank one'))
  t.match(await client.scheduler.heal(healNow), {
    filledServers: [1],
    left: 0,
    swept: true,
    lost: [],
  })
  t.same(client.cluster.voters, [0, 1, 2, 3])
  t.match(await checkAll(client), clean)
  await servers.kill(0, 2)
  t.same(await readFile(client, 'large'), bytes)
  t.equal(`${await readFile(client, 'meanwhile')}`, 'written without the blank one')
})

t.test('a fill does not ask again for what one donor has missed', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const count = 60
  const set = async (byte: number): Promise<void> => {
    for (let i = 0; i < count; i += 1) await putFile(client, `file ${i}`, Buffer.alloc(100, byte))
  }
  await set(1)
  await servers.kill(2)
  await until(() => client.cluster.up.length === 3)
  await set(2)
  await servers.kill(3)
  servers.wipe(3)
  await servers.start(2)
  await servers.start(3)
  await allUp(client)
  const proxies = await MessageProxies.open(t, servers)
  const healer = await openClient(t, proxies)
  t.match(await healer.scheduler.heal(healNow), { filledServers: [3], left: 0, lost: [] })
  t.ok(proxies.count('read') < count, `${proxies.count('read')} reads`)
  t.match(await checkAll(healer), clean)
})

t.test('what is younger than its patience is left alone, and counted', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  await servers.kill(2)
  await until(() => client.cluster.up.length === 3)
  await putFile(client, 'young', Buffer.alloc(10))
  await servers.start(2)
  await allUp(client)
  const { young, ...report } = await client.scheduler.heal({ patienceMs: 600_000 })
  t.match(report, { registersCopied: 0, left: 0 })
  t.ok(young > 0, `${young} changes`)
})

t.test('a copy that was taken for bad is not given up when it is good', async (t) => {
  const proxies = await MessageProxies.open(t, await startServerProcesses(t))
  const client = await openClient(t, proxies)
  const { scheduler } = client
  await putFile(client, 'f', systemRandom.bytes(400_000))
  const { inode } = await client.namespace.names.lookup(rootIno, 'f')
  const [segment] = inode.segments
  if (segment === undefined) throw new Error('one segment')
  for (const piece of [1, 2, 3, 4]) {
    for (const server of holdersOf(piece, rotationOf(segment.md5))) {
      scheduler.noteBadCopy(server, segment, piece)
    }
  }
  t.match(await scheduler.heal(healNow), { left: 0, lost: [] })
  t.equal(proxies.count('dropPieces'), 0)
})

t.test('an older copy of a disk after a power cut is not believed', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const folder = servers.folders[1] ?? ''
  await putFile(client, 'kept', Buffer.from('first'))
  await client.sync()
  cpSync(folder, `${folder}.old`, { recursive: true })
  await putFile(client, 'kept', Buffer.from('second'))
  await putFile(client, 'later', Buffer.from('later'))
  await servers.kill(1)
  rmSync(folder, { recursive: true })
  cpSync(`${folder}.old`, folder, { recursive: true })
  pretendReboot(folder)
  await servers.start(1)
  await allUp(client)
  t.same(client.cluster.voters, [0, 2, 3], 'an unsure server does not vote')
  t.equal(client.cluster.stateOf(1), 'unsure')
  t.match(await client.scheduler.heal(healNow), { filledServers: [1], left: 0, swept: true })
  t.match(await checkAll(client), clean)
  await servers.kill(3)
  t.equal(`${await readFile(client, 'kept')}`, 'second')
  t.equal(`${await readFile(client, 'later')}`, 'later')
})

for (const how of ['while it ran', 'when it had been stopped'] as const) {
  t.test(`an older copy of a disk, made ${how}, is not believed`, async (t) => {
    const servers = await startServerProcesses(t)
    const client = await openClient(t, servers)
    const folder = servers.folders[1] ?? ''
    await putFile(client, 'kept', Buffer.from('first'))
    await putFile(client, 'removed', Buffer.from('gone'))
    t.match(await client.scheduler.heal(healNow), { left: 0, swept: true })
    if (how === 'while it ran') cpSync(folder, `${folder}.old`, { recursive: true })
    else {
      const ended = once(servers.process(1), 'exit')
      servers.signal(1, 'SIGTERM')
      await ended
      cpSync(folder, `${folder}.old`, { recursive: true })
      await servers.start(1)
      await allUp(client)
      t.equal(client.cluster.stateOf(1), 'voting', 'what was only stopped is believed')
    }
    await putFile(client, 'kept', Buffer.from('second'))
    await client.namespace.unlink(rootIno, 'removed')
    // Nobody remembers that it was removed.
    t.match(await client.scheduler.heal(healNow), { left: 0, swept: true })
    await servers.kill(1)
    rmSync(folder, { recursive: true })
    cpSync(`${folder}.old`, folder, { recursive: true })
    await servers.start(1)
    await allUp(client)
    t.equal(client.cluster.stateOf(1), 'unsure')
    t.match(await client.scheduler.heal(healNow), { filledServers: [1], left: 0, swept: true })
    t.match(await checkAll(client), clean)
    await servers.kill(3)
    t.equal(`${await readFile(client, 'kept')}`, 'second')
    await t.rejects(client.namespace.names.lookup(rootIno, 'removed'), { code: 'notFound' })
  })
}

t.test('after a power cut of all four they find one another again', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  for (let i = 0; i < 10; i += 1) await putFile(client, `file ${i}`, Buffer.alloc(5000, i))
  await client.sync()
  await servers.kill(0, 1, 2, 3)
  for (const folder of servers.folders) pretendReboot(folder)
  for (const index of [0, 1, 2, 3]) await servers.start(index)
  await allUp(client)
  t.same(client.cluster.voters, [])
  await t.rejects(readFile(client, 'file 1'), {
    message: /do not vote until .* "dfc heal --without NAME"$/,
  })
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true, lost: [] })
  t.match(await checkAll(client), clean)
  await putFile(client, 'after', Buffer.from('it goes on'))
  for (let i = 0; i < 10; i += 1) t.same(await readFile(client, `file ${i}`), Buffer.alloc(5000, i))
})

/** Puts files and syncs them, some while one of the servers is away. Returns their contents by their names. */
async function putSynced(
  servers: TestServers,
  client: Client,
): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>()
  const put = async (name: string, length: number): Promise<void> => {
    const bytes = Buffer.alloc(length, name)
    files.set(name, bytes)
    await putFile(client, name, bytes)
  }
  for (let index = 0; index < 5; index += 1) await put(`small ${index}`, 5_000)
  await put('large', 300_000)
  await client.sync()
  await servers.kill(0)
  for (let index = 0; index < 5; index += 1) await put(`without the first ${index}`, 5_000)
  await put('large without the first', 300_000)
  await client.namespace.unlink(rootIno, 'small 1')
  files.delete('small 1')
  await client.sync()
  await servers.start(0)
  return files
}

/** Ends all servers as a power cut does, and starts those of `back` again. */
async function cutPower(servers: TestServers, back: readonly number[]): Promise<void> {
  await servers.kill(0, 1, 2, 3)
  for (const folder of servers.folders) pretendReboot(folder)
  for (const index of back) await servers.start(index)
}

async function assertThere(
  t: Test,
  client: Client,
  files: ReadonlyMap<string, Buffer>,
): Promise<void> {
  for (const [name, bytes] of files) t.ok((await readFile(client, name)).equals(bytes), name)
  await t.rejects(client.namespace.names.lookup(rootIno, 'small 1'), { code: 'notFound' })
}

for (const wiped of [0, 2]) {
  t.test(
    `a power cut of all four that also destroys disk ${wiped + 1} loses nothing`,
    async (t) => {
      const servers = await startServerProcesses(t)
      const client = await openClient(t, servers)
      const files = await putSynced(servers, client)
      await cutPower(servers, [])
      servers.wipe(wiped)
      for (const index of [0, 1, 2, 3]) await servers.start(index)
      await allUp(client)
      t.same(client.cluster.voters, [])
      const report = await client.scheduler.heal(healNow)
      t.match(report, { left: 0, lost: [] })
      t.ok(report.filledServers.includes(wiped))
      t.match(await checkAll(client), clean)
      await assertThere(t, client, files)
      for (const index of [0, 1, 2, 3].filter((one) => one !== wiped)) {
        await servers.kill(index)
        await assertThere(t, client, files)
        await servers.start(index)
        await allUp(client)
      }
    },
  )
}

t.test('a power cut of one server while another one is filled ends in order', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const files = await putSynced(servers, client)
  await allUp(client)
  t.match(await client.scheduler.heal(healNow), { left: 0 })
  await servers.kill(1, 3)
  servers.wipe(1)
  pretendReboot(servers.folders[3] ?? '')
  for (const index of [1, 3]) await servers.start(index)
  await allUp(client)
  t.same(client.cluster.voters, [0, 2])
  t.match(await client.scheduler.heal(healNow), { left: 0, lost: [] })
  t.match(await checkAll(client), clean)
  await assertThere(t, client, files)
})

t.test('after a power cut three go on without a fourth only when they are told to', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const files = await putSynced(servers, client)
  await cutPower(servers, [0, 1, 3])
  await until(() => client.cluster.up.length === 3)
  await t.rejects(client.scheduler.heal(healNow), { message: /"dfc heal --without NAME"$/ })
  t.same(client.cluster.voters, [])
  const alice = new UserOfDfc(`${t.testdirName}-alice`, servers.config())
  t.match(await alice.dfc('status'), { status: 2, out: /"dfc heal --without NAME"/ })
  t.match(await alice.dfc('heal'), { status: 1, problems: /"dfc heal --without NAME"/ })
  t.match(await alice.dfc('heal', '--without', 'DFS9'), { status: 1, problems: /DFS1, DFS2, DFS3/ })
  t.match(await alice.dfc('heal', '--without', 'DFS3'), {
    out: /DFS1 was filled\nDFS2 was filled\nDFS4 was filled\n/,
  })
  await client.cluster.refreshBlank()
  t.same(client.cluster.voters, [0, 1, 3])
  await assertThere(t, client, files)
  await putFile(client, 'after', Buffer.from('it goes on'))
  await servers.start(2)
  await allUp(client)
  t.match(await client.scheduler.heal(healNow), { filledServers: [2], left: 0, lost: [] })
  t.match(await checkAll(client), clean)
  await servers.kill(0)
  await assertThere(t, client, files)
  t.equal(`${await readFile(client, 'after')}`, 'it goes on')
})

for (const hasRebooted of [false, true]) {
  const what = hasRebooted ? 'whose machine was started anew' : 'that was restarted'
  t.test(`a sync that a server ${what} has not answered`, async (t) => {
    const servers = await startServerProcesses(t)
    const cluster = await servers.connect(t, servers.config('alice', 30_000))
    servers.signal(1, 'SIGSTOP')
    const syncing = cluster.request(1, 'sync', { segments: [] }).then(
      () => 'synced',
      (error: unknown) => asDfsError(error).code,
    )
    // The first of four that is lost is not waited for: the others go on without it.
    await servers.kill(0, 2, 3)
    await until(() => cluster.up.length === 1)
    await servers.kill(1)
    if (hasRebooted) pretendReboot(servers.folders[1] ?? '')
    for (const index of [0, 1, 2, 3]) await servers.start(index)
    // It may have lost what it had answered, and only a repair can tell.
    t.equal(await syncing, hasRebooted ? 'down' : 'synced')
  })
}

t.test('what was synced is on the disk, also while it is in no index', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  await putFile(client, 'first', Buffer.from('first'))
  await client.sync()
  // Now nothing is only in the logs any more.
  await client.cluster.ask([0, 1, 2, 3], 'status', () => ({}))
  for (const folder of servers.folders) cpSync(folder, `${folder}.old`, { recursive: true })
  const inline = prepare(Buffer.alloc(5000, 2), systemRandom)
  const content = build(5000, [wholeSlice(inline.segment)])
  const attributes = { mode: fileType.file | 0o644, uid: 0, gid: 0, content, inline }
  const { namespace } = client
  await namespace.create(rootIno, 'second', attributes)
  await client.sync()
  const node = await namespace.create(rootIno, 'third', {
    mode: attributes.mode,
    uid: 0,
    gid: 0,
  })
  const times = { mtime: node.inode.mtime, ctime: node.inode.ctime }
  const more = prepare(Buffer.alloc(77, 3), systemRandom)
  const written = build(77, [wholeSlice(more.segment)])
  const how = { inline: more, onDisk: true }
  await namespace.writeContent(node.ino, node, written, times, how)
  await servers.kill(0, 1, 2, 3)
  for (const folder of servers.folders) {
    const log = join(folder, 'alice', 'votes')
    const votes = readFileSync(log)
    rmSync(folder, { recursive: true })
    cpSync(`${folder}.old`, folder, { recursive: true })
    writeFileSync(log, votes)
    pretendReboot(folder)
  }
  for (const index of [0, 1, 2, 3]) await servers.start(index)
  await allUp(client)
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true, lost: [] })
  t.match(await checkAll(client), clean)
  t.equal(`${await readFile(client, 'first')}`, 'first')
  t.same(await readFile(client, 'second'), Buffer.alloc(5000, 2))
  t.same(await readFile(client, 'third'), Buffer.alloc(77, 3))
})

t.test('rot is served around and rewritten', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const files: { node: Node; name: string; bytes: Buffer }[] = []
  for (let i = 0; i < 3; i += 1) {
    const bytes = systemRandom.bytes(400_000)
    files.push({ node: await putFile(client, `file ${i}`, bytes), name: `file ${i}`, bytes })
  }
  const damages: ((file: string) => void)[] = [
    (file) => {
      const bytes = readFileSync(file)
      bytes[77] = (bytes[77] ?? 0) ^ 1
      writeFileSync(file, bytes)
    },
    (file) => truncateSync(file, 1000),
    (file) => unlinkSync(file),
  ]
  for (const [index, damage] of damages.entries()) {
    const segment = files[index]?.node.inode.segments[0]
    if (segment === undefined) throw new Error('no segment')
    const [piece] = pairOf(index, rotationOf(segment.md5))
    damage(servers.pieceFile(index, segment.id, piece))
  }
  const bad: string[] = []
  const report = await client.verify({
    progress() {},
    badCopy(server, segment, piece) {
      bad.push(`${server}`)
      client.scheduler.noteBadCopy(server, segment, piece)
    },
  })
  t.equal(report.bad, 3, 'verify finds flipped, truncated and deleted copies')
  t.same(bad.sort(), ['0', '1', '2'])
  for (const { name, bytes } of files) t.ok((await readFile(client, name)).equals(bytes), name)
  const lines: string[] = []
  redirectNotices((line, level) => lines.push(`${level} ${line}`))
  t.match(await client.scheduler.heal(healNow), { left: 0 })
  const replaced = lines.filter((line) => line.includes('written again')).sort()
  t.match(replaced, [
    /^info .* was missing on DFS3: written again$/,
    /^warning .* was corrupt on DFS[12]: written again$/,
    /^warning .* was corrupt on DFS[12]: written again$/,
  ])
  t.match(await checkAll(client), clean)
})

t.test('files that are gone when a server starts are missed without being read', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const { inode } = await putFile(client, 'f', systemRandom.bytes(400_000))
  const [segment] = inode.segments
  if (segment === undefined) throw new Error('one segment')
  await servers.kill(1)
  const files = pairOf(1, rotationOf(segment.md5)).map((piece) =>
    servers.pieceFile(1, segment.id, piece),
  )
  for (const file of files) unlinkSync(file)
  await servers.start(1)
  await allUp(client)
  // The server looks for them after its first sweep, and the next repair finds what it misses.
  let repairs = 0
  for (; !files.every((file) => existsSync(file)) && repairs < 50; repairs += 1) {
    t.match(await client.scheduler.heal(healNow), { left: 0, lost: [] })
    await sleep(systemClock, 100)
  }
  t.ok(repairs < 50, `${repairs} repairs`)
  t.match(await checkAll(client), clean)
})

t.test('what a client left undecided when it died is finished by the repair', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  await putFile(client, 'a', Buffer.from('a'))
  // Votes on two servers and a client that is never heard of again: neither is it committed.
  const { cluster } = client
  const id = cluster.versions.next()
  const key = `e${rootIno}/abandoned`
  const body = {
    writes: [{ key, value: Buffer.from('0000000000000007', 'hex') }],
    preconditions: [{ key, absent: true, version: '0'.repeat(24) }],
    emptyFolders: [],
  }
  const value = Buffer.concat([Buffer.from('0000000000000007', 'hex'), Buffer.from([8])])
  const whole = { ...body, writes: [{ key, value }] }
  for (const server of [0, 1]) {
    const { reply } = await cluster.request(server, 'commit', {
      id,
      epoch: cluster.epochs()[server] ?? 0,
      settles: [],
      body: whole,
      pieces: [],
    })
    t.equal(reply.outcome, 'yes')
  }
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true })
  t.match(await checkAll(client), clean)
  await t.rejects(client.namespace.names.lookup(rootIno, 'abandoned'), { code: 'notFound' })
})

t.test('what a ballot commits from two votes is whole, for every rotation', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const { cluster } = client
  const folder = await client.namespace.names.node(rootIno)
  const seen = new Map<number, { name: string; bytes: Buffer }>()
  while (seen.size < 4) {
    const bytes = systemRandom.bytes(5000)
    const prepared = prepare(bytes, systemRandom)
    if (seen.has(prepared.rotation)) continue
    const name = `rotation ${prepared.rotation}`
    seen.set(prepared.rotation, { name, bytes })
    const ino = 1000 + prepared.rotation
    const content = build(bytes.length, [wholeSlice(prepared.segment)])
    const file = fileType.file | 0o644
    const absent = { absent: true, version: noVersion }
    const body = {
      writes: [
        { key: entryKey(rootIno, name), value: encodeEntry({ ino, type: file >> 12 }) },
        { key: inodeKey(ino), value: sampleInode({ mode: file, ...content }) },
      ],
      preconditions: [
        { key: entryKey(rootIno, name), ...absent },
        { key: inodeKey(ino), ...absent },
        { key: inodeKey(rootIno), absent: false, version: folder.version },
      ],
      emptyFolders: [],
    }
    const id = cluster.versions.next()
    // The commit reaches two neighbours, and its client is never heard of again.
    for (const server of [0, 1]) {
      const { headers, payload } = inlineContent([prepared], server, new Set())
      const fields = {
        id,
        epoch: cluster.epochs()[server] ?? 0,
        settles: [],
        body,
        pieces: headers,
      }
      const { reply } = await cluster.request(server, 'commit', fields, payload)
      t.equal(reply.outcome, 'yes')
    }
  }
  // One that may have voted cannot be asked, so what the two hold has to be committed.
  await servers.kill(2)
  await until(() => cluster.up.length === 3)
  for (const { name, bytes } of seen.values()) t.same(await readFile(client, name), bytes, name)
  await servers.start(2)
  await allUp(client)
  t.match(await client.scheduler.heal(healNow), { left: 0, lost: [] })
  t.match(await checkAll(client), clean)
})

t.test('a write upon content that was collected meanwhile fails, and harms nothing', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const other = await openClient(t, servers)
  const base = await putFile(client, 'log', Buffer.alloc(100_000, 1))
  await putFile(other, 'log', Buffer.alloc(50_000, 2))
  t.match(await other.scheduler.heal(healNow), { left: 0, swept: true })
  // The servers collect in steps between their requests, and a busy machine lets them wait.
  const endMs = performance.now() + 20_000
  let collected = false
  while (!collected && performance.now() < endMs) {
    collected = (await checkAll(other)).garbage === 0
  }
  t.ok(collected)
  const times = { mtime: systemClock.time(), ctime: systemClock.time() }
  const { namespace } = client
  await t.rejects(namespace.writeContent(base.ino, base, base.inode, times), { code: 'stale' })
  t.same(await readFile(other, 'log'), Buffer.alloc(50_000, 2))
})

t.test('a piece that is lost keeps no other piece from its second copy', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const { inode } = await putFile(client, 'file', systemRandom.bytes(400_000))
  const [segment] = inode.segments
  if (segment === undefined) throw new Error('no segment')
  const rotation = rotationOf(segment.md5)
  const drop = (piece: number, copies: number): void => {
    for (const server of holdersOf(piece, rotation).slice(0, copies)) {
      unlinkSync(servers.pieceFile(server, segment.id, piece))
    }
  }
  drop(1, 2)
  drop(2, 1)
  drop(4, 1)
  const found = await client.verify({ progress() {}, badCopy() {} })
  t.match(found, { bad: 4, lost: [{ segment, piece: 1 }] })
  t.match(await client.scheduler.heal(healNow), { left: 1, lost: [{ segment, piece: 1 }] })
  t.match(await checkAll(client), { bad: 0, missing: 2, lost: [{ segment, piece: 1 }] })
})
