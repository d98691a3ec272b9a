import t from 'tap'
import type { Attributes } from '../../../src/fuse/kernel/answers.js'
import * as answers from '../../../src/fuse/kernel/answers.js'
import { fileType } from '../../../src/wire/records.js'

const given: Attributes = {
  ino: 2 ** 53 - 1,
  mode: fileType.file | 0o4751,
  nlink: 3,
  uid: 1000,
  gid: 100,
  rdev: 0,
  size: 2 ** 37 + 5,
  blocks: 8,
  blksize: 4096,
  atime: { seconds: -1, nanoseconds: 999_999_999 },
  mtime: { seconds: 2 ** 33, nanoseconds: 1 },
  ctime: { seconds: -(2 ** 40), nanoseconds: 0 },
  btime: { seconds: 12, nanoseconds: 34 },
}

const header = 16

/** Numbers of 64 bits at these places. */
function at(bytes: Buffer, ...places: readonly number[]): bigint[] {
  return places.map((place) => bytes.readBigInt64LE(header + place))
}

t.test('attributes stand where linux/fuse.h has them', async (t) => {
  const out = answers.attributes(given, 1000)
  t.equal(out.length, header + 104)
  const expected = [2n ** 53n - 1n, 2n ** 37n + 5n, 8n, -1n, 2n ** 33n, -(2n ** 40n)]
  t.same(at(out, 16, 24, 32, 40, 48, 56), expected)
  t.equal(out.readUInt32LE(header + 64), 999_999_999)
  t.equal(out.readUInt32LE(header + 76), fileType.file | 0o4751)
  t.equal(out.readUInt32LE(header + 80), 3)
})

t.test('an entry begins with the number by which it will be meant', async (t) => {
  const out = answers.entry(given, 1000)
  t.equal(out.length, header + 128)
  t.same(at(out, 0, 40), [2n ** 53n - 1n, 2n ** 53n - 1n])
  t.same(at(answers.noEntry(1500), 0, 16), [0n, 1n], 'no number: there is none, for a second')
})

t.test('what is made is an entry and opened at once', async (t) => {
  const out = answers.created(given, 77, { direct: true, keep: false, noFlush: false }, 1000)
  t.equal(out.length, header + 128 + 16)
  t.same(at(out, 128), [77n])
  t.equal(out.readUInt32LE(header + 136), 1)
  t.equal(
    answers.opened(77, { direct: false, keep: true, noFlush: true }).readUInt32LE(header + 8),
    2 + 32,
  )
})

t.test('extended attributes have the time of birth', async (t) => {
  const out = answers.extendedAttributes({ ...given, rdev: 0x1234_5678 }, 1000)
  t.equal(out.length, header + 288)
  t.same(at(out, 32 + 80), [12n])
  t.equal(out.readUInt32LE(header + 32 + 128), 0x456, 'the major number')
  t.equal(out.readUInt32LE(header + 32 + 132), 0x12378, 'the minor number')
})

t.test('a listing takes what has room, in whole entries', async (t) => {
  for (const withAttributes of [false, true]) {
    const entryBytes = (withAttributes ? 128 : 0) + 24 + 8
    const listing = new answers.Listing(entryBytes * 2 + 7, withAttributes)
    const entry = {
      name: 'abcde',
      ino: 9,
      type: 8,
      next: 3,
      plus: { attributes: given, validMs: 1000 },
    }
    t.ok(listing.add(entry))
    t.ok(listing.add({ ...entry, plus: undefined }))
    t.notOk(listing.add({ ...entry, name: 'x' }))
    const out = listing.answer
    t.equal(out.length, header + entryBytes * 2)
    const second = entryBytes + (withAttributes ? 128 : 0)
    t.same(at(out, second, second + 8), [9n, 3n])
    t.equal(out.subarray(header + second + 24, header + second + 32).toString(), 'abcde\0\0\0')
    if (withAttributes) t.same(at(out, 0, entryBytes), [2n ** 53n - 1n, 0n])
  }
})

t.test('a length that was asked for comes alone', async (t) => {
  t.equal(answers.count(12).readUInt32LE(header), 12)
  t.same(at(answers.whole(2 ** 40), 0), [2n ** 40n])
})

t.test('what was read goes out as it is, joined where it is in very many parts', async (t) => {
  const release = (): void => {}
  const few = [Buffer.from('ab'), Buffer.from('c')]
  const { parts } = answers.lent({ parts: few, release })
  t.equal(parts[0]?.length, header)
  t.same(parts.slice(1), few)
  const many = Array.from({ length: 2000 }, (_, index) => Buffer.from([index % 256]))
  const joined = answers.lent({ parts: many, release }).parts
  t.equal(joined.length, 2)
  t.same(joined[1], Buffer.concat(many))
})
