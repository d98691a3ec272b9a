/** Who is alone, as one server tells it. */
import t, { type Test } from 'tap'
import { limits } from '../../../src/limits.js'
import { startServer } from '../../fixtures/one-server.js'
import { RawClient } from '../../fixtures/raw-client.js'
import { until } from '../../fixtures/servers.js'
import { StandingClock } from '../../fixtures/standing-clock.js'

const open = (port: number, id: string): Promise<RawClient> =>
  RawClient.open(port, 'alice', 'secret', id)

const waitMs = limits.leaseMs + limits.leaseSlackMs

/** A server for which no time passes unless the test says so. */
async function standing(t: Test, folder?: string) {
  const clock = new StandingClock()
  const { server, port } = await startServer(
    t,
    folder === undefined ? { clock } : { clock, folder },
  )
  return { clock, server, port }
}

/** A client of the same user that wants to come in. */
class Entering {
  readonly #port: number
  #client: RawClient | undefined

  constructor(port: number) {
    this.#port = port
    void open(port, '00000002').then((client) => {
      this.#client = client
    })
  }

  /** Whether the server lets it wait: another user who came later is in by now. */
  async waits(): Promise<boolean> {
    const other = await RawClient.open(this.#port, 'bob')
    await other.call('ping', {})
    return this.#client === undefined
  }

  async comesIn(): Promise<RawClient> {
    await until(() => this.#client !== undefined)
    if (this.#client === undefined) throw new Error('it is not in')
    return this.#client
  }
}

t.test('who is alone gets it, and is asked before another client is let in', async (t) => {
  const { port } = await standing(t)
  const first = await open(port, '00000001')
  const { granted, generation } = await first.call('lease', { wanted: true })
  t.equal(granted, true)
  t.same(await first.call('lease', { wanted: true }), { granted, generation })
  const entering = new Entering(port)
  await until(() => first.recalls > 0)
  t.ok(await entering.waits())
  await first.call('lease', { wanted: false })
  const second = await entering.comesIn()
  t.same(await second.call('lease', { wanted: true }), {
    granted: false,
    generation: generation + 1,
  })
  t.equal((await first.call('lease', { wanted: true })).granted, false)
})

t.test('who does not answer is waited for until it cannot count on it any more', async (t) => {
  const { clock, port } = await standing(t)
  const first = await open(port, '00000001')
  await first.call('lease', { wanted: true })
  const entering = new Entering(port)
  await until(() => first.recalls > 0)
  clock.pass(waitMs - 1)
  t.ok(await entering.waits())
  clock.pass(1)
  await entering.comesIn()
  t.equal(first.recalls, 1)
})

t.test('what it says meanwhile does not make the other wait longer', async (t) => {
  const { clock, port } = await standing(t)
  const first = await open(port, '00000001')
  await first.call('lease', { wanted: true })
  const entering = new Entering(port)
  await until(() => first.recalls > 0)
  clock.pass(waitMs - 1)
  await first.call('ping', {})
  t.ok(await entering.waits())
  clock.pass(1)
  await entering.comesIn()
})

t.test('every message makes it hold longer', async (t) => {
  const { clock, port } = await standing(t)
  const first = await open(port, '00000001')
  await first.call('lease', { wanted: true })
  clock.pass(limits.leaseMs - 200)
  await first.call('ping', {})
  const entering = new Entering(port)
  await until(() => first.recalls > 0)
  clock.pass(waitMs - 1)
  t.ok(await entering.waits())
  clock.pass(1)
  await entering.comesIn()
})

t.test('one that has run out is taken back before anybody is answered', async (t) => {
  const { clock, port } = await standing(t)
  const first = await open(port, '00000001')
  await first.call('lease', { wanted: true })
  clock.pass(waitMs)
  const second = await open(port, '00000002')
  await second.call('ping', {})
  await first.call('ping', {})
  t.equal(first.recalls, 1)
})

t.test('it is given again, as another one, when the other has left', async (t) => {
  const { port } = await standing(t)
  const first = await open(port, '00000001')
  const { generation } = await first.call('lease', { wanted: true })
  await first.call('lease', { wanted: false })
  const second = await open(port, '00000002')
  second.close()
  await second.closed
  let again = await first.call('lease', { wanted: true })
  while (!again.granted) again = await first.call('lease', { wanted: true })
  t.same(again, { granted: true, generation: generation + 1 })
})

t.test('connecting again is no other client, and other users do not count', async (t) => {
  const { port } = await standing(t)
  const first = await open(port, '00000001')
  const { generation } = await first.call('lease', { wanted: true })
  await RawClient.open(port, 'bob')
  first.close()
  const again = await open(port, '00000001')
  t.same(await again.call('lease', { wanted: true }), { granted: true, generation })
})

t.test('a server that was started anew still waits for who had it', async (t) => {
  const folder = t.testdir({})
  const before = await standing(t, folder)
  const first = await open(before.port, '00000001')
  await first.call('lease', { wanted: true })
  await before.server.stop(0)
  const { clock, port } = await standing(t, folder)
  // The account is opened, and the lease counts anew, when the first of its clients comes.
  const entering = new Entering(port)
  t.ok(await entering.waits())
  clock.pass(waitMs - 1)
  t.ok(await entering.waits())
  clock.pass(1)
  await entering.comesIn()
})

t.test('who gives up waiting is forgotten', async (t) => {
  const { port } = await standing(t)
  const first = await open(port, '00000001')
  const { generation } = await first.call('lease', { wanted: true })
  const impatient = await RawClient.connect(port)
  void impatient.login('alice', 'secret', '00000002').catch(() => undefined)
  await until(() => first.recalls > 0)
  impatient.close()
  await impatient.closed
  await first.call('lease', { wanted: false })
  let again = await first.call('lease', { wanted: true })
  while (!again.granted) again = await first.call('lease', { wanted: true })
  t.equal(again.generation, generation)
})
