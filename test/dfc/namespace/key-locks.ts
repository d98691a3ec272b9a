import t from 'tap'
import { KeyLocks } from '../../../src/dfc/namespace/key-locks.js'

t.test('an exclusive lock excludes all others, and shared locks are held together', async (t) => {
  const locks = new KeyLocks()
  let alone = 0
  let together = 0
  let most = 0
  const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const exclusive = (): Promise<void> =>
    locks.hold(['e1/a'], ['i1'], async () => {
      alone += 1
      t.equal(alone + together, 1)
      await pause()
      alone -= 1
    })
  const shared = (): Promise<void> =>
    locks.hold([], ['e1/a', 'i1'], async () => {
      together += 1
      most = Math.max(most, together)
      t.equal(alone, 0)
      await pause()
      together -= 1
    })
  await Promise.all([exclusive(), shared(), shared(), exclusive(), shared(), exclusive()])
  t.equal(most, 2)
})
