import t from 'tap'
import { SecondAttempts } from '../../../src/fuse/vfs/second-attempts.js'
import { limits } from '../../../src/limits.js'
import { StandingClock } from '../../fixtures/standing-clock.js'

t.test('a thread that was sent back may come once more, with inodes found since', async (t) => {
  const again = new SecondAttempts(new StandingClock())
  t.notOk(again.take(7, 5))
  again.expect(7, 5)
  t.ok(again.isExpected(7))
  t.notOk(again.isExpected(8))
  t.notOk(again.take(8, 5), 'somebody else')
  t.notOk(again.take(7, 6), 'something else')
  again.found(7, 6)
  t.ok(again.take(7, 6))
  t.notOk(again.take(7, 6), 'once')
  again.expect(7, 5)
  t.ok(again.take(7, 5), 'the same, by the name that it still has')
})

t.test('threads that cannot be told apart come as often as they were sent back', async (t) => {
  const again = new SecondAttempts(new StandingClock())
  again.expect(0, 5)
  again.expect(0, 6)
  t.ok(again.take(0, 6))
  t.ok(again.take(0, 5))
  t.notOk(again.take(0, 5))
})

t.test('a thread that does not come back soon has given up', async (t) => {
  const clock = new StandingClock()
  const again = new SecondAttempts(clock)
  again.expect(7, 5)
  clock.pass(limits.nameBelievedMs + 1)
  t.notOk(again.isExpected(7))
  t.notOk(again.take(7, 5))
})
