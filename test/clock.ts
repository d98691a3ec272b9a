import t from 'tap'
import { bootClock, compareTimes, systemClock } from '../src/clock.js'

t.test('the fine time does not go back when it is set anew', async (t) => {
  let [last, count] = [systemClock.time(), 0]
  for (const endMs = performance.now() + 300; performance.now() < endMs; ) {
    const time = systemClock.time()
    if (compareTimes(time, last) < 0) count += 1
    last = time
  }
  t.equal(count, 0)
})

t.test(
  'a suspend counts for the monotonic clock, and a wall clock that is set does not',
  async (t) => {
    let [wallMs, runningMs, bootMs, asked] = [1_700_000_000_000, 10_000, 70_000, 0]
    const monotonic = bootClock({
      wall: () => wallMs,
      running: () => runningMs,
      sinceBoot: () => {
        asked += 1
        return Math.floor(bootMs / 10) * 10
      },
    })
    const pass = (ms: number): void => {
      wallMs += ms
      runningMs += ms
      bootMs += ms
    }
    const beginMs = monotonic()
    pass(5_004)
    t.equal(monotonic() - beginMs, 5_004)
    t.equal(asked, 1, 'the system is asked only when something happened')
    wallMs += 3_600_000
    bootMs += 3_600_000
    pass(7)
    const resumedMs = monotonic() - beginMs
    t.ok(Math.abs(resumedMs - 3_605_011) <= 10, `${resumedMs} ms`)
    for (const jumpMs of [-86_400_000, 86_400_000, 60]) {
      wallMs += jumpMs
      pass(100)
      monotonic()
    }
    t.equal(monotonic() - beginMs, resumedMs + 300)
  },
)

t.test('the system shows its monotonic time', async (t) => {
  const [beginMs, fineMs] = [systemClock.monotonic(), performance.now()]
  await new Promise((resolve) => setTimeout(resolve, 50))
  const passedMs = systemClock.monotonic() - beginMs
  t.ok(Math.abs(passedMs - (performance.now() - fineMs)) < 20, `${passedMs} ms`)
})
