import t from 'tap'
import { assertInode, decodeInode, encodeInode, segmentsOfInode } from '../../src/wire/records.js'
import { inodeOf } from '../fixtures/inodes.js'
import { Seeded } from '../fixtures/seeded.js'

const segments = ['a', 'b'].map((digit) => ({
  id: digit.repeat(32),
  length: 100,
  md5: digit.repeat(32),
}))
const inode = inodeOf({
  size: 160,
  attributes: [{ name: 'user.colour', value: Buffer.from('red') }],
  segments,
  extents: [
    { at: 0, segment: 0, offset: 10, length: 50 },
    { at: 2 ** 40, segment: 1, offset: 0, length: 100 },
  ],
})

t.test('finds the segments of an inode without its extents', async (t) => {
  t.same(segmentsOfInode(encodeInode(inode)), segments)
  t.same(segmentsOfInode(encodeInode({ ...inode, segments: [], extents: [] })), [])
})

t.test('refuses just what cannot be decoded', async (t) => {
  const random = new Seeded(11)
  const whole = encodeInode(inode)
  const throws = (work: () => unknown): boolean => {
    try {
      work()
      return false
    } catch {
      return true
    }
  }
  let refused = 0
  for (let round = 0; round < 5000; round += 1) {
    const bytes = Buffer.from(whole)
    const changes = random.below(3)
    for (let change = 0; change < changes; change += 1) {
      bytes.writeUInt8(random.below(256), random.below(bytes.length))
    }
    const cut = random.below(4) === 0 ? random.below(bytes.length) : bytes.length
    const longer = random.below(8) === 0 ? random.bytes(random.below(30)) : Buffer.alloc(0)
    const changed = Buffer.concat([bytes.subarray(0, cut), longer])
    const isBad = throws(() => decodeInode(changed))
    if (isBad) refused += 1
    if (throws(() => assertInode(changed)) !== isBad) t.fail(changed.toString('hex'))
  }
  t.ok(refused > 500 && refused < 4500, `${refused} of 5000 were refused`)
})
