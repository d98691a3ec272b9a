import t from 'tap'
import { BlockCache, chunkBytes } from '../../../src/dfc/content/block-cache.js'
import { limits } from '../../../src/limits.js'
import { SharedBuffer } from '../../../src/memory/shared-buffer.js'

const { blockBytes } = limits

t.test('returns the blocks that were added, and no others', async (t) => {
  const cache = new BlockCache()
  const bytes = Buffer.alloc(blockBytes * 2 + 5, 7)
  cache.add('a', 3, bytes)
  const chunk = cache.get('a')
  const known = chunk.map((block) => block?.bytes.length ?? 0)
  t.same(known.slice(0, 7), [0, 0, 0, blockBytes, blockBytes, 5, 0])
  t.equal(
    cache.get('b').every((block) => block === undefined),
    true,
  )
})

t.test('adds the missing blocks to a chunk', async (t) => {
  const cache = new BlockCache()
  cache.add('a', 0, Buffer.alloc(blockBytes, 1))
  cache.add('a', 1, Buffer.alloc(blockBytes, 2))
  t.same(
    cache
      .get('a')
      .slice(0, 3)
      .map((block) => block?.bytes[0]),
    [1, 2, undefined],
  )
})

t.test('never holds more memory than its bound', async (t) => {
  const bytesMax = 8 * chunkBytes
  const cache = new BlockCache(bytesMax)
  const buffers = new Set<ArrayBufferLike>()
  for (let count = 0; count < 40; count += 1) {
    cache.add(`${count}`, 0, Buffer.allocUnsafeSlow(chunkBytes))
    // A random reader in between adds single blocks.
    cache.add(`${count}.random`, 5, Buffer.allocUnsafeSlow(blockBytes))
  }
  for (let count = 0; count < 40; count += 1) {
    for (const key of [`${count}`, `${count}.random`]) {
      for (const block of cache.get(key)) if (block !== undefined) buffers.add(block.bytes.buffer)
    }
  }
  let held = 0
  for (const buffer of buffers) held += buffer.byteLength
  t.ok(held <= bytesMax, `${held} bytes are held`)
  t.ok(held > bytesMax / 2, 'and most of the bound is used')
})

t.test('gives back lent memory, that of the least recently read blocks first', async (t) => {
  const cache = new BlockCache()
  const released: string[] = []
  for (const key of ['a', 'b', 'c', 'unread']) {
    const memory = new SharedBuffer()
    memory.lend(() => released.push(key))
    cache.add(key, 0, Buffer.alloc(chunkBytes), memory)
    memory.release()
  }
  cache.add('of its own', 0, Buffer.alloc(chunkBytes))
  for (const key of ['of its own', 'b', 'a', 'c', 'b']) cache.get(key)
  for (let count = 0; count < 5; count += 1) cache.forgetLent()
  t.same(released, ['a', 'c', 'b'])
  t.ok(cache.get('unread')[0])
  t.ok(cache.get('of its own')[0])
  t.notOk(cache.get('b')[0])
})
