import t from 'tap'
import { HeldMemory, Holds } from '../../src/memory/shared-buffer.js'

t.test('memory goes back once, when the last has let go', async (t) => {
  let released = 0
  const memory = new HeldMemory()
  const [one, two] = [new Holds(), new Holds()]
  one.add(memory)
  one.add(memory)
  memory.lend(() => {
    released += 1
  })
  two.add(memory)
  memory.letGo()
  one.letGo()
  one.letGo()
  t.equal(released, 0)
  t.ok(two.isLent)
  two.letGo()
  t.equal(released, 1)
})

t.test('whoever holds or lets go too late is stopped', async (t) => {
  const memory = new HeldMemory()
  memory.letGo()
  t.throws(() => memory.letGo(), { code: 'ERR_ASSERTION' })
  t.throws(() => memory.hold(), { code: 'ERR_ASSERTION' })
})
