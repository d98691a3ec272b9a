import { constants } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { compareTimes, sleep, systemClock, type Time } from '../../../src/clock.js'
import { isError } from '../../../src/errors.js'
import {
  accessAcl,
  aclTags,
  defaultAcl,
  formatAcl,
  noId,
  parseAcl,
} from '../../../src/fuse/vfs/acl.js'
import type { Filesystem } from '../../../src/fuse/vfs/filesystem.js'
import type { Handle } from '../../../src/fuse/vfs/open-file.js'
import { seek } from '../../../src/fuse/vfs/seek.js'
import { fileType, rootIno } from '../../../src/wire/records.js'
import { attributesOf, filesystemOf } from '../../fixtures/drafts.js'
import { textOf } from '../../fixtures/lent.js'
import { openClient } from '../../fixtures/library.js'
import { startServers, until } from '../../fixtures/servers.js'

t.setTimeout(120_000)
const { O_APPEND, O_DSYNC, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC } = constants
const caller = { uid: 1000, gid: 1000, pid: 0 }
const servers = await startServers(t)
const client = await openClient(t, servers)
const filesystem = filesystemOf(client, servers)
const elsewhere = filesystemOf(await openClient(t, servers), servers)

/** Waits until any clock shows a later time. */
const pass = (): Promise<void> => sleep(systemClock, 3)

async function make(name: string, mode = fileType.file | 0o644): Promise<number> {
  return (await filesystem.make(rootIno, name, mode, caller)).ino
}

/** Opens a file as the mount does: by a new lookup, repeated once on ESTALE. */
async function open(on: Filesystem, name: string, flags: number): Promise<Handle> {
  const once = async (): Promise<Handle> => {
    const node = await on.lookup(rootIno, name)
    return (await on.openNode(node, name, flags)).handle
  }
  return once().catch((error: unknown) => {
    if (!isError(error, 'stale')) throw error
    return once()
  })
}

async function close(on: Filesystem, handle: Handle): Promise<void> {
  await on.flush(handle)
  await on.close(handle)
}

async function write(on: Filesystem, name: string, text: string, flags = O_RDWR): Promise<void> {
  const handle = await open(on, name, flags)
  await on.write(handle, 0, Buffer.from(text))
  await close(on, handle)
}

async function read(on: Filesystem, name: string): Promise<string> {
  const handle = await open(on, name, O_RDONLY)
  const text = textOf(await on.read(handle, 0, 1_000_000))
  await on.close(handle)
  return text
}

t.test('an open in another mount sees what was closed in this one', async (t) => {
  await make('one')
  await write(filesystem, 'one', 'first')
  t.equal(await read(elsewhere, 'one'), 'first')
  await write(elsewhere, 'one', 'second')
  t.equal(await read(filesystem, 'one'), 'second')
})

t.test('writes are visible in their mount at once, and in others after the close', async (t) => {
  await make('two')
  const writer = await open(filesystem, 'two', O_RDWR)
  await filesystem.write(writer, 0, Buffer.from('words'))
  t.equal(await read(filesystem, 'two'), 'words')
  t.equal(await read(elsewhere, 'two'), '')
  await close(filesystem, writer)
  t.equal(await read(elsewhere, 'two'), 'words')
})

t.test('a reader goes on in the version that it began with', async (t) => {
  await make('three')
  await write(filesystem, 'three', 'a'.repeat(1000))
  const reader = await open(filesystem, 'three', O_RDONLY)
  t.equal(textOf(await filesystem.read(reader, 0, 500)), 'a'.repeat(500))
  await write(elsewhere, 'three', 'b'.repeat(1000), O_RDWR | O_TRUNC)
  t.equal(await read(filesystem, 'three'), 'b'.repeat(1000), 'a new open sees the new version')
  t.equal(textOf(await filesystem.read(reader, 500, 500)), 'a'.repeat(500))
  await filesystem.close(reader)
})

