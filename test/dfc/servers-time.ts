import t from 'tap'
import { timeOfMs } from '../../src/clock.js'
import { ServersTime } from '../../src/dfc/servers-time.js'
import { limits } from '../../src/limits.js'
import { SetClock } from '../fixtures/set-clock.js'

const minuteMs = 60_000

t.test('the time is the median of what the servers say, and goes on by itself', async (t) => {
  const clock = new SetClock()
  const told: string[] = []
  const time = new ServersTime(clock, (line) => void told.push(line))
  const trueMs = clock.wallMs
  t.equal(time.now(), trueMs)
  clock.wallMs += 3_600_000
  for (const [server, off] of [
    ['s1', 5],
    ['s2', -20 * minuteMs],
    ['s3', 15],
    ['s4', 0],
  ] as const) {
    time.heard(server, trueMs + off, clock.monotonicMs)
  }
  t.equal(time.now(), trueMs + 2.5)
  t.same(time.time(), timeOfMs(trueMs + 2.5))
  clock.wallMs -= 9 * 3_600_000
  clock.monotonicMs += 1000
  t.equal(time.now(), trueMs + 1002.5, 'its own clock may jump')
  t.match(told, [
    /s2's clock is 20 minutes behind the others/,
    /the clock of this machine is 60 minutes ahead of those of the servers/,
  ])
  time.heard('s2', trueMs + 1000 - 20 * minuteMs, clock.monotonicMs)
  t.equal(told.length, 2, 'each is named once')
  time.heard('s2', trueMs + 1000, clock.monotonicMs)
  time.heard('s2', trueMs + 1000 - 20 * minuteMs, clock.monotonicMs)
  t.equal(told.length, 3, 'and again when it was right in between')
})

t.test('a clock that agrees with the servers is taken as it is', async (t) => {
  const clock = new SetClock()
  const time = new ServersTime(clock, (line) => t.fail(line))
  for (const server of ['s1', 's2', 's3']) {
    time.heard(server, clock.wallMs + limits.clockAgreesMs / 2, clock.monotonicMs)
  }
  t.equal(time.now(), clock.wallMs)
  t.equal(time.offsetOf('s1'), 0)
})

t.test('half of the time that an answer took is taken for its way back', async (t) => {
  const clock = new SetClock()
  const time = new ServersTime(clock, () => {})
  const askedMs = clock.monotonicMs
  clock.monotonicMs += 800
  time.heard('s1', clock.wallMs + 10 * minuteMs, askedMs)
  t.equal(time.now(), clock.wallMs + 10 * minuteMs + 400)
})
