import { deepStrictEqual as deepEqual } from 'node:assert/strict'
import t from 'tap'
import {
  assertInode,
  changedSegments,
  contentBytes,
  decodeInode,
  encodeInode,
  segmentsOfInode,
} from '../../src/wire/records.js'
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

t.test('tells which segments have come and gone, and decodes no more than it has to', async (t) => {
  const random = new Seeded(5)
  const pool = Array.from({ length: 40 }, (_, length) => ({
    id: random.bytes(16).toString('hex'),
    length,
    md5: random.bytes(16).toString('hex'),
  }))
  const some = () => pool.filter(() => random.below(2) === 0)
  const encoded = (list: typeof pool) => encodeInode({ ...inode, segments: list, extents: [] })
  const idsOf = (list: readonly { readonly id: string }[]) => list.map(({ id }) => id).sort()
  for (let round = 0; round < 500; round += 1) {
    const old = round % 10 === 0 ? [] : some()
    const at = random.below(old.length + 1)
    const now =
      round % 3 === 0 ? some() : [...old.slice(0, at), ...some().slice(0, 2), ...old.slice(at + 1)]
    const { gone, come } = changedSegments(encoded(old), encoded(now))
    // Together with `gone` and `come` both have the same.
    deepEqual(idsOf([...old, ...come]), idsOf([...now, ...gone]))
    for (const segment of [...gone, ...come]) deepEqual(segment, pool[segment.length])
  }
  const [one, two, three, four] = [
    pool.slice(0, 9),
    pool.slice(0, 10),
    pool.slice(1, 10),
    pool.slice(2, 9),
  ]
  t.same(changedSegments(encoded(one), encoded(two)), { gone: [], come: [pool[9]] })
  t.same(changedSegments(encoded(two), encoded(three)), { gone: [pool[0]], come: [] })
  t.same(changedSegments(encoded(one), encoded(four)), { gone: [pool[0], pool[1]], come: [] })
  t.same(changedSegments(null, encoded(one)), { gone: [], come: one })
  t.same(changedSegments(encoded(one), null), { gone: one, come: [] })
  t.same(changedSegments(null, null), { gone: [], come: [] })
})

t.test('many extents take few bytes and come back as they were', async (t) => {
  const random = new Seeded(13)
  for (const count of [1024, 1025, 20_000, 100_000]) {
    let at = 0
    const extents = Array.from({ length: count }, (_, index) => {
      at += 4096 * (1 + random.below(100))
      const extent = { at, segment: index % 2, offset: Math.floor(index / 2) * 4096, length: 4096 }
      at += 4096
      return extent
    })
    const encoded = encodeInode({ ...inode, size: at, extents })
    deepEqual(decodeInode(encoded).extents, extents)
    assertInode(encoded)
    const without = encodeInode({ ...inode, size: at, segments: [], extents: [] })
    const { segments } = inode
    t.equal(contentBytes({ segments, extents }), encoded.length - without.length + 8)
    if (count > 1024) t.ok(encoded.length < 1000 + count * 7, `${encoded.length} bytes`)
  }
})

for (const kind of ['plain', 'packed'])
  t.test(`refuses just what cannot be decoded, ${kind}`, async (t) => {
    const random = new Seeded(11)
    const many = Array.from({ length: 1030 }, (_, index) => ({
      at: index * 300,
      segment: index % 2,
      offset: index % 7,
      length: 100,
    }))
    const whole = encodeInode(kind === 'plain' ? inode : { ...inode, extents: many })
    const throws = (work: () => unknown): boolean => {
      try {
        work()
        return false
      } catch {
        return true
      }
    }
    let refused = 0
    for (let round = 0; round < 2000; round += 1) {
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
    t.ok(refused > 200 && refused < 1800, `${refused} of 2000 were refused`)
  })
