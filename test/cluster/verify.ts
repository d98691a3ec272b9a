import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { fileType, type Inode, inodeKey, rootIno } from '../../src/wire/records.js'
import { UserOfDfc } from '../fixtures/client.js'
import { checkAll, openClient, putFile } from '../fixtures/library.js'
import { MessageProxies } from '../fixtures/message-proxies.js'
import { entry, folder, inode, store, type Writes } from '../fixtures/odd-trees.js'
import { startServerProcesses, startServers, type TestServers } from '../fixtures/servers.js'

/** Flips a bit in every file of the server's pieces whose name ends so; returns how many. */
function rot(servers: TestServers, index: number, ending: string): number {
  const pieces = join(servers.folders[index] ?? '', 'alice', 'pieces')
  const files = readdirSync(pieces, { recursive: true, encoding: 'utf8' })
  const damaged = files.filter((file) => file.endsWith(ending))
  for (const file of damaged) {
    const path = join(pieces, file)
    const bytes = readFileSync(path)
    bytes[0] = (bytes[0] ?? 0) ^ 0x80
    writeFileSync(path, bytes)
  }
  return damaged.length
}

t.test('verify finds what is wrong, has it rewritten, and names what is lost', async (t) => {
  const servers = await startServerProcesses(t)
  const user = new UserOfDfc(join(t.testdirName, 'home'), servers.config())
  user.write('file', Buffer.alloc(400_000, 7))
  t.equal((await user.dfc('put', 'file')).status, 0)
  const clean = await user.dfc('verify')
  t.equal(clean.status, 0)
  t.match(clean.out, /^1 segments verified.*\n^Everything is as it should be$/m)

  const holders = [0, 1, 2, 3].filter((index) => rot(servers, index, '.3') > 0)
  t.equal(holders.length, 2, 'a piece has two copies')
  // One of the two is made good again by flipping the same bit back.
  rot(servers, holders[0] ?? 0, '.3')
  const found = await user.dfc('verify')
  t.equal(found.status, 1)
  t.match(found.out, /^1 copies of pieces are corrupt or missing$/m)
  t.match(found.out, /^Repaired: 0 left$/m)
  t.equal((await user.dfc('verify')).status, 0)

  for (const index of holders) rot(servers, index, '.3')
  const lost = await user.dfc('verify')
  t.equal(lost.status, 1)
  t.match(lost.out, /^lost: \/file: bytes 200000 to 299999$/m)
  t.match(lost.out, /^Repaired as far as possible: 1 left$/m)
  t.equal((await user.dfc('get', 'file', 'copy')).status, 1)

  // The rest stays readable.
  const client = await openClient(t, servers)
  const { inode } = await client.namespace.names.lookup(rootIno, 'file')
  t.same(await client.content.read(inode, 0, 200_000), Buffer.alloc(200_000, 7))
  t.same(await client.content.read(inode, 300_000, 100_000), Buffer.alloc(100_000, 7))
  const refused = await client.content.read(inode, 199_999, 2).catch((error: unknown) => error)
  t.match(refused, { errno: constants.errno.EIO })
})

const segment = (id: string, length = 100) => ({
  id: id.padStart(32, '0'),
  length,
  md5: '0'.repeat(32),
})
const slice = (at: number, offset: number, length: number, index = 0) => ({
  at,
  segment: index,
  offset,
  length,
})

/** A file in the root folder, with content that may be anything. */
function file(ino: number, name: string, some: Partial<Inode>): Writes {
  return { ...inode(ino, some), ...entry(rootIno, name, ino, fileType.file) }
}

