import t from 'tap'
import { timeOfMs } from '../../../src/clock.js'
import { ServersTime } from '../../../src/dfc/cluster/servers-time.js'
import { limits } from '../../../src/limits.js'
import { Seeded } from '../../fixtures/seeded.js'
import { SetClock } from '../../fixtures/set-clock.js'

const minuteMs = 60_000

t.test('the time is the median of the servers, and advances by itself', async (t) => {
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

t.test('a clock that agrees with the servers is used unchanged', async (t) => {
  const clock = new SetClock()
  const time = new ServersTime(clock, (line) => t.fail(line))
  for (const server of ['s1', 's2', 's3']) {
    time.heard(server, clock.wallMs + limits.clockAgreesMs / 2, clock.monotonicMs)
  }
  t.equal(time.now(), clock.wallMs)
  t.equal(time.offsetOf('s1'), 0)
})

t.test('half of the time that an answer took counts as its way back', async (t) => {
  const clock = new SetClock()
  const time = new ServersTime(clock, () => {})
  const askedMs = clock.monotonicMs
  clock.monotonicMs += 800
  time.heard('s1', clock.wallMs + 10 * minuteMs, askedMs)
  t.equal(time.now(), clock.wallMs + 10 * minuteMs + 400)
})

/** Notes the time of a server, with these delays in ms of the request and of the answer. */
function hear(
  time: ServersTime,
  clock: SetClock,
  server: string,
  aheadMs: number,
  thereMs: number,
  backMs: number,
): void {
  const askedMs = clock.monotonicMs
  clock.pass(thereMs)
  const saidMs = Math.floor(clock.wallMs + aheadMs)
  clock.pass(backMs)
  time.heard(server, saidMs, askedMs)
}

t.test('late answers do not move the time, whichever way took long', async (t) => {
  const clock = new SetClock()
  const time = new ServersTime(clock, (line) => t.fail(line))
  const servers = ['s1', 's2', 's3', 's4']
  for (const server of servers) hear(time, clock, server, 0, 1, 1)
  for (const [thereMs, backMs] of [
    [0, 3_900],
    [3_900, 0],
    [20_000, 0],
  ] as const) {
    for (const server of servers) hear(time, clock, server, 0, thereMs, backMs)
    t.equal(time.now(), clock.wallMs)
    clock.pass(minuteMs)
  }
})

t.test('late first answers do not replace a clock that is right', async (t) => {
  const clock = new SetClock()
  const time = new ServersTime(clock, (line) => t.fail(line))
  for (const server of ['s1', 's2', 's3']) hear(time, clock, server, 0, 0, 3_900)
  t.equal(time.now(), clock.wallMs)
  t.equal(time.offsetOf('s1'), 0)
})

t.test(
  'under any delays the time is as right as the best answers, and its source stays',
  async (t) => {
    for (const ownMs of [0, 30 * minuteMs]) {
      const random = new Seeded(14)
      const clock = new SetClock()
      const time = new ServersTime(clock, () => {})
      let [best, worst] = [Number.POSITIVE_INFINITY, 0]
      for (let round = 0; round < 2_000; round += 1) {
        for (const server of ['s1', 's2', 's3', 's4']) {
          const delay = (): number =>
            random.below(5) === 0 ? random.below(20) : random.below(6_000)
          const [thereMs, backMs] = [delay(), delay()]
          hear(time, clock, server, -ownMs, thereMs, backMs)
          best = Math.min(best, thereMs + backMs)
        }
        clock.pass(random.below(minuteMs))
        // After 200 rounds, every server has answered quickly once.
        if (round >= 200) worst = Math.max(worst, Math.abs(time.now() - (clock.wallMs - ownMs)))
      }
      t.ok(best < 100, `${best} ms`)
      t.ok(ownMs === 0 ? worst === 0 : worst < 1_000, `${worst} ms off`)
    }
  },
)

t.test('a clock that is set is followed at once', async (t) => {
  const clock = new SetClock()
  const time = new ServersTime(clock, () => {})
  const servers = ['s1', 's2', 's3']
  for (const server of servers) hear(time, clock, server, 0, 0, 0)
  for (const server of servers) hear(time, clock, server, minuteMs, 100, 900)
  t.equal(time.now(), clock.wallMs + minuteMs - 400)
  for (const server of servers) hear(time, clock, server, minuteMs, 3, 3)
  t.equal(time.now(), clock.wallMs + minuteMs)
})

t.test('the source does not alternate when a clock is about as far off as allowed', async (t) => {
  const clock = new SetClock()
  const time = new ServersTime(clock, () => {})
  const isOwn = (): boolean => time.now() === clock.wallMs
  const heard = (aheadMs: number): void => {
    for (const server of ['s1', 's2', 's3']) hear(time, clock, server, aheadMs, 1, 1)
  }
  const seen: boolean[] = []
  for (const aheadMs of [950, 1_010, 990, 1_010, 700, 1_010, 400, 950]) {
    heard(aheadMs)
    seen.push(isOwn())
  }
  t.same(seen, [true, false, false, false, false, false, true, true])
})
