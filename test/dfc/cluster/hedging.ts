import t from 'tap'
import { sleep, systemClock } from '../../../src/clock.js'
import { HedgeDelay, inTurn, isLate, untilEnough } from '../../../src/dfc/cluster/hedging.js'
import { limits } from '../../../src/limits.js'

type Word = 'yes' | 'no'

const never = new Promise<Word>(() => {})
const after = async (ms: number, word: Word = 'yes'): Promise<Word> => {
  await sleep(systemClock, ms)
  return word
}

/** Arguments for a hedged request, which collect the servers found to be late. */
function hedge(slow: readonly number[] = []) {
  const late: number[] = []
  const isSlow = (at: number): boolean => slow.includes(at)
  const onLate = (at: number): void => void late.push(at)
  const isGood = (word: Word): boolean => word === 'yes'
  return { late, clock: systemClock, hedgeDelay: new HedgeDelay(), isGood, isSlow, onLate }
}

async function timed<T>(action: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const begin = performance.now()
  const result = await action()
  return { result, ms: performance.now() - begin }
}

t.test('a request waits for all servers while none is late', async (t) => {
  const asked = [after(1), after(20), after(5, 'no'), after(60)]
  const how = hedge()
  t.same(await untilEnough(asked, 3, how), ['yes', 'yes', 'no', 'yes'])
  t.same(how.late, [])
})

t.test('a late server is given up once enough have answered, and is reported', async (t) => {
  const how = hedge()
  const asked = [after(1), never, after(2), after(3)]
  const { result, ms } = await timed(() => untilEnough(asked, 3, how))
  t.same(result, ['yes', undefined, 'yes', 'yes'])
  t.same(how.late, [1])
  t.ok(ms >= limits.hedgeMs - 5, `${ms} ms`)
})

t.test('a server that is known to be slow is not waited for', async (t) => {
  const how = hedge([1])
  const asked = [after(1), never, after(2), after(3)]
  const { result, ms } = await timed(() => untilEnough(asked, 3, how))
  t.same(result, ['yes', undefined, 'yes', 'yes'])
  t.ok(ms < limits.hedgeMs / 2, `${ms} ms`)
})

t.test('a slow server is waited for where the others are not enough', async (t) => {
  const how = hedge([1])
  const asked = [after(1), after(500), after(2, 'no'), after(3)]
  t.same(await untilEnough(asked, 3, how), ['yes', 'yes', 'no', 'yes'])
  t.same(await untilEnough([], 3, how), [])
})

t.test('another server is asked in the place of one that fails or is late', async (t) => {
  const answers = [() => after(1, 'no'), () => never, () => after(1), () => after(1)]
  const asked: number[] = []
  const how = hedge()
  const ask = (at: number): Promise<Word> => {
    asked.push(at)
    return answers[at]?.() ?? never
  }
  t.same(await inTurn(4, 2, ask, how), ['yes', 'yes'])
  t.same(asked, [0, 1, 2, 3])
  t.same(how.late, [1])
})

t.test(
  'another server is asked in the place of one that fails while an earlier one is late',
  async (t) => {
    const how = hedge()
    const answers = [() => never, () => after(1, 'no'), () => after(1)]
    const ask = (at: number): Promise<Word> => answers[at]?.() ?? never
    const { result, ms } = await timed(() => inTurn(3, 1, ask, how))
    t.same(result, ['yes'])
    t.ok(ms < 1.8 * limits.hedgeMs, `${ms} ms, and the second was asked after ${limits.hedgeMs} ms`)
  },
)

t.test('only two servers are asked while they answer', async (t) => {
  const asked: number[] = []
  const how = hedge()
  const ask = (at: number): Promise<Word> => {
    asked.push(at)
    return after(20 * at)
  }
  t.same(await inTurn(4, 2, ask, how), ['yes', 'yes'])
  t.same(asked, [0, 1])
  t.same(how.late, [])
})

t.test('with too few servers the result has fewer answers', async (t) => {
  const how = hedge()
  t.same(await inTurn(2, 2, (at) => after(1, at === 0 ? 'no' : 'yes'), how), ['yes'])
  t.same(await inTurn(1, 2, () => after(1, 'no'), how), [])
  t.same(await inTurn(0, 2, () => never, how), [])
})

t.test('in a slow network no server counts as late', async (t) => {
  const hedgeDelay = new HedgeDelay()
  t.equal(hedgeDelay.ms, limits.hedgeMs)
  for (let i = 0; i < 100; i += 1) hedgeDelay.note(400)
  t.ok(hedgeDelay.ms > 1_100, `${hedgeDelay.ms} ms`)
  t.notOk(isLate(1_000, hedgeDelay.ms, 400))
  t.notOk(isLate(1_000, limits.hedgeMs, 400), 'the others took 400 ms as well')
  t.ok(isLate(1_000, limits.hedgeMs, 20))
})
