import t from 'tap'
import { PageMemory } from '../../src/memory/page-memory.js'
import { poisonByte, poisonOf } from '../../src/memory/poison.js'
import { BufferRefs, SharedBuffer } from '../../src/memory/shared-buffer.js'
import '../fixtures/poisoned.js'

const isPoisoned = (bytes: Buffer): boolean => bytes.every((byte) => byte === poisonByte)

t.test('a read of a buffer after it was given back sees the pattern', async (t) => {
  const memory = new PageMemory(1)
  const buffer = memory.take()
  if (buffer === undefined) return t.fail('there was one')
  buffer.fill('what was read')
  const view = buffer.subarray(4096, 8192)
  t.notOk(isPoisoned(view))
  memory.give(buffer)
  t.ok(isPoisoned(view))
  t.throws(() => memory.give(buffer), { code: 'ERR_ASSERTION' })
})

t.test('what several share is overwritten when the last has let go', async (t) => {
  const memory = new PageMemory(1)
  const buffer = memory.take()
  if (buffer === undefined) return t.fail('there was one')
  buffer.fill('what was read')
  const shared = new SharedBuffer()
  shared.lend(() => memory.give(buffer))
  const reader = new BufferRefs()
  reader.add(shared)
  shared.release()
  t.notOk(isPoisoned(buffer))
  reader.release()
  t.ok(isPoisoned(buffer))
})

t.test('without the variable and DEBUG nothing is overwritten', async (t) => {
  const bytes = Buffer.from('as it was')
  poisonOf({})(bytes)
  t.equal(bytes.toString(), 'as it was')
})
