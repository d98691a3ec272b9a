import t from 'tap'
import { BufferRefs, SharedBuffer } from '../../src/memory/shared-buffer.js'

t.test('memory goes back once, when the last has let go', async (t) => {
  let released = 0
  const memory = new SharedBuffer()
  const [one, two] = [new BufferRefs(), new BufferRefs()]
  one.add(memory)
  one.add(memory)
  memory.lend(() => {
    released += 1
  })
  two.add(memory)
  memory.release()
  one.release()
  one.release()
  t.equal(released, 0)
  t.ok(two.isLent)
  two.release()
  t.equal(released, 1)
})

t.test('a retain or release after the last release stops the program', async (t) => {
  const memory = new SharedBuffer()
  memory.release()
  t.throws(() => memory.release(), { code: 'ERR_ASSERTION' })
  t.throws(() => memory.retain(), { code: 'ERR_ASSERTION' })
})
