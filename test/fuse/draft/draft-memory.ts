import t from 'tap'
import { Semaphore } from '../../../src/async/semaphore.js'
import { DraftMemory } from '../../../src/fuse/draft/draft-memory.js'

/** Makes a holder of `bytes` whose spilling takes its lock. */
function holderIn(memory: DraftMemory, lock: Semaphore, bytes: number) {
  const holder = {
    spillableBytes: bytes,
    uploading: undefined,
    spill: () =>
      lock.run(async () => {
        holder.spillableBytes = 0
        memory.note(holder, 0)
      }),
  }
  memory.note(holder, bytes)
  return holder
}

t.test('a write waits for room without the lock that making room takes', async (t) => {
  const memory = new DraftMemory(100)
  const lock = new Semaphore(1)
  const holder = holderIn(memory, lock, 101)
  const left = await memory.whenRoom(lock, async () => holder.spillableBytes)
  t.equal(left, 0)
})

t.test('memory is not counted out twice', async (t) => {
  const memory = new DraftMemory(100)
  const holder = holderIn(memory, new Semaphore(1), 50)
  memory.note(holder, 0)
  t.doesNotThrow(() => memory.note(holder, 0))
  t.throws(() => memory.note(holder, -1), { code: 'ERR_ASSERTION' })
})
