import { createHash } from 'node:crypto'
import t from 'tap'
import { inlineContent, prepare } from '../../../src/dfc/content/prepared-segment.js'
import { limits } from '../../../src/limits.js'
import { checksumsOf, matchesChecksums } from '../../../src/wire/checksum.js'
import { holdersOf, piecesFor, serverIndexes, spareOf } from '../../../src/wire/placement.js'
import { Seeded } from '../../fixtures/seeded.js'

const lengths = [
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  8,
  9,
  limits.blockBytes * 4 - 1,
  limits.blockBytes * 4,
  limits.blockBytes * 4 + 1,
  1_000_003,
]

/** Splits `bytes` into parts of uneven lengths. */
function torn(bytes: Buffer, random: Seeded): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = random.below(bytes.length / 3 + 2)
    parts.push(bytes.subarray(at, at + length))
    at += length
  }
  return parts
}

for (const length of lengths) {
  t.test(`cuts ${length} bytes into pieces that are the bytes, with their checksums`, async (t) => {
    const random = new Seeded(length)
    const bytes = random.bytes(length)
    const digested = {
      md5: createHash('md5').update(bytes).digest('hex'),
      checksums: checksumsOf(bytes),
    }
    for (const [content, known] of [
      [bytes, undefined],
      [torn(bytes, random), undefined],
      [torn(bytes, random), digested],
    ] as const) {
      const { segment, rotation, pieces } = prepare(content, random, known)
      t.equal(segment.length, length)
      t.equal(segment.md5, createHash('md5').update(bytes).digest('hex'))
      t.match(segment.id, /^[0-9a-f]{32}$/)
      t.equal(BigInt(`0x${segment.md5}`) % 4n, BigInt(rotation))
      t.equal(pieces.length, Math.min(length, 4), 'empty pieces are left out')
      const joined = pieces.map(({ parts }) => Buffer.concat(parts))
      t.ok(Buffer.concat(joined).equals(bytes), 'the pieces are the bytes')
      for (const [index, piece] of pieces.entries()) {
        t.equal(piece.length, joined[index]?.length)
        t.same(piece.checksums, checksumsOf(joined[index] ?? Buffer.alloc(0)))
      }
    }
  })
}

t.test('a prepared segment copies no bytes', async (t) => {
  const bytes = new Seeded(1).bytes(100_000)
  for (const { parts } of prepare(bytes, new Seeded(2)).pieces) {
    for (const part of parts) t.equal(part.buffer, bytes.buffer)
  }
})

t.test('uses a digest that was computed before', async (t) => {
  const md5 = `${'0'.repeat(31)}3`
  const { segment, rotation } = prepare(Buffer.from('hello'), new Seeded(1), { md5 })
  t.equal(segment.md5, md5)
  t.equal(rotation, 3)
})

t.test('refuses an empty segment and one that is too long', async (t) => {
  t.throws(() => prepare(Buffer.alloc(0), new Seeded(1)), /segment of 0 bytes/)
  const tooLong = Array.from({ length: 33 }, () => Buffer.alloc(1024 * 1024))
  t.throws(() => prepare(tooLong, new Seeded(1)), /a segment of/)
})

t.test(
  'a commit carries the pieces of its server, and all for a server that was absent',
  async (t) => {
    const bytes = new Seeded(7).bytes(200_001)
    const prepared = prepare(bytes, new Seeded(8))
    for (const gone of [undefined, ...serverIndexes]) {
      const absent = new Set(gone === undefined ? [] : [gone])
      for (const server of serverIndexes) {
        const { headers, payload } = inlineContent([prepared], server, absent)
        const pair = piecesFor(server, prepared.rotation, absent)
        // With all four servers up, each takes a spare piece, so that any two have everything.
        const spare = gone === undefined ? [spareOf(server, prepared.rotation)] : []
        const taken = server === gone ? [1, 2, 3, 4] : [...pair, ...spare]
        t.same(headers.map(({ piece }) => piece).sort(), [...taken].sort())
        let rest = Buffer.concat(payload)
        for (const { segment, length, checksums } of headers) {
          t.equal(segment, prepared.segment.id)
          t.ok(matchesChecksums(rest.subarray(0, length), checksums))
          rest = rest.subarray(length)
        }
        t.equal(rest.length, 0)
      }
    }
  },
)

t.test(
  'any two servers that vote have all pieces, also with one that comes back late',
  async (t) => {
    const prepared = prepare(new Seeded(7).bytes(1000), new Seeded(8))
    for (const gone of [undefined, ...serverIndexes]) {
      const absent = new Set(gone === undefined ? [] : [gone])
      const taken = serverIndexes.map((server) =>
        inlineContent([prepared], server, absent).headers.map(({ piece }) => piece),
      )
      for (const [one, some] of taken.entries()) {
        for (const more of taken.slice(one + 1)) t.equal(new Set([...some, ...more]).size, 4)
      }
    }
  },
)

t.test('leaves an empty piece out of the commit of its holders', async (t) => {
  const prepared = prepare(Buffer.from('x'), new Seeded(1))
  const spares = serverIndexes.filter((server) => spareOf(server, prepared.rotation) === 1)
  const holders = [...holdersOf(1, prepared.rotation), ...spares]
  for (const server of serverIndexes) {
    const { headers } = inlineContent([prepared], server, new Set())
    t.equal(headers.length, holders.includes(server) ? 1 : 0)
  }
})
