import t from 'tap'
import { compareTimes, systemClock } from '../src/clock.js'

t.test('the fine time does not go back when it is set anew', async (t) => {
  let [last, count] = [systemClock.time(), 0]
  for (const endMs = performance.now() + 1000; performance.now() < endMs; ) {
    const time = systemClock.time()
    if (compareTimes(time, last) < 0) count += 1
    last = time
  }
  t.equal(count, 0)
})
