/** What `dfc put` does where a link gets in the way on this machine while it runs. */
import { mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import t from 'tap'
import { UserOfDfc } from '../../fixtures/client.js'
import { MessageProxies } from '../../fixtures/message-proxies.js'
import { startServers } from '../../fixtures/servers.js'

t.setTimeout(240_000)
const servers = await startServers(t)
const proxies = await MessageProxies.open(t, servers)
const alice = new UserOfDfc(`${t.testdirName}/alice`, proxies.config())

t.test('a folder that becomes a link while it is stored leads nowhere', async (t) => {
  for (const name of ['secret', 'tree/a', 'tree/a/b']) {
    mkdirSync(alice.path(name), { recursive: true })
  }
  alice.write('secret/key', 'not to be stored')
  alice.write('tree/a/b/file', 'mine')
  let commits = 0
  proxies.watch(({ verb, isAnswer, server }) => {
    if (verb !== 'commit' || isAnswer || server !== 0) return
    commits += 1
    // The commits make the root folder, then tree, a and b.
    if (commits !== 4) return
    renameSync(alice.path('tree/a/b'), alice.path('b'))
    symlinkSync(alice.path('secret'), alice.path('tree/a/b'))
  })
  const { status, problems } = await alice.dfc('put', '-r', 'tree')
  t.ok(commits >= 4)
  t.equal(status, 1)
  t.match(problems, /tree\/a\/b: Not a directory\n$/)
  t.equal((await alice.dfc('list', 'tree/a/b')).out, '')
})

t.test('a target whose folder is missing is named, and not its source alone', async (t) => {
  mkdirSync(alice.path('sound'))
  alice.write('sound/file', 'x')
  const { status, problems } = await alice.dfc('sync', '--up', 'sound', 'missing/target')
  t.match(problems, 'dfc: sound: missing/target: No such file or directory\n')
  t.equal(status, 1)
})

t.test('a folder gives way to a file once that is stored, and not before', async (t) => {
  mkdirSync(alice.path('folder/a/sub'), { recursive: true })
  mkdirSync(alice.path('file'))
  alice.write('folder/a/sub/inner', 'precious')
  const sync = (...more: readonly string[]) =>
    alice.dfc('sync', '--up', '--delete', ...more, 'file', 'folder')
  t.match(await alice.dfc('put', '-r', 'folder'), { status: 0 })

  await alice.sh('mkfifo file/a')
  t.match(await sync(), { status: 1, problems: /file\/a: neither a file, a folder nor a symbolic/ })
  t.equal((await alice.dfc('get', 'folder/a/sub/inner', '-')).out, 'precious')

  rmSync(alice.path('file/a'))
  alice.write('file/a', 'new')
  const left = await sync('--exclude', 'inner')
  t.match(left, { status: 1, problems: /file\/a: is a folder there, with something that the/ })
  t.equal((await alice.dfc('get', 'folder/a/sub/inner', '-')).out, 'precious')
  t.equal((await alice.dfc('list', 'folder')).out, 'a\n', 'no temporary name is left')

  const dry = await sync('-n')
  t.match(dry, { status: 0, out: /^put file\/a\ndelete folder\/a\/sub\/inner\n/ })
  t.match(await sync(), { status: 0, problems: /^1 file/ })
  t.equal((await alice.dfc('get', 'folder/a', '-')).out, 'new')
})

t.test('a file gives way to a folder, and goes when everything is stored', async (t) => {
  mkdirSync(alice.path('before'))
  mkdirSync(alice.path('after/a'), { recursive: true })
  alice.write('before/a', 'precious')
  alice.write('after/a/inner', 'new')
  t.match(await alice.dfc('put', '-r', 'before'), { status: 0 })

  await alice.sh('mkfifo after/a/pipe')
  const sync = () => alice.dfc('sync', '--up', '--delete', 'after', 'before')
  const failed = await sync()
  t.equal(failed.status, 1)
  const kept = /before\/a: what gave way .* is kept as (\S+) until/.exec(failed.problems)?.[1]
  t.equal((await alice.dfc('get', String(kept), '-')).out, 'precious')

  rmSync(alice.path('after/a/pipe'))
  t.match(await sync(), { status: 0 })
  t.equal((await alice.dfc('list', 'before')).out, 'a\n')
  t.equal((await alice.dfc('get', 'before/a/inner', '-')).out, 'new')
})
