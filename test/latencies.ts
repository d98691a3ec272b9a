import t from 'tap'
import { Latencies, latenciesSince, latencyBounds, quantileMs } from '../src/latencies.js'

t.test('each time is in the bucket between its bounds', async (t) => {
  for (const ms of [0, 0.001, 0.0079, 0.008, 0.1, 1, 3.3, 1000, 60_000, 1e9]) {
    const latencies = new Latencies()
    latencies.note(ms)
    const index = latencies.buckets.indexOf(1)
    t.ok(ms / 1000 <= (latencyBounds[index] ?? Infinity), `${ms}`)
    if (index > 0) t.ok(ms / 1000 >= (latencyBounds[index - 1] ?? Infinity) * 0.999, `${ms}`)
  }
})

t.test('a quantile is the bound of the bucket that it is in', async (t) => {
  const latencies = new Latencies()
  t.equal(quantileMs(latencies, 0.5), undefined)
  for (let count = 0; count < 99; count += 1) latencies.note(0.02)
  latencies.note(50)
  t.equal(quantileMs(latencies, 0.5), 0.032)
  t.equal(quantileMs(latencies, 0.99), 0.032)
  t.equal(quantileMs(latencies, 1), 65.536)
})

t.test('what was counted since a moment', async (t) => {
  const latencies = new Latencies()
  latencies.note(1)
  const before = JSON.parse(JSON.stringify(latencies))
  latencies.note(2)
  const { count, sumMs, buckets } = latenciesSince(latencies, before)
  t.equal(count, 1)
  t.equal(sumMs, 2)
  t.equal(
    buckets.reduce((a, b) => a + b),
    1,
  )
  t.equal(latenciesSince(latencies), latencies)
})
