import t from 'tap'
import { limits } from '../src/limits.js'
import { HandshakePace } from '../src/tls.js'

const {
  tlsHandshakesAtOnce: atOnce,
  tlsHandshakesPerSecond: perSecond,
  handshakeTimeoutMs,
} = limits

t.test('a host may make some handshakes at once, and then a bounded number a second', async (t) => {
  const pace = new HandshakePace()
  const now = 1_000_000
  for (let count = 0; count < atOnce; count += 1) t.equal(pace.waitMs('a', now), 0)
  t.equal(pace.waitMs('a', now), 1000 / perSecond)
  t.equal(pace.waitMs('a', now), 2000 / perSecond)
  t.equal(pace.waitMs('b', now), 0, 'another host does not wait for that')
  t.equal(pace.waitMs('a', now + 1_000_000), 0, 'and the first one not for ever')
})

t.test('a flood is turned away instead of being kept waiting', async (t) => {
  const pace = new HandshakePace()
  let [taken, refused] = [0, 0]
  for (let ms = 0; ms < 10_000; ms += 1) {
    const wait = pace.waitMs('a', ms)
    if (wait === undefined) refused += 1
    else taken += 1
    t.ok((wait ?? 0) <= handshakeTimeoutMs / 2)
  }
  const most = atOnce + (10 + handshakeTimeoutMs / 2000) * perSecond
  t.ok(taken <= most + 1, `${taken} in ten seconds`)
  t.ok(refused > 9_000)
})

t.test('idle hosts take no memory', async (t) => {
  const pace = new HandshakePace()
  for (let host = 0; host < 100_000; host += 1) pace.waitMs(`${host}`, host * 10)
  t.equal(pace.waitMs('new', 1_000_001), 0)
})
