import t from 'tap'
import { Listeners } from '../src/listeners.js'

t.test('a second listener does not unhook the first', async (t) => {
  const listeners = new Listeners<[string]>()
  const heard: string[] = []
  const stop = listeners.add((what) => heard.push(`first ${what}`))
  listeners.add((what) => heard.push(`second ${what}`))
  listeners.call('a')
  stop()
  stop()
  listeners.call('b')
  t.strictSame(heard, ['first a', 'second a', 'second b'])
})

t.test('the same function twice is stopped once for each', async (t) => {
  const listeners = new Listeners()
  let count = 0
  const listener = (): void => {
    count += 1
  }
  const stop = listeners.add(listener)
  listeners.add(listener)
  stop()
  listeners.call()
  t.equal(count, 1)
  listeners.clear()
  listeners.call()
  t.equal(count, 1)
})
