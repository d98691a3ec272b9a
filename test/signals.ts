import t from 'tap'
import { endOnce } from '../src/signals.js'

t.test('a signal that arrives twice at once is one, a later one is impatience', async (t) => {
  const said: string[] = []
  let nowMs = 1000
  const heard = endOnce(
    (signal) => said.push(signal),
    () => said.push('hurry'),
    () => nowMs,
  )
  heard('SIGINT')
  heard('SIGINT')
  nowMs += 300
  heard('SIGTERM')
  t.same(said, ['SIGINT'])
  nowMs += 300
  heard('SIGINT')
  t.same(said, ['SIGINT', 'hurry'])
})
