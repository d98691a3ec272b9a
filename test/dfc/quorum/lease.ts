import t, { type Test } from 'tap'
import { systemRandom } from '../../../src/clock.js'
import { Cluster } from '../../../src/dfc/cluster/cluster.js'
import { Lease } from '../../../src/dfc/quorum/lease.js'
import { limits } from '../../../src/limits.js'
import { tcpNetwork } from '../../../src/network.js'
import { MessageProxies } from '../../fixtures/message-proxies.js'
import { startServers, until } from '../../fixtures/servers.js'
import { StandingClock } from '../../fixtures/standing-clock.js'

/** Opens a client of four servers with proxies that count its messages, on a clock that the test moves. */
async function open(t: Test) {
  const proxies = await MessageProxies.open(t, await startServers(t))
  const clock = new StandingClock()
  const options = { config: proxies.config(), network: tcpNetwork, random: systemRandom, clock }
  const cluster = await Cluster.open(options)
  t.teardown(() => cluster.close())
  return { clock, cluster, proxies }
}

t.test('looking at a lease sends no request, using it does', async (t) => {
  const { clock, cluster, proxies } = await open(t)
  const sent = async (): Promise<number> => {
    await proxies.arrived(cluster)
    return proxies.count('lease')
  }
  const lease = new Lease(cluster)
  t.equal(lease.exclusiveSinceMs, undefined)
  t.equal(lease.exclusiveForMs, 0)
  t.equal(await sent(), 0)
  t.equal(lease.use(), undefined)
  t.equal(await sent(), limits.serverCount)
  await until(() => lease.exclusiveSinceMs !== undefined)
  t.equal(lease.use(), lease.exclusiveSinceMs)
  t.equal(lease.exclusiveForMs, limits.leaseMs)
  t.equal(await sent(), limits.serverCount)
  clock.pass(limits.leaseMs)
  t.equal(lease.exclusiveSinceMs, undefined, 'it has run out')
  t.equal(lease.exclusiveForMs, 0)
})

t.test('every listener is called when the lease is lost, until it is stopped', async (t) => {
  const { cluster } = await open(t)
  const lease = new Lease(cluster)
  await lease.begin(async () => {})
  const heard: string[] = []
  const stop = lease.onLost(() => heard.push('first'))
  lease.onLost(() => heard.push('second'))
  lease.forgetAll()
  stop()
  lease.forgetAll()
  t.strictSame(heard, ['first', 'second', 'second'])
})

t.test('a lease that runs out without a word of the servers is lost', async (t) => {
  const { clock, cluster } = await open(t)
  const lease = new Lease(cluster)
  await lease.begin(async () => {})
  let losses = 0
  lease.onLost(() => {
    losses += 1
  })
  const leftMs = lease.exclusiveForMs
  t.ok(leftMs > 0)
  // Its renewals do not come back while the clock leaps.
  clock.pass(leftMs - 1)
  t.equal(losses, 0)
  clock.pass(1)
  t.equal(losses, 1)
})

t.test('a lease that ran out while its renewal came back is lost', async (t) => {
  const { clock, cluster, proxies } = await open(t)
  const lease = new Lease(cluster)
  await lease.begin(async () => {})
  let losses = 0
  lease.onLost(() => {
    losses += 1
  })
  const renewed = proxies.counter('lease')
  const stopped = Promise.withResolvers<void>()
  proxies.watch(({ verb, isAnswer }) => {
    if (verb === 'lease' && isAnswer) return stopped.promise
  })
  clock.pass(Math.ceil(limits.leaseMs / 3))
  await until(() => renewed() === limits.serverCount)
  t.equal(losses, 0)
  // The process is stopped, and finds the answers before it looks which timers are due.
  clock.leap(limits.leaseMs)
  stopped.resolve()
  await until(() => losses === 1)
  t.equal(lease.exclusiveForMs, 0)
})

t.test('a lease that holds again because of other answers runs out as well', async (t) => {
  const { clock, cluster, proxies } = await open(t)
  const lease = new Lease(cluster)
  await lease.begin(async () => {})
  let losses = 0
  lease.onLost(() => {
    losses += 1
  })
  // Nothing uses it, so that nothing renews it any more.
  clock.leap(limits.leaseIdleMs + 1)
  clock.pass(1)
  await until(() => lease.exclusiveForMs > 0)
  clock.pass(limits.leaseMs)
  t.equal(lease.exclusiveForMs, 0)
  const before = losses
  await cluster.askEnough(limits.serverCount, cluster.voters, 'status', () => ({}))
  t.ok(lease.exclusiveForMs > 0, 'nobody else was let in')
  const renewed = proxies.counter('lease')
  t.not(lease.use(), undefined)
  await until(() => renewed() === limits.serverCount)
  await proxies.arrived(cluster)
  clock.pass(limits.leaseMs)
  t.equal(losses, before + 1)
})
