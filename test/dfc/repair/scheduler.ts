import t from 'tap'
import { type Clock, sleep, systemClock, systemRandom } from '../../../src/clock.js'
import { Client } from '../../../src/dfc/client.js'
import { limits } from '../../../src/limits.js'
import { tcpNetwork } from '../../../src/network.js'
import { fileType, rootIno } from '../../../src/wire/records.js'
import { MessageProxies } from '../../fixtures/message-proxies.js'
import { startServers, until } from '../../fixtures/servers.js'

t.test('a scheduler that is stopped in the middle of a round begins no other', async (t) => {
  const servers = await startServers(t)
  let rounds = 0
  // A clock on which repairs are due at once, and which counts its timers.
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
  client.scheduler.start()
  await until(() => rounds > 0)
  // The timer of the scheduler fires before this one: then the round waits for its servers.
  await new Promise<void>((done) => systemClock.after(1, done))
  const before = rounds
  client.scheduler.stop()
  await client.scheduler.ended()
  await new Promise<void>((done) => systemClock.after(50, done))
  t.equal(rounds, before)
})

t.test('a periodic repair waits for a busy client, and a requested one does not', async (t) => {
  const proxies = await MessageProxies.open(t, await startServers(t))
  const client = await Client.open({
    config: proxies.config(),
    network: tcpNetwork,
    clock: systemClock,
    random: systemRandom,
  })
  t.teardown(() => client.close())
  const { namespace, scheduler } = client
  let repairs = proxies.counter('changesDigest', 0)
  let isBusy = true
  const work = async (): Promise<void> => {
    const attributes = { mode: fileType.file | 0o644, uid: 0, gid: 0 }
    for (let count = 0; isBusy; count += 1) {
      await namespace.create(rootIno, `${count}`, attributes)
      await sleep(systemClock, 20)
    }
  }
  const working = work()
  scheduler.start()
  await sleep(systemClock, 1.5 * limits.repairDelayMs + 1_000)
  t.equal(repairs(), 0)
  scheduler.soon()
  await until(() => repairs() > 0, 1.5 * limits.repairDelayMs + 1_000)
  await scheduler.ended()
  scheduler.stop()
  repairs = proxies.counter('changesDigest', 0)
  scheduler.start()
  await sleep(systemClock, 1.5 * limits.repairDelayMs)
  isBusy = false
  await working
  t.equal(repairs(), 0)
  await until(() => repairs() > 0, 2 * limits.repairQuietMs + 1_000)
  scheduler.stop()
  await scheduler.ended()
})
