import t from 'tap'
import { type Clock, systemClock, systemRandom } from '../../../src/clock.js'
import { Client } from '../../../src/dfc/client.js'
import { limits } from '../../../src/limits.js'
import { tcpNetwork } from '../../../src/network.js'
import { startServers, until } from '../../fixtures/servers.js'

t.test('a keeper that is stopped in the middle of a round begins no other', async (t) => {
  const servers = await startServers(t)
  let rounds = 0
  // Repairs at once, and counts how often it is asked for one.
  const clock: Clock = {
    now: () => systemClock.now(),
    time: () => systemClock.time(),
    monotonic: () => systemClock.monotonic(),
    after(delayMs, action) {
      if (delayMs < limits.repairDelayMs || delayMs === 2_000) {
        return systemClock.after(delayMs, action)
      }
      rounds += 1
      return systemClock.after(0, action)
    },
  }
  const config = servers.config()
  const client = await Client.open({ config, network: tcpNetwork, clock, random: systemRandom })
  t.teardown(() => client.close())
  client.keeper.start()
  await until(() => rounds > 0)
  // The timer has fired when this one does: the round waits for its servers.
  await new Promise<void>((done) => systemClock.after(1, done))
  const before = rounds
  client.keeper.stop()
  await client.keeper.ended()
  await new Promise<void>((done) => systemClock.after(50, done))
  t.equal(rounds, before)
})
