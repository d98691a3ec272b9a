import t from 'tap'
import type { Clock } from '../../src/clock.js'
import { systemClock } from '../../src/clock.js'
import { limits } from '../../src/limits.js'
import {
  clientOfVersion,
  HybridClock,
  laterOf,
  msOfVersion,
  noVersion,
  versionOf,
} from '../../src/wire/version.js'
import { Seeded } from '../fixtures/seeded.js'

class SetClock implements Clock {
  ms = 1_700_000_000_000
  now = (): number => this.ms
  time = systemClock.time
  monotonic = systemClock.monotonic
  after = systemClock.after
}

t.test('orders versions by time, then counter, then client', async (t) => {
  const ordered = [
    noVersion,
    versionOf(1, 0, '00000000'),
    versionOf(1, 0, 'ffffffff'),
    versionOf(1, 1, '00000000'),
    versionOf(1, 0xffff, '00000000'),
    versionOf(2, 0, '00000000'),
    versionOf(2 ** 48 - 1, 0, '00000000'),
  ]
  t.same([...ordered].reverse().sort(), ordered)
  t.equal(laterOf(ordered[1] ?? '', ordered[2] ?? ''), ordered[2])
})

t.test('says when and by whom a version was made', async (t) => {
  const version = versionOf(1_700_000_000_123, 7, '0badcafe')
  t.equal(version.length, 24)
  t.equal(msOfVersion(version), 1_700_000_000_123)
  t.equal(clientOfVersion(version), '0badcafe')
})

t.test('never repeats a version nor goes back, whatever the clock does', async (t) => {
  const clock = new SetClock()
  const hybrid = new HybridClock(clock, '00000001')
  const random = new Seeded(5)
  let last = noVersion
  for (let round = 0; round < 200_000; round += 1) {
    if (random.below(1000) === 0) clock.ms += random.below(2000) - 1000
    const next = hybrid.next()
    if (next <= last) t.fail(`${next} after ${last}`)
    last = next
  }
})

t.test('is ahead of every version it was shown, also when its clock is behind', async (t) => {
  const clock = new SetClock()
  const hybrid = new HybridClock(clock, '00000001')
  const future = versionOf(clock.ms + limits.clockAheadMsMax / 2, 0xffff, 'ffffffff')
  hybrid.see(future)
  t.ok(hybrid.next() > future)
  hybrid.see(versionOf(1, 0, '00000002'))
  t.ok(hybrid.next() > future, 'an old version does not turn it back')
})

t.test('what is from the far future is followed by one version and not by all', async (t) => {
  const clock = new SetClock()
  const hybrid = new HybridClock(clock, '00000001')
  for (const far of [
    versionOf(clock.ms + 86_400_000, 0xffff, 'ffffffff'),
    `${'f'.repeat(20)}00000000`,
  ]) {
    hybrid.see(far)
    t.equal(msOfVersion(hybrid.next()), clock.ms, 'it is only seen')
  }
  const far = versionOf(clock.ms + 86_400_000, 0xffff, 'ffffffff')
  const [first, second] = [hybrid.next(far), hybrid.next(far)]
  t.ok(first > far && second > far && first !== second)
  t.ok(msOfVersion(second) <= msOfVersion(far) + 1, 'it stands just above')
  t.equal(msOfVersion(hybrid.next()), clock.ms)
})

t.test('comes back to the present when its clock is set back, and repeats nothing', async (t) => {
  const clock = new SetClock()
  const hybrid = new HybridClock(clock, '00000001')
  const made = new Set<string>()
  const beginMs = clock.ms
  for (let round = 0; round < 5; round += 1) {
    clock.ms = beginMs + 3_600_000
    for (let count = 0; count < 100; count += 1) made.add(hybrid.next())
    clock.ms = beginMs
    const next = hybrid.next()
    t.equal(msOfVersion(next), beginMs)
    made.add(next)
  }
  t.equal(made.size, 5 * 101)
})

t.test('shows the time of its clock while that is ahead', async (t) => {
  const clock = new SetClock()
  const hybrid = new HybridClock(clock, '00000001')
  hybrid.next()
  clock.ms += 5
  t.equal(hybrid.next(), versionOf(clock.ms, 0, '00000001'))
})
