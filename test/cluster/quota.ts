/** Quotas with four servers: what one user may not store does not keep another from it. */
import t from 'tap'
import { withQuota } from '../../src/dfs/users/users-text.js'
import { checkAll, clean, healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { Seeded } from '../fixtures/seeded.js'
import { startServerProcesses, type TestServers, until } from '../fixtures/servers.js'

t.setTimeout(240_000)

const mebi = 2 ** 20
const random = new Seeded(8)

async function bound(servers: TestServers, size: string): Promise<void> {
  servers.configure((users) => withQuota(users, 'dfs.conf', 'alice', size))
  // They look once a second.
  await new Promise((done) => setTimeout(done, 1_500))
}

t.test('a user stores up to the quota, and after a removal again', async (t) => {
  const servers = await startServerProcesses(t)
  await bound(servers, '12M')
  const [alice, bob] = [await openClient(t, servers), await openClient(t, servers, 'bob')]
  t.match(await alice.space(), { totalBytes: 12 * mebi, freeBytes: 12 * mebi })
  const files = Array.from({ length: 3 }, () => random.bytes(4 * mebi))
  for (const [index, bytes] of files.entries()) await putFile(alice, `file ${index}`, bytes)
  t.match(await alice.space(), { freeBytes: 0 })
  const more = random.bytes(mebi)
  await t.rejects(putFile(alice, 'more', more), { code: 'quota' })
  async function* source() {
    yield more
  }
  await t.rejects(alice.content.stage(source()), { code: 'quota' })
  await putFile(bob, 'more', more)
  t.same(await readFile(bob, 'more'), more, 'another user has room')

  await alice.namespace.unlink(1, 'file 0')
  t.match(await alice.scheduler.heal(healNow), { left: 0, swept: true })
  t.match(await checkAll(alice), clean, 'nothing is left of what was refused')
  await putFile(alice, 'more', more)
  t.same(await readFile(alice, 'more'), more)

  for (const index of [0, 1, 2, 3]) {
    await servers.kill(index)
    await servers.start(index)
  }
  await until(() => alice.cluster.up.length === 4)
  t.match(await alice.space(), { totalBytes: 12 * mebi, freeBytes: 3 * mebi })
})

t.test('a disk that is replaced is filled within the quota', async (t) => {
  const servers = await startServerProcesses(t)
  await bound(servers, '8M')
  const alice = await openClient(t, servers)
  const files = Array.from({ length: 8 }, () => random.bytes(mebi))
  for (const [index, bytes] of files.entries()) await putFile(alice, `file ${index}`, bytes)
  t.match(await alice.space(), { freeBytes: 0 })
  await servers.kill(1)
  servers.wipe(1)
  await servers.start(1)
  await until(() => alice.cluster.up.length === 4)
  t.match(await alice.scheduler.heal(healNow), { left: 0, lost: [] })
  t.match(await checkAll(alice), clean)
  for (const [index, bytes] of files.entries()) {
    t.same(await readFile(alice, `file ${index}`), bytes)
  }
})
