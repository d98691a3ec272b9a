/** The programs in trees that none of them would make. */
import { existsSync, readdirSync } from 'node:fs'
import t from 'tap'
import { fileType, rootIno } from '../../src/wire/records.js'
import { UserOfDfc } from '../fixtures/client.js'
import { openClient } from '../fixtures/library.js'
import { TestMounts } from '../fixtures/mount.js'
import { entry, folder, inode, store } from '../fixtures/odd-trees.js'
import { startServers } from '../fixtures/servers.js'

t.setTimeout(240_000)
const servers = await startServers(t)
const alice = new UserOfDfc(`${t.testdirName}/alice`, servers.config())
const client = await openClient(t, servers)
const elsewhere =
  'the folder has its place elsewhere, or is below itself: "dfc verify" tells what is wrong'

await store(client.cluster, {
  ...folder(rootIno, 'cycle', 10),
  ...folder(10, 'sub', 11),
  ...inode(12, {}),
  ...entry(10, 'file', 12, fileType.file),
  ...entry(11, 'again', 10),
  ...folder(rootIno, 'twice', 13),
  ...entry(13, 'sub', 11),
  ...entry(13, 'nothing', 99),
})

t.test('get -r takes what is in its place, names what is not, and ends', async (t) => {
  const { status, problems } = await alice.dfc('get', '-r', '/', 'got')
  t.equal(status, 1)
  t.equal(problems, `dfc: /cycle/sub/again: ${elsewhere}\ndfc: /twice/sub: ${elsewhere}\n`)
  t.same(readdirSync(alice.path('got/cycle')), ['file', 'sub'])
  t.notOk(existsSync(alice.path('got/twice/sub')))
})

t.test('a walk through a mount ends', async (t) => {
  const mounts = new TestMounts(t, servers.config())
  const mount = await mounts.start('mnt')
  const { status, out, problems } = await mount.sh('find . | sort')
  t.equal(status, 0)
  t.same(out.trim().split('\n'), [
    '.',
    './cycle',
    './cycle/file',
    './cycle/sub',
    './cycle/sub/again',
    './twice',
    './twice/sub',
  ])
  t.match(problems, /cycle\/sub\/again.*: Input\/output error/)
  t.match(problems, /twice\/sub.*: Input\/output error/)
})

t.test('rm -r removes names that lead elsewhere, and what is in its place', async (t) => {
  t.match(await alice.dfc('rm', '-r', 'twice'), {
    status: 1,
    problems: 'dfc: twice: Directory not empty\n',
  })
  t.match(await alice.dfc('rm', 'twice/nothing'), { status: 0 })
  t.match(await alice.dfc('rm', '-r', 'twice'), { status: 0 })
  t.equal((await alice.dfc('list', 'cycle/sub')).out, 'again\n')
  t.match(await alice.dfc('rm', '-r', 'cycle'), { status: 0 })
  t.equal((await alice.dfc('list')).out, '')
  t.match(await alice.dfc('rm', 'cycle'), {
    status: 1,
    problems: 'dfc: cycle: No such file or directory\n',
  })
})