t.test('O_DSYNC holds also where the pages of the kernel are not used', async (t) => {
  await make('synced')
  await write(filesystem, 'synced', 'a'.repeat(1000))
  const reader = await open(filesystem, 'synced', O_RDONLY)
  t.equal(textOf(await filesystem.read(reader, 0, 500)), 'a'.repeat(500))
  await write(elsewhere, 'synced', 'b', O_RDWR | O_TRUNC)
  const writer = await open(filesystem, 'synced', O_RDWR | O_DSYNC)
  t.ok(writer.direct)
  await filesystem.write(writer, 1, Buffer.from('c'))
  t.equal(await read(elsewhere, 'synced'), 'bc')
  await filesystem.truncateOpen(writer, 1)
  t.equal(await read(elsewhere, 'synced'), 'b')
  await filesystem.allocate(writer, 0, 0, 3, caller)
  t.equal(await read(elsewhere, 'synced'), 'b\0\0')
  await close(filesystem, writer)
  await filesystem.close(reader)
})

t.test('a reader at the end goes on in what was appended elsewhere', async (t) => {
  await make('log')
  await write(filesystem, 'log', 'one\n')
  const reader = await open(filesystem, 'log', O_RDONLY)
  t.equal(textOf(await filesystem.read(reader, 0, 100)), 'one\n')
  await write(elsewhere, 'log', 'two\n', O_RDWR | O_APPEND)
  await read(filesystem, 'log')
  t.equal(textOf(await filesystem.read(reader, 4, 100)), 'two\n')
  await filesystem.close(reader)
})

t.test('appends go to the end, whatever position is given', async (t) => {
  await make('four')
  await write(filesystem, 'four', 'abc')
  await write(filesystem, 'four', 'def', O_RDWR | O_APPEND)
  t.equal(await read(elsewhere, 'four'), 'abcdef')
})

t.test('a file that loses its name while it is open lives until it is closed', async (t) => {
  const ino = await make('five')
  await write(filesystem, 'five', 'kept')
  const handle = await open(filesystem, 'five', O_RDWR)
  await filesystem.unlink(rootIno, 'five')
  await t.rejects(elsewhere.lookup(rootIno, 'five'), { code: 'notFound' })
  await filesystem.write(handle, 4, Buffer.from(' on'))
  t.equal(textOf(await filesystem.read(handle, 0, 100)), 'kept on')
  t.match(await attributesOf(filesystem, handle.file.ino), { nlink: 0, size: 7 })
  await close(filesystem, handle)
  await t.rejects(client.namespace.names.node(ino, true), { code: 'stale' }, 'then its inode goes')
})

t.test('a file that was made without a name is stored when it gets one', async (t) => {
  const { handle } = await filesystem.openNameless(rootIno, fileType.file | 0o640, O_RDWR, caller)
  const { ino } = handle.file
  t.match(await attributesOf(filesystem, ino), { nlink: 0, size: 0, uid: 1000, gid: 1000 })
  await filesystem.write(handle, 0, Buffer.from('text'))
  t.match(await filesystem.link(ino, rootIno, 'named'), {
    ino,
    inode: { nlink: 1, size: 4 },
  })
  t.equal(await read(elsewhere, 'named'), 'text', 'also while it is open')
  t.match(await filesystem.link(ino, rootIno, 'named too'), { inode: { nlink: 2 } })
  await filesystem.write(handle, 4, Buffer.from(' and more'))
  await close(filesystem, handle)
  t.equal(await read(elsewhere, 'named too'), 'text and more')
  const { version } = await client.namespace.names.node(ino, true)
  await client.namespace.renewKept(0)
  t.equal((await client.namespace.names.node(ino, true)).version, version, 'it needs no renewal')
})

