import { createHash } from 'node:crypto'
import t from 'tap'
import {
  holdersOf,
  homeMask,
  isReadableFrom,
  maskOf,
  pairOf,
  pieceNumbers,
  pieceRange,
  piecesFor,
  rotationOf,
  serverIndexes,
  spareOf,
  wholeMask,
} from '../../src/wire/placement.js'
import type { Segment } from '../../src/wire/records.js'

/** Row x: the pairs of DFS1 to DFS4. This is the promise; the code must say the same. */
const table = [
  ['1, 2', '2, 3', '3, 4', '4, 1'],
  ['4, 1', '1, 2', '2, 3', '3, 4'],
  ['3, 4', '4, 1', '1, 2', '2, 3'],
  ['2, 3', '3, 4', '4, 1', '1, 2'],
]

/** One file for every rotation, with its MD5 as md5sum(1) prints it. */
const files = [
  { text: 'o', md5: 'd95679752134a2d9eb61dbd7b91c4bcc', rotation: 0 },
  { text: 'd', md5: '8277e0910d750195b448797616e091ad', rotation: 1 },
  { text: 'e', md5: 'e1671797c52e15f763380b45e841ec32', rotation: 2 },
  { text: 'c', md5: '4a8a08f09d37b73795649038408b5f33', rotation: 3 },
]

const segment = (length: number, rotation: number) => ({
  id: '0'.repeat(32),
  length,
  md5: rotation.toString(16).padStart(32, '0'),
})

for (const [rotation, row] of table.entries()) {
  t.test(`places the pairs of rotation ${rotation} as the table says`, async (t) => {
    const pairs = serverIndexes.map((server) => pairOf(server, rotation).join(', '))
    t.same(pairs, row)
  })

  t.test(`finds the holders of every piece in row ${rotation} of the table`, async (t) => {
    for (const piece of pieceNumbers) {
      const [first, second] = holdersOf(piece, rotation)
      t.equal(
        row[first]?.split(', ')[0],
        `${piece}`,
        `piece ${piece} is the first of DFS${first + 1}`,
      )
      t.equal(
        row[second]?.split(', ')[1],
        `${piece}`,
        `piece ${piece} is second at DFS${second + 1}`,
      )
    }
  })
}

/** The pieces of `whole` that each of the servers `up` holds. */
const heldBy = (whole: Segment, up: readonly number[]): readonly number[] =>
  up.map((server) => homeMask(server, whole.length, whole.md5))

t.test('takes the digest as one big-endian number, mod 4', async (t) => {
  for (const { text, md5, rotation } of files) {
    t.equal(createHash('md5').update(text).digest('hex'), md5)
    t.equal(rotationOf(md5), rotation)
  }
  for (let number = 0; number < 256; number += 1) {
    const digest = createHash('md5').update(`${number}`).digest('hex')
    t.equal(rotationOf(digest), Number(BigInt(`0x${digest}`) % 4n), digest)
  }
})

t.test('cuts into four pieces of which the first length mod 4 are a byte longer', async (t) => {
  const lengths: Record<number, readonly number[]> = {
    0: [0, 0, 0, 0],
    1: [1, 0, 0, 0],
    2: [1, 1, 0, 0],
    3: [1, 1, 1, 0],
    4: [1, 1, 1, 1],
    5: [2, 1, 1, 1],
    6: [2, 2, 1, 1],
    7: [2, 2, 2, 1],
    8: [2, 2, 2, 2],
    9: [3, 2, 2, 2],
    1000003: [250_001, 250_001, 250_001, 250_000],
  }
  for (const [length, expected] of Object.entries(lengths)) {
    const ranges = pieceNumbers.map((piece) => pieceRange(Number(length), piece))
    t.same(
      ranges.map((range) => range.length),
      expected,
      `${length} bytes`,
    )
    let at = 0
    for (const range of ranges) {
      t.equal(range.start, at, `${length} bytes: pieces follow each other`)
      at += range.length
    }
  }
})

