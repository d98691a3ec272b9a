/** What names lead to in trees that none of our programs would make. */
import t, { type Test } from 'tap'
import type { Client } from '../../../src/dfc/client.js'
import { type Damage, damageOf } from '../../../src/dfc/repair/damage.js'
import { fileType, rootIno } from '../../../src/wire/records.js'
import { openClient } from '../../fixtures/library.js'
import { entry, folder, inode, store } from '../../fixtures/odd-trees.js'
import { startServers } from '../../fixtures/servers.js'

t.setTimeout(120_000)

async function oddTree(t: Test): Promise<Client> {
  const servers = await startServers(t)
  const maker = await openClient(t, servers)
  await store(maker.cluster, {
    ...folder(rootIno, 'a', 10),
    ...folder(10, 'b', 11),
    ...folder(rootIno, 'c', 12),
    // A folder below itself, the root in a folder, a folder in two folders, and one in itself.
    ...entry(11, 'up', 10),
    ...entry(11, 'root', rootIno),
    ...entry(12, 'b', 11),
    ...entry(12, 'self', 12),
    // A name of nothing, and a file with two names.
    ...entry(12, 'nothing', 99),
    ...inode(13, { nlink: 2 }),
    ...entry(12, 'file', 13, fileType.file),
    ...entry(11, 'file', 13, fileType.file),
  })
  return openClient(t, servers)
}

const elsewhere = {
  code: 'corrupt',
  message:
    'the folder has its place elsewhere, or is below itself: "dfc verify" tells what is wrong',
}

t.test('a folder is found in its one place alone', async (t) => {
  const { names } = (await oddTree(t)).namespace
  t.equal((await names.lookup(rootIno, 'a')).ino, 10)
  t.equal((await names.walk(['a', 'b'])).ino, 11)
  for (const [parent, name] of [
    [11, 'up'],
    [11, 'root'],
    [12, 'b'],
    [12, 'self'],
  ] as const) {
    await t.rejects(names.lookup(parent, name), elsewhere, `lookup of ${name}`)
    const path = [...(parent === 11 ? ['a', 'b'] : ['c']), name]
    await t.rejects(names.walk(path), elsewhere, `walk to ${name}`)
    await t.rejects(names.walk([...path, 'file']), elsewhere, `walk through ${name}`)
    await t.rejects(names.follow(rootIno, path), elsewhere)
    t.equal(names.known(parent, name), undefined, 'what was seen of it is not told')
  }
  await t.rejects(names.lookup(12, 'nothing'), { code: 'notFound' })
  t.equal((await names.lookup(12, 'file')).ino, 13)
  t.equal((await names.lookup(11, 'file')).ino, 13, 'a file may have two')
})

t.test('a list has no more than the name of a folder that is elsewhere', async (t) => {
  const { names } = (await oddTree(t)).namespace
  const seen = async (ino: number) =>
    (await names.list(ino, '')).entries.map(({ name, node }) => [name, node?.ino])
  t.same(await seen(11), [
    ['file', 13],
    ['root', undefined],
    ['up', undefined],
  ])
  t.same(await seen(12), [
    ['b', undefined],
    ['file', 13],
    ['self', undefined],
  ])
})

t.test('the search for what is damaged ends', async (t) => {
  const { namespace } = await oddTree(t)
  const found: Damage[] = []
  for await (const damage of damageOf(namespace, [])) found.push(damage)
  t.same(found, [])
})

t.test('a name that leads nowhere or elsewhere is removed, and no other', async (t) => {
  const { namespace } = await oddTree(t)
  await t.rejects(namespace.removeStrayName(rootIno, 'a'), { code: 'exists' })
  await t.rejects(namespace.removeStrayName(12, 'file'), { code: 'exists' })
  await t.rejects(namespace.removeStrayName(12, 'none'), { code: 'notFound' })
  for (const name of ['b', 'self', 'nothing']) await namespace.removeStrayName(12, name)
  t.same(
    (await namespace.names.list(12, '')).entries.map(({ name }) => name),
    ['file'],
  )
  t.equal((await namespace.names.walk(['a', 'b'])).ino, 11, 'what it led to stays')
})