t.test(
  'a file without a name is renewed while it is open, and goes with its handles',
  async (t) => {
    const mode = fileType.file | 0o600
    const { handle } = await filesystem.openNameless(rootIno, mode, O_RDWR, caller)
    const { ino } = handle.file
    const again = await filesystem.open(ino, O_RDWR, caller)
    await filesystem.write(handle, 0, Buffer.from('text'))
    await close(filesystem, handle)
    const { version, inode } = await client.namespace.names.node(ino, true)
    t.match(inode, { nlink: 0, size: 4 }, 'a close stores it: it may still get a name')
    await client.namespace.renewKept(0)
    t.ok((await client.namespace.names.node(ino, true)).version > version)
    t.equal(textOf(await filesystem.read(again.handle, 0, 9)), 'text')
    await close(filesystem, again.handle)
    await t.rejects(client.namespace.names.node(ino, true), { code: 'stale' })
    await t.rejects(filesystem.link(ino, rootIno, 'too late'), { code: 'notFound' })
  },
)

t.test(
  'a file that has lost its last name, or was opened with O_EXCL, cannot be linked',
  async (t) => {
    const mode = fileType.file | 0o600
    const once = await filesystem.openNameless(rootIno, mode, O_RDWR, caller)
    const never = await filesystem.openNameless(rootIno, mode, O_RDWR | O_EXCL, caller)
    await filesystem.link(once.handle.file.ino, rootIno, 'once')
    await filesystem.unlink(rootIno, 'once')
    for (const { handle } of [once, never]) {
      const { ino } = handle.file
      await filesystem.write(handle, 0, Buffer.from('text'))
      await t.rejects(filesystem.link(ino, rootIno, 'again'), { code: 'notFound' })
      t.match(await attributesOf(filesystem, ino), { nlink: 0, size: 4 })
      await close(filesystem, handle)
      await t.rejects(client.namespace.names.node(ino, true), { code: 'stale' })
    }
    await t.rejects(elsewhere.lookup(rootIno, 'again'), { code: 'notFound' })
  },
)

t.test('a file without a name has the owner and mode of one that is made there', async (t) => {
  const folder = await make('of the group', fileType.folder | 0o2775)
  const maker = { uid: 5, gid: 6, pid: 0, umask: 0o027 }
  const opened = await filesystem.openNameless(folder, fileType.file | 0o666, O_RDWR, maker)
  const { inode } = opened.handle.file.node
  t.match(inode, { mode: fileType.file | 0o640, uid: 5, gid: 1000 })
  await close(filesystem, opened.handle)
  await filesystem.lookup(rootIno, 'of the group')
  await filesystem.rmdir(rootIno, 'of the group')
  const late = filesystem.openNameless(folder, fileType.file | 0o666, O_RDWR, maker)
  await t.rejects(late, { code: 'notPermitted' })
})

t.test('a time that was set is not changed by the close', async (t) => {
  const ino = await make('six')
  const handle = await open(filesystem, 'six', O_RDWR)
  await filesystem.write(handle, 0, Buffer.from('x'))
  const long = { seconds: 1_000_000, nanoseconds: 5 }
  await filesystem.metadata.setTimes(ino, undefined, long)
  await close(filesystem, handle)
  t.same((await elsewhere.lookup(rootIno, 'six')).inode.mtime, long)
})

t.test('every change of attributes shows in the ctime, also while a file is written', async (t) => {
  const ino = await make('changing')
  const handle = await open(filesystem, 'changing', O_RDWR)
  const ctime = async (): Promise<Time> => (await attributesOf(filesystem, ino)).ctime
  const long = { seconds: 1_000_000, nanoseconds: 5 }
  const changes: Readonly<Record<string, () => Promise<unknown>>> = {
    write: () => filesystem.write(handle, 0, Buffer.from('x')),
    futimens: () => filesystem.metadata.setTimes(ino, long, long),
    fchmod: () => filesystem.metadata.setMode(ino, 0o600),
    fchown: () => filesystem.metadata.setOwner(ino, 5, 6),
    fsetxattr: () => filesystem.metadata.setAttribute(ino, 'user.a', Buffer.from('b'), 0),
    link: () => filesystem.link(ino, rootIno, 'changing too'),
    rename: () =>
      filesystem.rename(rootIno, 'changing too', rootIno, 'changing as well', 'replace'),
    unlink: () => filesystem.unlink(rootIno, 'changing as well'),
    ftruncate: () => filesystem.truncateOpen(handle, 5),
  }
  for (const [what, change] of Object.entries(changes)) {
    const before = await ctime()
    await pass()
    await change()
    t.ok(compareTimes(await ctime(), before) > 0, what)
  }
  await close(filesystem, handle)
})

