import t, { type Test } from 'tap'
import { systemRandom } from '../../../src/clock.js'
import { Cluster } from '../../../src/dfc/cluster/cluster.js'
import { Lease } from '../../../src/dfc/quorum/lease.js'
import { limits } from '../../../src/limits.js'
import { tcpNetwork } from '../../../src/network.js'
import { startServers, until } from '../../fixtures/servers.js'
import { StandingClock } from '../../fixtures/standing-clock.js'

/** A lease of four servers, how many requests it has sent, and a clock for it that the test moves. */
async function open(t: Test) {
  const servers = await startServers(t)
  const clock = new StandingClock()
  const options = { config: servers.config(), network: tcpNetwork, random: systemRandom, clock }
  const cluster = await Cluster.open(options)
  t.teardown(() => cluster.close())
  const sent = { count: 0 }
  const { request } = cluster
  cluster.request = (index, verb, ...rest) => {
    if (verb === 'lease') sent.count += 1
    return request.call(cluster, index, verb, ...rest) as never
  }
  return { clock, cluster, sent }
}

t.test('to look at a lease asks for nothing, to use it does', async (t) => {
  const { clock, cluster, sent } = await open(t)
  const lease = new Lease(cluster)
  t.equal(lease.exclusiveSinceMs, undefined)
  t.equal(lease.exclusiveForMs, 0)
  t.equal(sent.count, 0)
  t.equal(lease.use(), undefined)
  t.equal(sent.count, limits.serverCount)
  await until(() => lease.exclusiveSinceMs !== undefined)
  t.equal(lease.use(), lease.exclusiveSinceMs)
  t.equal(lease.exclusiveForMs, limits.leaseMs)
  t.equal(sent.count, limits.serverCount)
  clock.pass(limits.leaseMs)
  t.equal(lease.exclusiveSinceMs, undefined, 'it has run out')
  t.equal(lease.exclusiveForMs, 0)
})

t.test('all who listen hear that it is lost, until they have enough', async (t) => {
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
