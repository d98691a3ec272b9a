/** Who is alone, as one server tells it. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { startServer } from '../fixtures/one-server.js'
import { RawClient } from '../fixtures/raw-client.js'

const open = (port: number, id: string): Promise<RawClient> =>
  RawClient.open(port, 'alice', 'secret', id)

const waitMs = limits.leaseMs + limits.leaseSlackMs

/** How long `action` takes, in milliseconds. */
async function timed<T>(action: Promise<T>): Promise<[number, T]> {
  const begin = performance.now()
  const result = await action
  return [performance.now() - begin, result]
}

t.test('who is alone gets it, and is asked before another client is let in', async (t) => {
  const { port } = await startServer(t)
  const first = await open(port, '00000001')
  const { granted, generation } = await first.call('lease', { wanted: true })
  t.equal(granted, true)
  t.same(await first.call('lease', { wanted: true }), { granted, generation })
  const entering = open(port, '00000002')
  while (first.recalls === 0) await first.call('ping', {})
  await first.call('lease', { wanted: false })
  const [, second] = await timed(entering)
  t.same(await second.call('lease', { wanted: true }), {
    granted: false,
    generation: generation + 1,
  })
  t.equal((await first.call('lease', { wanted: true })).granted, false)
})

t.test('who does not answer is waited for until it cannot count on it any more', async (t) => {
  const { port } = await startServer(t)
  const first = await open(port, '00000001')
  await first.call('lease', { wanted: true })
  const [ms] = await timed(open(port, '00000002'))
  t.ok(ms > waitMs - 50, `${ms} ms`)
  t.ok(ms < limits.requestTimeoutMs, `${ms} ms`)
  t.equal(first.recalls, 1)
})

t.test('what it says meanwhile does not make the other wait longer', async (t) => {
  const { port } = await startServer(t)
  const first = await open(port, '00000001')
  await first.call('lease', { wanted: true })
  const pinging = setInterval(() => void first.call('ping', {}), 50)
  t.teardown(() => clearInterval(pinging))
  const [ms] = await timed(open(port, '00000002'))
  t.ok(ms < limits.requestTimeoutMs, `${ms} ms`)
})

t.test('every message makes it hold longer', async (t) => {
  const { port } = await startServer(t)
  const first = await open(port, '00000001')
  await first.call('lease', { wanted: true })
  await sleep(limits.leaseMs - 200)
  await first.call('ping', {})
  const [ms] = await timed(open(port, '00000002'))
  t.ok(ms > waitMs - 50, `${ms} ms`)
})

t.test('one that has run out is taken back before anybody is answered', async (t) => {
  const { port } = await startServer(t)
  const first = await open(port, '00000001')
  await first.call('lease', { wanted: true })
  await sleep(waitMs + 50)
  const [ms, second] = await timed(open(port, '00000002'))
  t.ok(ms < limits.leaseMs / 2, `${ms} ms`)
  await second.call('ping', {})
  await first.call('ping', {})
  t.equal(first.recalls, 1)
})

t.test('it is given again, as another one, when the other has left', async (t) => {
  const { port } = await startServer(t)
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
  const { port } = await startServer(t)
  const first = await open(port, '00000001')
  const { generation } = await first.call('lease', { wanted: true })
  await RawClient.open(port, 'bob')
  first.close()
  const [ms, again] = await timed(open(port, '00000001'))
  t.ok(ms < limits.leaseMs / 2, `${ms} ms`)
  t.same(await again.call('lease', { wanted: true }), { granted: true, generation })
})

t.test('a server that was started anew still waits for who had it', async (t) => {
  const folder = t.testdir({})
  const server = await startServer(t, { folder })
  const first = await open(server.port, '00000001')
  await first.call('lease', { wanted: true })
  await server.server.stop(0)
  const { port } = await startServer(t, { folder })
  const [ms] = await timed(open(port, '00000002'))
  t.ok(ms > waitMs - 50, `${ms} ms`)
})

t.test('who gives up waiting is forgotten', async (t) => {
  const { port } = await startServer(t)
  const first = await open(port, '00000001')
  const { generation } = await first.call('lease', { wanted: true })
  const impatient = await RawClient.connect(port)
  void impatient.login('alice', 'secret', '00000002').catch(() => undefined)
  while (first.recalls === 0) await first.call('ping', {})
  impatient.close()
  await impatient.closed
  await first.call('lease', { wanted: false })
  let again = await first.call('lease', { wanted: true })
  while (!again.granted) again = await first.call('lease', { wanted: true })
  t.equal(again.generation, generation)
})