t.test('no time goes on by itself when a file is closed', async (t) => {
  const ino = await make('closing')
  const handle = await open(filesystem, 'closing', O_RDWR)
  const times = async (on: Filesystem): Promise<readonly Time[]> => {
    const { mtime, ctime } = await attributesOf(on, ino)
    return [mtime, ctime]
  }
  await filesystem.write(handle, 0, Buffer.from('x'))
  const written = await times(filesystem)
  await pass()
  await filesystem.flush(handle)
  t.same(await times(filesystem), written)
  await filesystem.write(handle, 1, Buffer.from('y'))
  await pass()
  await filesystem.metadata.setMode(ino, 0o600)
  const changed = await times(filesystem)
  await pass()
  await close(filesystem, handle)
  t.same(await times(filesystem), changed)
  t.same(await times(elsewhere), changed, 'elsewhere it is the same')
})

t.test('attributes set elsewhere survive a close here', async (t) => {
  const ino = await make('seven')
  const handle = await open(filesystem, 'seven', O_RDWR)
  await filesystem.write(handle, 0, Buffer.from('x'))
  await elsewhere.metadata.setMode(ino, 0o600)
  await close(filesystem, handle)
  t.match((await elsewhere.lookup(rootIno, 'seven')).inode, {
    mode: fileType.file | 0o600,
    size: 1,
  })
})

t.test('a write by another user than root clears the special bits', async (t) => {
  await make('eight', fileType.file | 0o4755)
  const handle = await open(filesystem, 'eight', O_RDWR)
  await filesystem.write(handle, 0, Buffer.from('x'), false, caller)
  await close(filesystem, handle)
  t.equal((await elsewhere.lookup(rootIno, 'eight')).inode.mode, fileType.file | 0o755)
})

t.test('copies a range without moving bytes', async (t) => {
  await make('source')
  await make('target')
  await write(filesystem, 'source', '0123456789')
  const source = await open(filesystem, 'source', O_RDONLY)
  const target = await open(filesystem, 'target', O_RDWR)
  t.equal(await filesystem.copyRange(source, 2, target, 1, 100), 8, 'as much as there is')
  t.equal(await filesystem.copyRange(source, 10, target, 0, 1), 0, 'nothing at the end')
  await close(filesystem, source)
  await close(filesystem, target)
  t.equal(await read(elsewhere, 'target'), '\x0023456789')
  const nodes = await Promise.all(['source', 'target'].map((n) => elsewhere.lookup(rootIno, n)))
  const [one, two] = nodes.map(({ inode }) => inode.segments[0]?.id)
  t.equal(one, two, 'they share the segment')
})

t.test('knows data from holes, and makes holes', async (t) => {
  await make('sparse')
  const handle = await open(filesystem, 'sparse', O_RDWR)
  await filesystem.write(handle, 1000, Buffer.alloc(1000, 1))
  const expect = (t: Test, when: string): void => {
    t.equal(seek(handle, 0, 'data'), 1000, when)
    t.equal(seek(handle, 0, 'hole'), 0)
    t.equal(seek(handle, 1500, 'hole'), 2000)
    t.equal(seek(handle, 1500, 'data'), 1500)
    t.throws(() => seek(handle, 2000, 'data'), { code: 'noSuchOffset' })
  }
  expect(t, 'before the commit')
  await filesystem.flush(handle)
  expect(t, 'and after it')
  await filesystem.allocate(handle, 3, 1200, 300, caller)
  t.equal(seek(handle, 1200, 'data'), 1500)
  await filesystem.allocate(handle, 0, 0, 5000, caller)
  t.equal((await attributesOf(filesystem, handle.file.ino)).size, 5000)
  await filesystem.allocate(handle, 1, 0, 9000, caller)
  t.equal((await attributesOf(filesystem, handle.file.ino)).size, 5000, 'FALLOC_FL_KEEP_SIZE')
  await t.rejects(filesystem.allocate(handle, 8, 0, 1, caller), { code: 'unsupported' })
  await close(filesystem, handle)
})