t.test('gives every piece two servers while one server, or none, is absent', async (t) => {
  for (const rotation of [0, 1, 2, 3]) {
    for (const gone of [undefined, ...serverIndexes]) {
      const absent = new Set(gone === undefined ? [] : [gone])
      const taken = serverIndexes.map((server) => piecesFor(server, rotation, absent))
      const counts = pieceNumbers.map((piece) => taken.flat().filter((p) => p === piece).length)
      t.same(counts, [2, 2, 2, 2], `rotation ${rotation} without ${gone ?? 'nobody'}`)
      for (const pieces of taken) t.equal(new Set(pieces).size, pieces.length, 'no piece twice')
      if (gone !== undefined) t.same(taken[gone], [], 'the absent server takes nothing')
    }
  }
})

t.test(
  "sends an absent server's first piece to the next server, its second to the one before",
  async (t) => {
    for (const rotation of [0, 1, 2, 3]) {
      for (const gone of serverIndexes) {
        const [first, second] = pairOf(gone, rotation)
        const extra = (server: number) =>
          piecesFor(server % 4, rotation, new Set([gone])).filter(
            (piece) => !pairOf(server % 4, rotation).includes(piece),
          )
        t.same(extra(gone + 1), [first])
        t.same(extra(gone + 3), [second])
        t.same(extra(gone + 2), [])
      }
    }
  },
)

t.test('no server takes extra pieces while two servers are absent', async (t) => {
  t.same(piecesFor(1, 0, new Set([0, 3])), pairOf(1, 0))
  t.same(piecesFor(0, 0, new Set([0, 3])), [])
})

t.test(
  'is readable from any three servers and from two opposite ones, not from neighbours',
  async (t) => {
    for (const rotation of [0, 1, 2, 3]) {
      const whole = segment(1000, rotation)
      for (let bits = 0; bits < 16; bits += 1) {
        const up = serverIndexes.filter((server) => (bits & (1 << server)) !== 0)
        const isOpposite = up.length === 2 && (bits === 0b0101 || bits === 0b1010)
        t.equal(isReadableFrom(whole, heldBy(whole, up)), up.length > 2 || isOpposite, `up: ${up}`)
      }
    }
  },
)

t.test('is readable from one holder when the only byte is in the first piece', async (t) => {
  const rotation = 2
  const [first, second] = holdersOf(1, rotation)
  for (const server of serverIndexes) {
    const isHolder = server === first || server === second
    t.equal(
      isReadableFrom(segment(1, rotation), heldBy(segment(1, rotation), [server])),
      isHolder,
      `server ${server}`,
    )
  }
})

t.test('is readable from what the servers say they hold', async (t) => {
  const whole = segment(1000, 0)
  t.equal(isReadableFrom(whole, [maskOf([1, 2]), maskOf([3]), maskOf([4])]), true)
  t.equal(isReadableFrom(whole, [maskOf([1, 2]), maskOf([3])]), false)
  t.equal(isReadableFrom(segment(3, 0), [maskOf([1, 2, 3])]), true)
  t.equal(isReadableFrom(whole, []), false)
  t.same([0, 1, 2, 3, 4, 5].map(wholeMask), [0, 1, 3, 7, 15, 15])
})

t.test('any two servers that took their spare piece have every piece between them', async (t) => {
  for (const rotation of [0, 1, 2, 3]) {
    const taken = serverIndexes.map((server) => [
      ...pairOf(server, rotation),
      spareOf(server, rotation),
    ])
    for (const one of serverIndexes) {
      for (const other of serverIndexes.filter((index) => index > one)) {
        t.equal(new Set([...(taken[one] ?? []), ...(taken[other] ?? [])]).size, 4)
      }
      // One that took nothing leaves two copies of each piece with the other three.
      const rest = serverIndexes.filter((index) => index !== one).flatMap((i) => taken[i] ?? [])
      for (const piece of pieceNumbers) t.ok(rest.filter((held) => held === piece).length >= 2)
    }
  }
})
