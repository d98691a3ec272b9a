import t, { type Test } from 'tap'
import {
  boolean,
  bytes,
  type Codec,
  decode,
  encode,
  hex,
  i64,
  list,
  oneOf,
  optional,
  since,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
} from '../../src/wire/codec.js'

const protocol = { name: 'DfsError', code: 'protocol' }

function same<T>(t: Test, codec: Codec<T>, ...values: readonly T[]): void {
  for (const value of values) t.same(decode(codec, encode(codec, value)), value)
}

function refuses<T>(t: Test, codec: Codec<T>, ...values: readonly T[]): void {
  for (const value of values) t.throws(() => encode(codec, value), protocol, `${value}`)
}

t.test('keeps unsigned numbers within their bits', async (t) => {
  same(t, u8, 0, 255)
  same(t, u16, 0, 65_535)
  same(t, u32, 0, 4_294_967_295)
  refuses(t, u8, -1, 256, 1.5, Number.NaN)
  refuses(t, u16, -1, 65_536)
  refuses(t, u32, -1, 4_294_967_296, Number.POSITIVE_INFINITY)
})

t.test('keeps 64-bit numbers safe integers in both directions', async (t) => {
  const { MAX_SAFE_INTEGER: max, MIN_SAFE_INTEGER: min } = Number
  same(t, u64, 0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, max)
  same(t, i64, 0, -1, 1, -(2 ** 32), -(2 ** 32) - 1, 2 ** 32, max, min)
  refuses(t, u64, -1, 0.5, max + 1, Number.NaN)
  refuses(t, i64, 0.5, max + 1, min - 1, Number.NaN)
  const tooLarge = Buffer.from('0020000000000000', 'hex')
  t.throws(() => decode(u64, tooLarge), protocol, '2^53')
  t.throws(() => decode(i64, tooLarge), protocol, '2^53')
  t.throws(() => decode(u64, Buffer.alloc(8, 0xff)), protocol, '2^64 - 1')
  t.equal(decode(i64, Buffer.alloc(8, 0xff)), -1)
  t.throws(() => decode(i64, Buffer.from('8000000000000000', 'hex')), protocol, '-2^63')
})

t.test('writes integers big-endian', async (t) => {
  t.same(encode(u16, 0x0102), Buffer.from([1, 2]))
  t.same(encode(u64, 0x01_0203_0405), Buffer.from([0, 0, 0, 1, 2, 3, 4, 5]))
  t.same(encode(i64, -2), Buffer.from('fffffffffffffffe', 'hex'))
})

t.test('knows two booleans only', async (t) => {
  same(t, boolean, true, false)
  t.throws(() => decode(boolean, Buffer.from([2])), protocol)
})

t.test('knows only the names of a choice', async (t) => {
  const choice = oneOf('red', 'green')
  same(t, choice, 'red', 'green')
  t.throws(() => decode(choice, Buffer.from([2])), protocol)
  t.throws(() => encode(choice, 'blue' as 'red'), protocol)
})

t.test('bounds bytes before it takes memory for them', async (t) => {
  const codec = bytes(4)
  same(t, codec, Buffer.alloc(0), Buffer.from([1, 2, 3, 4]))
  refuses(t, codec, Buffer.alloc(5))
  t.throws(() => decode(codec, Buffer.from([0, 0, 0, 5, 1, 2, 3, 4, 5])), protocol)
  t.throws(() => decode(codec, Buffer.from([0, 0, 0, 4, 1, 2, 3])), protocol)
  t.throws(() => decode(bytes(2 ** 32), Buffer.alloc(4, 0xff)), protocol)
})

t.test('takes hexadecimal text of just its length', async (t) => {
  const codec = hex(3)
  same(t, codec, '000000', 'abcdef')
  refuses(t, codec, '', 'abcd', 'abcdef00', 'abcdeg', 'abcdef0')
})

t.test('takes valid UTF-8 up to its length in bytes and nothing else', async (t) => {
  const codec = text(8)
  same(t, codec, '', 'a', 'ä€', '\u{1f4be}\u{1f4be}', '\ufffd', 'a\0b')
  refuses(t, codec, '123456789', '€€€')
  for (const invalid of [[0xff], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xef, 0xbf]]) {
    const length = [0, invalid.length]
    t.throws(() => decode(codec, Buffer.from([...length, ...invalid])), protocol, `${invalid}`)
  }
  t.throws(() => decode(codec, Buffer.from([0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9])), protocol)
})

t.test('bounds lists by their maximum and by what can be there', async (t) => {
  const codec = list(u16, 3)
  same(t, codec, [], [1], [1, 2, 3])
  refuses(t, codec, [1, 2, 3, 4])
  t.throws(() => decode(codec, Buffer.from([0, 0, 0, 4, 0, 1, 0, 2, 0, 3, 0, 4])), protocol)
  const huge = Buffer.from([0xff, 0xff, 0xff, 0xff, 0])
  t.throws(() => decode(list(u8, 2 ** 32), huge), protocol, 'a count beyond the message')
})

t.test('tells absent from empty', async (t) => {
  same(t, optional(text(4)), null, '', 'a')
})

t.test('reads the fields of a struct in the order in which they are named', async (t) => {
  const codec = struct({ b: u8, a: u8 })
  t.same(encode(codec, { a: 1, b: 2 }), Buffer.from([2, 1]))
  t.same(decode(codec, Buffer.from([2, 1])), { b: 2, a: 1 })
  t.throws(() => decode(codec, Buffer.from([2])), protocol)
  t.throws(() => decode(codec, Buffer.from([2, 1, 0])), protocol, 'one byte too many')
})

t.test('a field of a later version travels only between peers that both know it', async (t) => {
  const item = struct({ a: u8, more: since(13, u16, 7), last: since(14, text(4), '') })
  const codec = struct({ items: list(item, 9), end: since(13, u8, 0) })
  const value = { items: [{ a: 1, more: 2, last: 'x' }], end: 3 }
  const inVersion = (version: number) => encode(codec, value, version)
  t.same(inVersion(12), Buffer.from([0, 0, 0, 1, 1]), 'the form of the release before')
  t.same(decode(codec, inVersion(12), 12), { items: [{ a: 1, more: 7, last: '' }], end: 0 })
  t.same(decode(codec, inVersion(13), 13), { items: [{ a: 1, more: 2, last: '' }], end: 3 })
  t.same(decode(codec, inVersion(14), 14), value)
  t.same(decode(codec, inVersion(20), 20), value)
})

t.test('within a version nothing may lack or be too much', async (t) => {
  const codec = struct({ a: u8, end: since(13, u16, 0) })
  const later = encode(codec, { a: 1, end: 2 }, 13)
  const before = encode(codec, { a: 1, end: 2 }, 12)
  for (const length of [0, 1, 2]) {
    t.throws(() => decode(codec, later.subarray(0, length), 13), protocol, `cut at ${length}`)
  }
  t.throws(() => decode(codec, before, 13), protocol, 'the form of an older version')
  t.throws(() => decode(codec, later, 12), protocol, 'the form of a later version')
})

t.test('a field that depends on the version does not rest on a disk', async (t) => {
  const codec = struct({ end: since(13, u16, 0) })
  t.throws(() => encode(codec, { end: 1 }), /depends on the version/)
  t.throws(() => decode(codec, Buffer.alloc(2)), /depends on the version/)
})

t.test('grows while it writes', async (t) => {
  const codec = list(text(1000), 1000)
  const value = Array.from({ length: 1000 }, (_, index) => 'x'.repeat(index))
  t.same(decode(codec, encode(codec, value)), value)
})
