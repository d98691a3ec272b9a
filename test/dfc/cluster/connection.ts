import t, { type Test } from 'tap'
import { type Clock, systemClock, systemRandom } from '../../../src/clock.js'
import { ServerConnection } from '../../../src/dfc/cluster/connection.js'
import type { DfsError } from '../../../src/errors.js'
import { type Network, tcpNetwork } from '../../../src/network.js'
import { recallFrame } from '../../../src/wire/frame.js'
import { messages, type Verb } from '../../../src/wire/messages.js'
import { ScramCredentials } from '../../../src/wire/scram.js'
import { startServer } from '../../fixtures/one-server.js'
import { until } from '../../fixtures/servers.js'

const timeoutMs = 800
/** Real duration of every timer in ms: on any machine an answer arrives before the next one fires. */
const realMs = 200

/** A clock that advances when a timer fires, each almost twice as late as requested. */
class LateClock implements Clock {
  readonly #lateness = 1.9
  #nowMs = 0
  fired = 0
  readonly now = systemClock.now
  readonly time = systemClock.time
  monotonic(): number {
    return this.#nowMs
  }
  after(delayMs: number, action: () => void) {
    return systemClock.after(realMs, () => {
      this.#nowMs += delayMs * this.#lateness
      this.fired += 1
      action()
    })
  }
}

/** A network in which requests of these verbs never arrive; `sent` collects the kinds of all requests. */
function without(verbs: readonly Verb[], sent: number[]): Network {
  const lost = verbs.map((verb) => messages[verb].number)
  return {
    ...tcpNetwork,
    async connect(...given) {
      const connection = await tcpNetwork.connect(...given)
      const { send } = connection
      connection.send = (parts) => {
        const kind = parts[0]?.[4] ?? 0
        sent.push(kind)
        if (!lost.includes(kind)) send.call(connection, parts)
      }
      return connection
    },
  }
}

const optionsOf = (port: number, network: Network, clock: Clock) => ({
  name: 'DFS1',
  address: { host: '127.0.0.1', port },
  timeoutMs,
  network,
  clock,
  random: systemRandom,
  client: '00000001',
  index: 0,
  cluster: () => undefined,
  keyShown: () => undefined,
  greeted: async () => {},
})

async function open(t: Test, clock: Clock, network: Network) {
  const { port } = await startServer(t)
  const closed: DfsError[] = []
  const credentials = new ScramCredentials('alice', 'secret')
  const channel = await ServerConnection.open({
    ...optionsOf(port, network, clock),
    credentials: () => credentials,
    onRecall: () => {},
    onClosed: (reason) => closed.push(reason),
  })
  t.teardown(() => channel.close())
  return { channel, closed }
}

t.test(
  'keeps a connection while the server works on a long answer, however late the checks are',
  async (t) => {
    const clock = new LateClock()
    const sent: number[] = []
    const { channel, closed } = await open(t, clock, without(['status'], sent))
    channel.request('status', {}).catch(() => undefined)
    const { fired } = clock
    await until(() => closed.length > 0 || clock.fired > fired + 12)
    t.same(closed, [], 'it has answered when it was asked whether it is there')
    t.ok(sent.includes(messages.ping.number))
  },
)

t.test('gives up a server that does not answer a ping either', async (t) => {
  const clock = new LateClock()
  const { channel, closed } = await open(t, clock, without(['status', 'ping'], []))
  const { fired } = clock
  await t.rejects(channel.request('status', {}), { code: 'down' })
  t.match(closed, [{ code: 'down' }])
  t.ok(clock.fired - fired <= 8, `after ${clock.fired - fired} checks`)
})

t.test('gives nothing back for one who has not shown to know the password', async (t) => {
  const { port } = await startServer(t)
  let recalls = 0
  let destroyed = 0
  const network: Network = {
    ...tcpNetwork,
    async connect(target, connectMs, events) {
      const connection = await tcpNetwork.connect(target, connectMs, events)
      const { destroy } = connection
      connection.destroy = () => {
        destroyed += 1
        destroy.call(connection)
      }
      events.data(Buffer.concat(recallFrame()))
      return connection
    },
  }
  const credentials = new ScramCredentials('alice', 'secret')
  const opened = ServerConnection.open({
    ...optionsOf(port, network, systemClock),
    credentials: () => credentials,
    onRecall: () => {
      recalls += 1
    },
    onClosed: () => {},
  })
  await t.rejects(opened, { code: 'down', message: 'the server violated the protocol' })
  t.equal(recalls, 0)
  t.ok(destroyed > 0, 'the socket is not left open')
})
