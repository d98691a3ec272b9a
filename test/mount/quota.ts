/** Tests of a quota in a mount: what programs see of it, and the errors beyond it. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Client } from '../../src/dfc/client.js'
import { withQuota } from '../../src/dfs/users/users-text.js'
import { checkAll, clean, healNow, openClient } from '../fixtures/library.js'
import { TestMounts } from '../fixtures/mount.js'
import { startServerProcesses, type TestServers, until } from '../fixtures/servers.js'

t.setTimeout(240_000)

const mebi = 2 ** 20
/** What is free of it may be asked for by df in blocks of 4 KiB. */
const sizes = 'df -B1 --output=size,avail . | tail -n 1'

function bound(servers: TestServers, size: string | undefined): void {
  servers.configure((users) => withQuota(users, 'dfs.conf', 'alice', size))
}

/** Resolves when the four servers have a quota of `bytes`. */
async function untilQuota(client: Client, bytes: number): Promise<void> {
  for (;;) {
    const { totalBytes } = await client.space()
    if (totalBytes === bytes) return
    await new Promise((done) => setTimeout(done, 100))
  }
}

t.test('a quota is the size of the file system, and its end that of a full disk', async (t) => {
  const servers = await startServerProcesses(t)
  const client = await openClient(t, servers)
  const disk = (await client.space()).totalBytes
  bound(servers, '48M')
  await untilQuota(client, 48 * mebi)
  const mounts = new TestMounts(t, servers.config())
  const mount = await mounts.start('mnt')
  const df = async () => (await mount.out(`sleep 1.1; ${sizes}`)).trim().split(/\s+/).map(Number)
  t.same(await df(), [48 * mebi, 48 * mebi])

  await mount.out('head -c 10M /dev/urandom > ../kept; cp ../kept kept; sync')
  t.same(await df(), [48 * mebi, 38 * mebi])

  const { status, problems } = await mount.sh('dd if=/dev/urandom of=big bs=1M count=160')
  t.not(status, 0)
  t.match(problems, /Disk quota exceeded/)
  // The last close is over for the program before what it could not store is kept.
  await until(() => /"big" could not be stored: Quota exceeded/.test(mount.said.join('')))
  const states = mounts.path('state/dfs')
  const [state = ''] = readdirSync(states).filter((name) => name !== 'journals')
  t.match(readdirSync(join(states, state, 'recovery')), [/^big\./], 'what was written is kept')
  t.same(await df(), [48 * mebi, 38 * mebi], 'what was sent of it is given back')
  t.equal(await mount.out('cmp ../kept kept && stat -c %s big'), '0', 'nothing else is harmed')

  const { problems: allocating } = await mount.sh('fallocate -l 100M allocated')
  t.match(allocating, /Disk quota exceeded/)
  await mount.out('cp ../kept other; cmp ../kept other; rm -f allocated')
  await mount.out('rm kept other; sync')
  const healed = await client.scheduler.heal(healNow)
  t.match(healed, { left: 0, swept: true })
  t.match(await checkAll(client), clean)
  t.same(await df(), [48 * mebi, 48 * mebi], 'what is removed is given back')

  bound(servers, '4M')
  await untilQuota(client, 4 * mebi)
  await t.rejects(mount.out('cp ../kept kept'), /Disk quota exceeded/)
  await mount.out('head -c 60000 ../kept > small; cmp -n 60000 ../kept small')
  bound(servers, undefined)
  await untilQuota(client, disk)
  await mount.out('cp ../kept kept; cmp ../kept kept')
})
