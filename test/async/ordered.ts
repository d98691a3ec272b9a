import t from 'tap'
import { inOrder } from '../../src/async/ordered.js'

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

t.test('yields in the order of the items, whichever is done first', async (t) => {
  const results: number[] = []
  const action = async (item: number): Promise<number> => {
    await later(20 - item * 3)
    return item
  }
  for await (const result of inOrder([1, 2, 3, 4, 5], 3, action)) results.push(result)
  t.same(results, [1, 2, 3, 4, 5])
})

t.test('runs no more actions ahead than allowed', async (t) => {
  let begun = 0
  let taken = 0
  const action = async (item: number): Promise<number> => {
    begun += 1
    t.ok(begun - taken <= 3, `${begun} begun, ${taken} taken`)
    return item
  }
  for await (const _ of inOrder([1, 2, 3, 4, 5, 6, 7], 3, action)) taken += 1
  t.equal(taken, 7)
})

t.test('throws a failure when its turn comes, and not before', async (t) => {
  const results: number[] = []
  const action = async (item: number): Promise<number> => {
    if (item === 3) throw new Error('third')
    await later(5)
    return item
  }
  const consume = async (): Promise<void> => {
    for await (const result of inOrder([1, 2, 3, 4], 4, action)) results.push(result)
  }
  await t.rejects(consume(), /third/)
  t.same(results, [1, 2])
})
