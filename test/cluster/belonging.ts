import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Clock, systemClock, systemRandom } from '../../src/clock.js'
import type { ClientConfig } from '../../src/config.js'
import { Client } from '../../src/dfc/client.js'
import { tcpNetwork } from '../../src/network.js'
import { UserOfDfc } from '../fixtures/client.js'
import { checkAll, clean, healNow, openClient, putFile, readFile } from '../fixtures/library.js'
import { startServers, until } from '../fixtures/servers.js'

/** The config with its servers' addresses at other places. */
function rearranged(config: ClientConfig, order: readonly number[]): ClientConfig {
  const servers = config.servers.map((server, index) => ({
    ...server,
    address: config.servers[order[index] ?? 0]?.address ?? server.address,
  }))
  return { ...config, servers }
}

t.test('servers in another order, twice, or of another cluster are refused', async (t) => {
  const servers = await startServers(t)
  // A server that is late on a busy machine would count as down, and nothing be refused.
  const config = servers.config('alice', 10_000)
  const dfc = (name: string, one: ClientConfig) =>
    new UserOfDfc(join(t.testdirName, name), one).dfc('list')
  t.equal((await dfc('right', config)).status, 0)
  const mixed = await dfc('mixed', rearranged(config, [1, 0, 2, 3]))
  t.equal(mixed.status, 1)
  t.match(
    mixed.problems,
    /is (server|number) \d of the cluster, not (number )?\d: the .*servers.* in another order/,
  )
  const twice = await dfc('twice', rearranged(config, [0, 0, 2, 3]))
  t.equal(twice.status, 1)
  t.match(twice.problems, /an address that no other server has/)
  await t.test('others', async (t) => {
    const others = await startServers(t)
    const own = others.config('alice', 10_000)
    t.equal((await dfc('others', own)).status, 0)
    const foreign = own.servers.map((server, index) =>
      index === 2 ? (config.servers[2] ?? server) : server,
    )
    const outcome = await dfc('foreign', { ...own, servers: foreign })
    t.equal(outcome.status, 0, 'one that belongs elsewhere counts as down')
    const { out } = await new UserOfDfc(join(t.testdirName, 'shown'), {
      ...own,
      servers: foreign,
    }).dfc('status')
    t.match(out, /DFS3.*belongs to another cluster/)
    const half = own.servers.map((server, index) =>
      index >= 2 ? (config.servers[index] ?? server) : server,
    )
    const stopped = await dfc('half', { ...own, servers: half })
    t.equal(stopped.status, 1)
    t.match(stopped.problems, /another cluster/)
  })
})

t.test('a new server that a client meets before all others joins the cluster', async (t) => {
  const servers = await startServers(t)
  const before = await openClient(t, servers)
  await putFile(before, 'file', Buffer.alloc(100_000, 1))
  await before.close()
  await servers.kill(0, 1, 2, 3)
  servers.wipe(3)
  await servers.start(3)
  const client = await openClient(t, servers)
  for (const index of [0, 1, 2]) await servers.start(index)
  await until(() => client.cluster.up.length === 4)
  t.match(await client.scheduler.heal(healNow), { filledServers: [3], left: 0, lost: [] })
  t.match(await checkAll(client), clean)
  const place = JSON.parse(
    readFileSync(join(servers.folders[3] ?? '', 'alice', 'cluster.json'), 'utf8'),
  )
  t.match(place, { position: 3, cluster: String })
})

t.test('a client whose clock is a day off, either way, works with the others', async (t) => {
  const servers = await startServers(t)
  const client = await openClient(t, servers)
  for (const days of [1, -1]) {
    const offMs = days * 86_400_000
    const clock: Clock = {
      ...systemClock,
      now: () => systemClock.now() + offMs,
      monotonic: () => systemClock.monotonic(),
      after: (delayMs, call) => systemClock.after(delayMs, call),
    }
    const options = { network: tcpNetwork, clock, random: systemRandom, config: servers.config() }
    const off = await Client.open(options)
    t.teardown(() => off.close())
    await putFile(client, 'file', Buffer.from('first'))
    await putFile(off, 'file', Buffer.from('second'))
    t.equal(`${await readFile(client, 'file')}`, 'second')
    await putFile(client, 'file', Buffer.from('third'))
    t.equal(`${await readFile(off, 'file')}`, 'third')
    t.match(await off.scheduler.heal({ ...healNow, sweepAgeMs: 60_000 }), { left: 0, lost: [] })
    await putFile(client, 'file', Buffer.from('fourth'))
    t.equal(`${await readFile(off, 'file')}`, 'fourth')
    t.match(await client.scheduler.heal(healNow), { left: 0, lost: [] })
    const { garbage: _, ...rest } = clean
    t.match(await checkAll(client), rest)
  }
})