t.test('a name may end like that of an incomplete file', async (t) => {
  await make('twin')
  await write(filesystem, 'twin', 'plain')
  await t.rejects(filesystem.lookup(rootIno, 'twin [incomplete]'), { code: 'notFound' })
  await make('twin [incomplete]')
  await write(filesystem, 'twin [incomplete]', 'literal')
  t.equal(await read(elsewhere, 'twin'), 'plain')
  t.equal(await read(elsewhere, 'twin [incomplete]'), 'literal')
})

t.test('a close reports what could not be stored, and the last one keeps it', async (t) => {
  await make('lost')
  const handle = await open(filesystem, 'lost', O_RDWR)
  await filesystem.write(handle, 0, Buffer.from('typed'))
  await servers.kill(1, 3)
  await until(() => client.cluster.voters.length === 2)
  await t.rejects(filesystem.flush(handle), { code: 'readOnly' })
  await t.rejects(filesystem.flush(handle), { code: 'readOnly' }, 'each close says so')
  await filesystem.close(handle)
  const recovery = join(servers.folders[0] ?? '', '..', 'recovery')
  const [file] = await readdir(recovery)
  t.match(file, /^lost\./)
  t.equal(await readFile(join(recovery, file ?? ''), 'utf8'), 'typed')
  await Promise.all([servers.start(1), servers.start(3)])
  await until(() => client.cluster.voters.length === 4)
})

t.test('an open during a failing last close does not see the data that is given up', async (t) => {
  await make('given-up')
  await write(filesystem, 'given-up', 'stored')
  const handle = await open(filesystem, 'given-up', O_RDWR | O_TRUNC)
  await filesystem.write(handle, 0, Buffer.from('never stored'))
  await servers.kill(1, 3)
  await until(() => client.cluster.voters.length === 2)
  await t.rejects(filesystem.flush(handle), { code: 'readOnly' })
  const closed = filesystem.close(handle)
  const reader = await open(filesystem, 'given-up', O_RDONLY)
  t.equal(textOf(await filesystem.read(reader, 0, 100)), 'stored')
  await filesystem.close(reader)
  await closed
  await Promise.all([servers.start(1), servers.start(3)])
  await until(() => client.cluster.voters.length === 4)
})

t.test('data written while a draft is given up is not given up with it', async (t) => {
  await make('again')
  const handle = await open(filesystem, 'again', O_RDWR)
  await filesystem.write(handle, 0, Buffer.from('could not be stored'))
  const { file } = handle
  // As after the last close, whose commit failed: the recovery folder takes its time.
  file.handles.delete(handle)
  const saved = Promise.withResolvers<void>()
  const given = file.abandon(() => saved.promise)
  const next = await open(filesystem, 'again', O_RDWR)
  const writing = filesystem.write(next, 0, Buffer.from('newer'))
  await new Promise((done) => setTimeout(done, 20))
  saved.resolve()
  await Promise.all([given, writing])
  await filesystem.flush(next)
  await filesystem.close(next)
  const { inode } = await client.namespace.names.lookup(rootIno, 'again')
  t.equal(`${await client.content.read(inode, 0, inode.size)}`, 'newer')
})

