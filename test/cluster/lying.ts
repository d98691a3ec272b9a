/**
 * A server that shows what no client wrote, in the midst of three that do not: its registers, its epoch and its fence
 * are set by asking it alone, so that it answers as one that made them up.
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Client } from '../../src/dfc/client.js'
import type { Register } from '../../src/wire/records.js'
import {
  decodeInode,
  encodeEntry,
  encodeInode,
  entryKey,
  fileType,
  inodeKey,
  type Key,
  rootIno,
} from '../../src/wire/records.js'
import { noVersion, versionOf } from '../../src/wire/version.js'
import { UserOfDfc } from '../fixtures/client.js'
import { checkAll, healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { startServers, type TestServers, until } from '../fixtures/servers.js'

const liar = 2
const honest = [0, 1, 3]
const names = ['kept', 'rewritten', 'emptied', 'removed']
const contentOf = (name: string): Buffer => Buffer.from(`what was written to ${name}`)

/** Four servers with a few files, all of them repaired. */
async function begin(t: Test): Promise<{ servers: TestServers; client: Client }> {
  const servers = await startServers(t)
  const client = await openClient(t, servers)
  for (const name of names) await putFile(client, name, contentOf(name))
  t.match(await client.scheduler.heal(healNow), { left: 0, swept: true })
  return { servers, client }
}

/** All registers of a server, as text that can be compared. */
async function registersOf({ cluster }: Client, server: number): Promise<string[]> {
  const { reply } = await cluster.request(server, 'changes', {
    afterVersion: noVersion,
    afterKey: '',
    withValues: true,
    limit: 4096,
  })
  return reply.registers.map(
    ({ key, version, value }) => `${key} ${version} ${value?.toString('hex')}`,
  )
}

async function seenBy({ cluster }: Client, key: Key): Promise<Register> {
  const { reply } = await cluster.request(0, 'read', { keys: [key] })
  const { version = noVersion, value = null } = reply.registers[0]?.register ?? {}
  return { key, version, value }
}

/** Has the lying server show: one file with other content, one empty, one removed, and one that nobody wrote. */
async function tellLies(client: Client): Promise<void> {
  const { cluster, namespace } = client
  const newest = (counter: number) => versionOf(Date.now() + 60_000, counter, 'deadbeef')
  const inodeOf = async (name: string) => {
    const { inode, ino } = await namespace.names.lookup(rootIno, name)
    return { inode, key: inodeKey(ino), ino }
  }
  const kept = await inodeOf('kept')
  const rewritten = await inodeOf('rewritten')
  const emptied = await inodeOf('emptied')
  const empty = { ...emptied.inode, size: 0, segments: [], extents: [] }
  const suid = { ...kept.inode, mode: fileType.file | 0o4777, segments: [], extents: [], size: 0 }
  const evilIno = 2 ** 40 + 7
  const lies: Register[] = [
    {
      key: rewritten.key,
      version: newest(1),
      value: encodeInode({ ...kept.inode, size: kept.inode.size - 1 }),
    },
    { key: emptied.key, version: newest(2), value: encodeInode(empty) },
    { key: entryKey(rootIno, 'removed'), version: newest(3), value: null },
    { key: inodeKey(evilIno), version: newest(4), value: encodeInode(suid) },
    {
      key: entryKey(rootIno, 'invented'),
      version: newest(4),
      value: encodeEntry({ ino: evilIno, type: fileType.file >> 12 }),
    },
  ]
  await cluster.request(liar, 'install', { registers: lies })
}

/** Everything is as it was written, for a client that begins now. */
async function assertUntouched(t: Test, servers: TestServers): Promise<void> {
  const fresh = await openClient(t, servers)
  for (const name of names) {
    t.same(await readFile(fresh, name), contentOf(name), `${name} reads as it was written`)
  }
  for (let round = 0; round < 4; round += 1) {
    const { entries, more } = await fresh.namespace.names.list(rootIno, '')
    const listed = entries.map(({ name }) => name).sort()
    t.strictSame({ listed, more }, { listed: [...names].sort(), more: false })
  }
}

t.test('what one server makes up is neither copied by a repair nor shown to readers', async (t) => {
  const { servers, client } = await begin(t)
  const before = await registersOf(client, 0)
  await tellLies(client)
  await assertUntouched(t, servers)
  t.match(await client.scheduler.heal(healNow), { left: 0 })
  for (const server of honest) {
    t.strictSame(await registersOf(client, server), before, `server ${server} keeps what it had`)
  }
  await assertUntouched(t, servers)
  const { lone } = (await checkAll(client)).claims
  t.equal(lone.length, 5, 'verify names what one server alone shows')
  t.ok(lone.every(({ server }) => server === liar))
})

t.test('verify says which server shows what', async (t) => {
  const { servers, client } = await begin(t)
  await tellLies(client)
  const user = new UserOfDfc(join(t.testdirName, 'home'), servers.config())
  const { status, out } = await user.dfc('verify')
  t.equal(status, 1)
  t.match(out, /^DFS3 alone shows 5 registers: nothing is copied from it$/m)
  t.match(out, /^ {2}DFS3: invented in folder 1, of 20/m)
})

t.test('what one server makes up is overwritten, and keeps nobody from writing', async (t) => {
  const { servers, client } = await begin(t)
  await tellLies(client)
  const again = Buffer.from('written again')
  for (const name of ['rewritten', 'emptied', 'removed']) await putFile(client, name, again)
  await servers.kill(0)
  await until(() => client.cluster.up.length === 3)
  await putFile(client, 'kept', again)
  await servers.start(0)
  await until(() => client.cluster.up.length === 4)
  await client.scheduler.heal(healNow)
  for (const name of names) t.same(await readFile(client, name), again)
})

t.test('a new disk is filled with what two others show', async (t) => {
  const { servers, client } = await begin(t)
  const before = await registersOf(client, 1)
  await tellLies(client)
  await servers.kill(0)
  await until(() => client.cluster.up.length === 3)
  servers.wipe(0)
  await servers.start(0)
  await until(() => client.cluster.up.length === 4)
  const report = await client.scheduler.heal(healNow)
  t.strictSame(report.filledServers, [0])
  t.strictSame(await registersOf(client, 0), before)
  await assertUntouched(t, servers)
})

t.test(
  'an epoch and a fence that one server makes up stop neither writes nor a fill',
  async (t) => {
    const { servers, client } = await begin(t)
    const { cluster } = client
    await cluster.request(liar, 'epoch', { epoch: Number.MAX_SAFE_INTEGER })
    const fence = versionOf(Date.now() + 290_000, 0, 'deadbeef')
    await cluster.request(liar, 'fence', { fence, agreed: false })
    await putFile(client, 'after', contentOf('after'))
    const key = inodeKey((await client.namespace.names.lookup(rootIno, 'after')).ino)
    t.ok((await seenBy(client, key)).version < versionOf(Date.now() + 60_000, 0, '00000000'))
    await servers.kill(0)
    await until(() => cluster.up.length === 3)
    servers.wipe(0)
    await servers.start(0)
    await until(() => cluster.up.length === 4)
    t.strictSame((await client.scheduler.heal(healNow)).filledServers, [0])
    t.same(await readFile(client, 'after'), contentOf('after'))
    t.ok(decodeInode((await seenBy(client, key)).value ?? Buffer.alloc(0)).size > 0)
  },
)
