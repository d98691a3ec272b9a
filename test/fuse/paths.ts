import t from 'tap'
import { namesOf, Paths } from '../../src/fuse/paths.js'
import { fileType, rootIno } from '../../src/wire/records.js'
import { filesystemOf, openClient } from '../fixtures/drafts.js'
import { startServers } from '../fixtures/servers.js'

const servers = await startServers(t)
const client = await openClient(t, servers)
const other = await openClient(t, servers)
const filesystem = filesystemOf(client, servers)
const paths = new Paths(client.namespace, filesystem)
const attributes = { mode: fileType.file | 0o644, uid: 0, gid: 0 }
const folder = { mode: fileType.folder | 0o755, uid: 0, gid: 0 }
const hidden = '.fuse_hidden0000000200000001'

t.test('splits paths and refuses names that cannot be', async (t) => {
  t.same(namesOf('/'), [])
  t.same(namesOf('/a/b c'), ['a', 'b c'])
  t.throws(() => namesOf('/a/\ufffd'), { code: 'illegalName' })
  t.throws(() => namesOf(`/${'a'.repeat(256)}`), { code: 'nameTooLong' })
  t.throws(() => namesOf(`/${'ä'.repeat(128)}/b`), { code: 'nameTooLong' })
  t.same(namesOf(`/${'ä'.repeat(127)}`), ['ä'.repeat(127)])
})

t.test('finds what is there, at any depth', async (t) => {
  const one = await client.namespace.create(rootIno, 'one', folder)
  const two = await client.namespace.create(one.ino, 'two', attributes)
  t.equal(await paths.ino('/'), rootIno)
  t.equal(await paths.ino('/one/two'), two.ino)
  t.equal((await paths.node('/one')).ino, one.ino)
  await t.rejects(paths.ino('/one/three'), { code: 'notFound' })
  await t.rejects(paths.node('/none/two'), { code: 'notFound' })
})

t.test('an open sees what another client has just changed', async (t) => {
  const old = await client.namespace.create(rootIno, 'f', attributes)
  t.equal((await paths.fresh('/f')).ino, old.ino)
  await other.namespace.unlink(rootIno, 'f')
  const young = await other.namespace.create(rootIno, 'f', attributes)
  t.equal((await paths.fresh('/f')).ino, young.ino)
})

t.test('looks again when a folder on the way was replaced elsewhere', async (t) => {
  await client.namespace.create(rootIno, 'd', folder)
  t.ok(await paths.ino('/d'), 'it is in the cache')
  await other.namespace.rmdir(rootIno, 'd')
  const again = await other.namespace.create(rootIno, 'd', folder)
  const made = await paths.at('/d/new', ({ parent, name }) =>
    client.namespace.create(parent, name, attributes),
  )
  t.equal((await other.namespace.lookup(again.ino, 'new')).ino, made.ino)
})

t.test('a file without a name is found by its hidden path alone', async (t) => {
  const { ino } = await client.namespace.create(rootIno, 'h', attributes)
  t.ok(paths.isHidden(`/x/${hidden}`))
  t.notOk(paths.isHidden('/x/.fuse_hidden'))
  await t.rejects(paths.ino(`/${hidden}`), { code: 'notFound' })
  paths.hide(`/${hidden}`, ino)
  t.equal(await paths.ino(`/${hidden}`), ino)
  t.equal(await paths.ino(`/elsewhere/${hidden}`), ino, 'also when its folder is renamed')
  t.ok(paths.unhide(`/${hidden}`))
  t.notOk(paths.unhide(`/${hidden}`), 'only once')
})

t.test('the suffix of incomplete files leads to the plain name unless it exists', async (t) => {
  const plain = await client.namespace.create(rootIno, 'g', attributes)
  t.equal(await paths.ino('/g [incomplete]'), plain.ino)
  const literal = await client.namespace.create(rootIno, 'g [incomplete]', attributes)
  t.equal(await paths.ino('/g [incomplete]'), literal.ino)
  await t.rejects(paths.ino('/nothing [incomplete]'), { code: 'notFound' })
})
