import t from 'tap'
import { systemRandom } from '../../../src/clock.js'
import type { Content } from '../../../src/dfc/content/content.js'
import { build, slicesOfRuns, wholeSlice } from '../../../src/dfc/content/extents.js'
import { matchingBytes } from '../../../src/dfc/content/matching-bytes.js'
import { prepare } from '../../../src/dfc/content/prepared-segment.js'

const bytes = systemRandom.bytes(1000)
const segmentOf = (from: number, to: number) =>
  prepare(bytes.subarray(from, to), systemRandom).segment

/** Bytes 0..300 and 300..600 as whole segments, a hole up to 700, and the rest as a part of a segment. */
const content: Content = build(1000, [
  wholeSlice(segmentOf(0, 300)),
  wholeSlice(segmentOf(300, 600), 300),
  { kind: 'data', at: 700, length: 300, segment: segmentOf(0, 1000), offset: 700 },
])
const file = Buffer.from(bytes).fill(0, 600, 700)
const fetch = async (at: number, length: number) => file.subarray(at, at + length)

/** Reads a copy without holes in small parts. */
function reader(copy: Buffer) {
  const readCopy = async function* (at: number, length: number): AsyncGenerator<Buffer> {
    const range = copy.subarray(at, at + length)
    for (let from = 0; from < range.length; from += 7) yield range.subarray(from, from + 7)
  }
  return { readCopy, readData: readCopy }
}

function changedAt(at: number): Buffer {
  const copy = Buffer.from(file)
  copy.writeUInt8((file.readUInt8(at) + 1) % 256, at)
  return copy
}

t.test('finds where a copy differs, to the beginning of the slice', async (t) => {
  t.equal(await matchingBytes(content, 1000, { ...reader(file), fetch }), 1000)
  for (const [at, matching] of [
    [0, 0],
    [299, 0],
    [300, 300],
    [650, 600],
    [999, 700],
  ] as const) {
    const copy = reader(changedAt(at))
    t.equal(await matchingBytes(content, 1000, { ...copy, fetch }), matching, `${at}`)
  }
})

t.test('a hole of the copy in a hole of the content is not read', async (t) => {
  const readData = async function* (at: number): AsyncGenerator<Buffer> {
    t.equal(at, 600)
    yield* []
  }
  t.equal(await matchingBytes(content, 1000, { ...reader(file), readData, fetch }), 1000)
})

t.test('without fetching, a part of a segment does not match', async (t) => {
  t.equal(await matchingBytes(content, 1000, reader(file)), 700)
})

t.test('a copy that ends early matches as far as whole slices are there', async (t) => {
  for (const [length, matching] of [
    [0, 0],
    [299, 0],
    [300, 300],
    [699, 600],
    [999, 700],
  ] as const) {
    const copy = reader(file.subarray(0, length))
    t.equal(await matchingBytes(content, length, { ...copy, fetch }), matching, `${length}`)
  }
})

t.test('a segment of several runs is not taken for a whole one', async (t) => {
  const runs = [
    { at: 0, length: 100 },
    { at: 200, length: 100 },
  ]
  const spread = build(300, slicesOfRuns(segmentOf(0, 200), runs))
  t.equal(await matchingBytes(spread, 300, reader(file)), 0)
})
