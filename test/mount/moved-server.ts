/** A mount takes the new address of a server from its configuration, without a remount. */
import { resolve } from 'node:path'
import t from 'tap'
import { TestMounts } from '../fixtures/mount.js'
import { openProxies } from '../fixtures/server-proxy.js'
import { startServerProcesses, until } from '../fixtures/servers.js'

t.setTimeout(120_000)
const servers = await startServerProcesses(t)
const { proxies, config } = await openProxies(t, servers)
const mounts = new TestMounts(t, config)
const mount = await mounts.start('mnt')
const env = { DFC: resolve(import.meta.dirname, '../../../bin/dfc') }
const said = (what: string): boolean => mount.said.join('').includes(what)

t.test('the address that dfc has written is used when the old one is gone', async (t) => {
  await mount.out('echo before > before; sync')
  const address = `127.0.0.1:${servers.port(2)}`
  t.match(await mount.sh(`"$DFC" server move DFS3 ${address}`, env), { status: 0 })
  await mount.out('echo between > between; sync')
  t.notOk(said('is down'), 'the old one is used for as long as it is there')
  const [, , third] = proxies
  if (third !== undefined) third.isMute = true
  await mount.sh('echo now > now; sync')
  await until(() => said('DFS3 is up'))
  t.ok(said(`the configuration has another address for DFS3: ${address}`))
  const status = await mount.sh('"$DFC" status --wait 60s', env)
  t.match(status, { status: 0, out: new RegExp(`^DFS3 +${address} +up`, 'm') })
  // A neighbour is lost: what it shares with DFS3 is read from there.
  await servers.kill(3)
  t.equal(await mount.out('cat before between now'), 'before\nbetween\nnow')
  await mount.out('echo more > more; sync')
})
