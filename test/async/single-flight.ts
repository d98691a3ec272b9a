import t from 'tap'
import { KeyedSingleFlight, SingleFlight } from '../../src/async/single-flight.js'

t.test('calls during a run share it, and the next call runs again', async (t) => {
  const flight = new SingleFlight<number>()
  let runs = 0
  const gate = Promise.withResolvers<void>()
  const action = async (): Promise<number> => {
    runs += 1
    await gate.promise
    return runs
  }
  t.equal(flight.running, undefined)
  const both = [flight.run(action), flight.run(async () => -1)]
  t.equal(flight.running, both[0])
  gate.resolve()
  t.same(await Promise.all(both), [1, 1])
  t.equal(flight.running, undefined)
  t.equal(await flight.run(action), 2)
})

t.test('a caller that awaited a run can start another one at once', async (t) => {
  const flight = new SingleFlight<number>()
  const again = async (): Promise<number> => {
    await flight.run(async () => 1)
    return flight.run(async () => 2)
  }
  t.same(await Promise.all([again(), again()]), [2, 2])
})

t.test('a failure reaches all that share the run, and ends it', async (t) => {
  const flight = new SingleFlight<void>()
  const fail = (): Promise<void> => Promise.reject(new Error('failed'))
  const both = [flight.run(fail), flight.run(fail)]
  for (const one of both) await t.rejects(one, /failed/)
  await t.resolves(flight.run(async () => {}))
})

t.test('runs of different keys do not wait for one another', async (t) => {
  const flight = new KeyedSingleFlight<string, string>()
  const gate = Promise.withResolvers<void>()
  const begun: string[] = []
  const run = (key: string): Promise<string> =>
    flight.run(key, async () => {
      begun.push(key)
      if (key === 'a') await gate.promise
      return key
    })
  const first = run('a')
  const second = run('a')
  t.equal(await run('b'), 'b')
  t.ok(flight.isRunning('a'))
  t.notOk(flight.isRunning('b'))
  gate.resolve()
  t.same(await Promise.all([first, second]), ['a', 'a'])
  t.notOk(flight.isRunning('a'))
  await run('a')
  t.same(begun, ['a', 'b', 'a'])
})
