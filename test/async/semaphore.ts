import t from 'tap'
import { Semaphore } from '../../src/async/semaphore.js'

t.test(
  'never gives out more slots than there are, and serves in the order of asking',
  async (t) => {
    const slots = new Semaphore(2)
    const begun: number[] = []
    let running = 0
    let most = 0
    const action = (number: number) => async () => {
      begun.push(number)
      running += 1
      most = Math.max(most, running)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
    }
    await Promise.all([1, 2, 3, 4, 5].map((number) => slots.run(action(number))))
    t.equal(most, 2)
    t.same(begun, [1, 2, 3, 4, 5])
    t.equal(slots.waiting, 0)
  },
)

t.test('gives a slot back when the action fails', async (t) => {
  const slots = new Semaphore(1)
  await t.rejects(
    slots.run(() => Promise.reject(new Error('failed'))),
    /failed/,
  )
  t.equal(await slots.run(async () => 1), 1)
})

t.test('stops the program when a slot is given back twice', async (t) => {
  t.throws(() => new Semaphore(1).give(), /twice/)
})