/** Trees that none of our programs makes, by what verify says of them. */
const oddTrees: Readonly<Record<string, Writes>> = {
  '/nothing leads to nothing: "dfc rm" removes the name': entry(rootIno, 'nothing', 99),
  '/a/b/up leads to a folder that has its place elsewhere: "dfc rm" removes the name': {
    ...folder(rootIno, 'a', 10),
    ...folder(10, 'b', 11),
    ...entry(11, 'up', 10),
  },
  '/root leads to a folder that has its place elsewhere: "dfc rm" removes the name': entry(
    rootIno,
    'root',
    rootIno,
  ),
  'inode 12/y/x is below itself; no program reaches it': {
    ...folder(13, 'x', 12),
    ...folder(12, 'y', 13),
  },
  'inode 98/lone is a name in a folder that is not there; no program reaches it': {
    ...entry(98, 'lone', 14, fileType.file),
    ...inode(14, {}),
  },
  'inode 15 has no name; no program reaches it': inode(15, {}),
  'inode 16 is a folder without a name; no program reaches it': inode(16, {
    mode: fileType.folder | 0o755,
    parent: rootIno,
  }),
  '/type is not of the type that its name says: fetch what can be read of it, remove it, and store it anew':
    { ...inode(17, { mode: fileType.fifo | 0o644 }), ...entry(rootIno, 'type', 17, fileType.file) },
  '/links has 1 names and counts 3: fetch what can be read of it, remove it, and store it anew, under all of them':
    file(18, 'links', { nlink: 3 }),
  '/listed has an extent of a segment that it does not list: fetch what can be read of it, remove it, and store it anew':
    file(19, 'listed', { size: 9, extents: [slice(0, 0, 9)] }),
  '/order has extents that are empty, overlap or are out of order: fetch what can be read of it, remove it, and store it anew':
    file(20, 'order', {
      size: 100,
      segments: [segment('a')],
      extents: [slice(50, 0, 50), slice(0, 0, 80)],
    }),
  '/behind has an extent beyond the end of its segment: fetch what can be read of it, remove it, and store it anew':
    file(21, 'behind', { size: 100, segments: [segment('b', 50)], extents: [slice(0, 0, 100)] }),
  '/short has an extent beyond its end: fetch what can be read of it, remove it, and store it anew':
    file(22, 'short', { size: 5, segments: [segment('c')], extents: [slice(0, 0, 100)] }),
  '/long has a segment of a length that none can have: fetch what can be read of it, remove it, and store it anew':
    file(23, 'long', { size: 5, segments: [segment('d', 2 ** 32 - 1)], extents: [slice(0, 0, 5)] }),
  '/lost has content of which no server has anything: fetch what can be read of it, remove it, and store it anew':
    file(24, 'lost', { size: 100, segments: [segment('e')], extents: [slice(0, 0, 100)] }),
  [`/huge has ${2 ** 53 - 1} bytes, more than a file can have: fetch what can be read of it, remove it, and store it anew`]:
    file(25, 'huge', { size: 2 ** 53 - 1 }),
  '/link is a symbolic link with a target that none can have: fetch what can be read of it, remove it, and store it anew':
    {
      ...inode(26, { mode: fileType.symlink | 0o777, target: 'a\0b', size: 3 }),
      ...entry(rootIno, 'link', 26, fileType.symlink),
    },
  '/mode is of no type that there is: fetch what can be read of it, remove it, and store it anew': {
    ...inode(27, { mode: 0 }),
    ...entry(rootIno, 'mode', 27, 0),
  },
}

t.test('verify names what is wrong with names and files, and nothing else', async (t) => {
  const servers = await startServers(t)
  const client = await openClient(t, servers)
  const { namespace } = client
  const mode = fileType.folder | 0o755
  const good = await namespace.create(rootIno, 'good', { mode, uid: 0, gid: 0 })
  const { ino } = await putFile(client, 'one', Buffer.alloc(100_000, 1))
  await namespace.link(ino, good.ino, 'two')
  await namespace.createNameless(rootIno, { mode: fileType.file | 0o600, uid: 0, gid: 0 })
  t.same((await checkAll(client)).flaws, [])

  for (const writes of Object.values(oddTrees)) await store(client.cluster, writes)
  const { flaws } = await client.verify({ progress() {}, badCopy() {} })
  const found = flaws.map(({ where, what }) => `${where} ${what}`)
  for (const sentence of Object.keys(oddTrees)) t.ok(found.includes(sentence), sentence)
  const others = found.filter((sentence) => !(sentence in oddTrees))
  t.same(
    others.filter(
      (sentence) => !/of which no server has anything|13\/x\/y is below itself/.test(sentence),
    ),
    [],
  )

  const user = new UserOfDfc(join(t.testdirName, 'home'), servers.config())
  const { status, out } = await user.dfc('verify')
  t.equal(status, 1)
  t.match(out, new RegExp(`^${flaws.length} names or files are not as they can be$`, 'm'))
  t.match(out, /^wrong: \/nothing leads to nothing: "dfc rm" removes the name$/m)
  t.match(out, /^lost: \/lost: bytes 0 to 24$/m)
  t.match(out, /^Repaired as far as possible: \d+ left$/m)
  t.equal((await user.dfc('rm', 'nothing', 'a/b/up', 'root')).status, 0)
  t.notMatch((await user.dfc('verify')).out, /"dfc rm"/)
})

t.test('what one server makes up is no flaw', async (t) => {
  const servers = await startServers(t)
  const proxies = await MessageProxies.open(t, servers)
  proxies.watch(({ server, change }) => {
    if (server !== 0) return
    change('changes', (reply) => ({
      ...reply,
      registers: reply.registers.map((one) => {
        return one.key === inodeKey(rootIno) ? { ...one, key: inodeKey(77) } : one
      }),
    }))
  })
  const client = await openClient(t, proxies)
  t.same((await client.verify({ progress() {}, badCopy() {} })).flaws, [])
})
