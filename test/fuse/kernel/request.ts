import t from 'tap'
import { Fields, parseRequest } from '../../../src/fuse/kernel/request.js'
import { Seeded } from '../../fixtures/seeded.js'

/** struct fuse_in_header, then `body`. */
function requestOf(body: Buffer, ino = 2n ** 52n + 7n): Buffer {
  const header = Buffer.alloc(40)
  header.writeUInt32LE(40 + body.length, 0)
  header.writeUInt32LE(15, 4)
  header.writeBigUInt64LE(2n ** 60n + 3n, 8)
  header.writeBigUInt64LE(ino, 16)
  header.writeUInt32LE(1000, 24)
  header.writeUInt32LE(100, 28)
  header.writeUInt32LE(4711, 32)
  return Buffer.concat([header, body])
}

t.test('reads who asks for what', async (t) => {
  const request = parseRequest(requestOf(Buffer.alloc(0)))
  t.equal(request.opcode, 15)
  t.equal(request.ino, 2 ** 52 + 7)
  t.same(request.caller, { uid: 1000, gid: 100, pid: 4711 })
  t.same(request.unique, { low: 3, high: 2 ** 28 }, 'exactly, although it is no safe integer')
})

t.test('reads the fields in their order', async (t) => {
  const body = Buffer.alloc(32)
  body.writeUInt32LE(5, 0)
  body.writeBigUInt64LE(2n ** 53n - 1n, 8)
  body.writeBigInt64LE(-12n, 16)
  body.writeBigUInt64LE(2n ** 64n - 1n, 24)
  const fields = new Fields(requestOf(Buffer.concat([body, Buffer.from('né\0b\0xyz')])))
  t.equal(fields.u32(), 5)
  t.equal(fields.skip(4).u64(), 2 ** 53 - 1)
  t.equal(fields.seconds(), -12)
  t.equal(fields.length64(1000), 1000, 'a length may be as much as there is')
  t.equal(fields.name(), 'né')
  t.equal(fields.text(), 'b')
  t.equal(fields.bytes(3).toString(), 'xyz')
  t.throws(() => fields.bytes(1), { code: 'EIO' })
})

t.test('refuses what cannot be said exactly', async (t) => {
  const big = Buffer.alloc(8)
  big.writeBigUInt64LE(2n ** 53n)
  t.throws(() => new Fields(requestOf(big)).u64(), { code: 'EFBIG' })
  t.equal(new Fields(requestOf(big)).seconds(), 15_032_385_535, 'a time is cut, as on ext4')
})

t.test('refuses names that are no names', async (t) => {
  const nameOf = (bytes: Buffer): string => new Fields(requestOf(bytes)).name()
  t.equal(nameOf(Buffer.from([0xff, 0x41, 0])), '\u{10ffff}A', 'any byte may be in one')
  t.throws(() => nameOf(Buffer.from(`${'n'.repeat(256)}\0`)), { code: 'ENAMETOOLONG' })
  t.equal(nameOf(Buffer.from('\ufffd\0')), '\ufffd', 'a character like any other')
  t.throws(() => nameOf(Buffer.from('no end')), { code: 'EIO' })
})

t.test('a request of another length than it says is an error', async (t) => {
  const whole = requestOf(Buffer.alloc(16))
  for (let length = 0; length < whole.length; length += 1) {
    t.throws(() => parseRequest(whole.subarray(0, length)), { code: 'EIO' })
  }
  const random = new Seeded(1)
  for (let round = 0; round < 1000; round += 1) {
    t.throws(() => parseRequest(random.bytes(round % 100)), { code: 'EIO' })
  }
})