t.test('ACLs are enforced where they are kept, and elsewhere neither shown nor lost', async (t) => {
  const keeping = filesystemOf(await openClient(t, servers), servers, true)
  const list = formatAcl([
    { tag: aclTags.owner, permissions: 7, id: noId },
    { tag: aclTags.user, permissions: 7, id: 1001 },
    { tag: aclTags.ownerGroup, permissions: 0, id: noId },
    { tag: aclTags.mask, permissions: 5, id: noId },
    { tag: aclTags.others, permissions: 0, id: noId },
  ])
  const maker = { ...caller, umask: 0o077 }
  const { ino } = await keeping.make(rootIno, 'listed', fileType.folder | 0o777, maker)
  t.match(
    await attributesOf(keeping, ino),
    { mode: fileType.folder | 0o700 },
    'the umask is applied',
  )
  await keeping.metadata.setAttribute(ino, defaultAcl, list, 0)
  const made = await keeping.makeFile(ino, 'file', fileType.file | 0o666, maker)
  t.equal(made.inode.mode, fileType.file | 0o640, 'it is not, where there is a default ACL')
  const link = await keeping.make(ino, 'link', fileType.symlink | 0o777, caller, { target: 'x' })
  t.match(link.inode, { mode: fileType.symlink | 0o777, attributes: [] })
  const shown = await keeping.metadata.getAttribute(made.ino, accessAcl)
  t.same(await keeping.metadata.listAttributes(made.ino, caller), [accessAcl])

  await t.rejects(filesystem.metadata.getAttribute(made.ino, accessAcl), { code: 'unsupported' })
  await t.rejects(filesystem.metadata.setAttribute(ino, defaultAcl, list, 0), {
    code: 'unsupported',
  })
  await t.rejects(filesystem.metadata.removeAttribute(ino, defaultAcl), { code: 'unsupported' })
  t.same(await filesystem.metadata.listAttributes(ino, caller), [])
  const plain = await filesystem.make(ino, 'plain', fileType.file | 0o666, caller)
  t.match(plain.inode, { mode: fileType.file | 0o666, attributes: [] })
  await filesystem.metadata.setMode(made.ino, 0o600)
  const fresh = filesystemOf(await openClient(t, servers), servers, true)
  const later = parseAcl((await fresh.metadata.getAttribute(made.ino, accessAcl)) ?? Buffer.of())
  t.equal(later.find(({ tag }) => tag === aclTags.mask)?.permissions, 0)
  t.equal(parseAcl(shown ?? Buffer.of()).find(({ tag }) => tag === aclTags.mask)?.permissions, 4)
})

t.test('a folder that was removed while it is open can be changed', async (t) => {
  const ino = await make('removed', fileType.folder | 0o755)
  await filesystem.lookup(rootIno, 'removed')
  await filesystem.rmdir(rootIno, 'removed')
  await filesystem.metadata.setMode(ino, 0o700)
  await filesystem.metadata.setAttribute(ino, 'user.a', Buffer.from('b'), 0)
  await filesystem.metadata.setOwner(ino, 5, 6)
  const left = { mode: fileType.folder | 0o700, nlink: 0, uid: 5, gid: 6 }
  t.match(await attributesOf(filesystem, ino), left)
  t.same(await filesystem.metadata.listAttributes(ino, caller), ['user.a'])
  filesystem.metadata.forget(ino)
  await t.rejects(filesystem.metadata.setMode(ino, 0o755), { code: 'stale' })
})

t.test('attributes of a listing are used for one answer only', async (t) => {
  await make('told at once')
  const page = await filesystem.openFolder(rootIno).read(0)
  const [listed] = page.entries
  if (listed === undefined) return t.fail('nothing is listed')
  const tell = filesystem.metadata.listingOf(rootIno, page.asked)
  t.equal(tell(listed)?.attributes.ino, listed.ino)
  await pass()
  t.throws(() => tell(listed), { code: 'ERR_ASSERTION' })
})

t.test('a handle is closed once', async (t) => {
  await make('closed')
  const handle = await open(filesystem, 'closed', O_RDWR)
  await filesystem.close(handle)
  await t.rejects(filesystem.close(handle), { code: 'ERR_ASSERTION' })
})
