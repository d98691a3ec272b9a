/** What `dfc put` does where a link gets in the way on this machine while it runs. */
import { mkdirSync, renameSync, symlinkSync } from 'node:fs'
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
