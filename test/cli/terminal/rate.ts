import t from 'tap'
import { Rate } from '../../../src/cli/terminal/rate.js'

t.test('says nothing before there is something to go by', async (t) => {
  const rate = new Rate(1000)
  t.equal(rate.perSecond(1000), undefined)
  rate.note(1100, 1e9)
  t.equal(rate.perSecond(1100), undefined)
  t.equal(rate.perSecond(2000), 1e9)
})

t.test('follows the last ten seconds, and not all the time since the start', async (t) => {
  const rate = new Rate(0)
  for (let second = 1; second <= 60; second += 1) rate.note(second * 1000, second * 100)
  t.equal(rate.perSecond(60_000), 100)
  for (let second = 61; second <= 71; second += 1) {
    rate.note(second * 1000, 6000 + (second - 60) * 1000)
  }
  t.equal(rate.perSecond(71_000), 1000)
})

t.test('falls to nothing while nothing moves', async (t) => {
  const rate = new Rate(0)
  rate.note(1000, 5000)
  t.equal(rate.perSecond(1000), 5000)
  t.equal(rate.perSecond(5000), 1000)
  rate.note(20_000, 5000)
  t.equal(rate.perSecond(20_000), 0)
})

t.test('counts what comes at once as one, and keeps few samples', async (t) => {
  const rate = new Rate(0)
  for (let ms = 1; ms <= 20_000; ms += 1) rate.note(ms, ms * 1000)
  const perSecond = rate.perSecond(20_000) ?? 0
  t.ok(Math.abs(perSecond - 1e6) < 1e4, `${perSecond}`)
})
