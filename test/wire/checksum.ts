import t from 'tap'
import { limits } from '../../src/limits.js'
import { BlockChecksums, checksumsOf, matchesChecksums } from '../../src/wire/checksum.js'
import { Seeded } from '../fixtures/seeded.js'

const { blockBytes } = limits

t.test('is the CRC-32 of ISO 3309', async (t) => {
  t.same(checksumsOf(Buffer.from('123456789')), [0xcbf4_3926])
})

t.test('makes one checksum for every block, a short last one included', async (t) => {
  const bytes = new Seeded(1).bytes(3 * blockBytes)
  const lengths = [0, 1, blockBytes - 1, blockBytes, blockBytes + 1, 3 * blockBytes]
  const counts = lengths.map((length) => checksumsOf(bytes.subarray(0, length)).length)
  t.same(counts, [0, 1, 1, 1, 2, 3])
  t.same(checksumsOf(bytes)[1], checksumsOf(bytes.subarray(blockBytes, 2 * blockBytes))[0])
})

t.test('makes the same of bytes that come in parts', async (t) => {
  const random = new Seeded(3)
  const bytes = random.bytes(5 * blockBytes + 77)
  for (const most of [1000, blockBytes, 3 * blockBytes]) {
    const checksums = new BlockChecksums()
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + random.below(most)
      checksums.add(bytes.subarray(at, end))
      const sofar = checksums.copy().finish()
      t.same(sofar, checksumsOf(bytes.subarray(0, end)), 'a copy ends where it is')
      at = end
    }
    t.same(checksums.finish(), checksumsOf(bytes))
  }
})

t.test('notices every changed byte, and a checksum too many or too few', async (t) => {
  const random = new Seeded(2)
  const bytes = random.bytes(2 * blockBytes + 100)
  const checksums = checksumsOf(bytes)
  t.ok(matchesChecksums(bytes, checksums))
  for (let round = 0; round < 200; round += 1) {
    const at = random.below(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
    if (matchesChecksums(bytes, checksums)) t.fail(`byte ${at}`)
    checksums.splice(0, checksums.length, ...checksumsOf(bytes))
  }
  t.notOk(matchesChecksums(bytes, checksums.slice(1)))
  t.notOk(matchesChecksums(bytes, [...checksums, 0]))
  t.notOk(matchesChecksums(bytes.subarray(0, blockBytes * 2), checksums))
  t.ok(matchesChecksums(Buffer.alloc(0), []))
})
