import assert from 'node:assert/strict'
import t from 'tap'
import { type Content, emptyContent } from '../../../src/dfc/content/content.js'
import {
  build,
  copyRange,
  overlay,
  punch,
  slicesOfRuns,
  wholeSlice,
} from '../../../src/dfc/content/extents.js'
import type { Range } from '../../../src/fuse/draft/dirty-ranges.js'
import {
  dataRanges,
  extentsAllowed,
  rangesToStore,
  segmentsOf,
} from '../../../src/fuse/draft/packing.js'
import { limits } from '../../../src/limits.js'
import { contentBytes } from '../../../src/wire/records.js'
import { Seeded } from '../../fixtures/seeded.js'

const MiB = 1024 * 1024
let made = 0

/** Stores `ranges` in new segments, as a commit does. */
function store(content: Content, ranges: readonly Range[]): { content: Content; bytes: number } {
  let bytes = 0
  let stored = content
  for (const runs of segmentsOf(ranges)) {
    const length = runs.reduce((sum, run) => sum + run.length, 0)
    made += 1
    const segment = { id: made.toString(16).padStart(32, '0'), length, md5: '0'.repeat(32) }
    stored = overlay(stored, slicesOfRuns(segment, runs))
    bytes += length
  }
  return { content: stored, bytes }
}

t.test('stores just what was written while the file has few extents', async (t) => {
  const { content } = store(emptyContent, [{ at: 0, end: 10 * MiB }])
  const dirty = [
    { at: 5, end: 10 },
    { at: MiB, end: MiB + 1 },
  ]
  t.same(rangesToStore(content, dirty), dirty)
  t.same(segmentsOf(dirty), [
    [
      { at: 5, length: 5 },
      { at: MiB, length: 1 },
    ],
  ])
})

t.test('cuts what is long at the length of a segment', async (t) => {
  const ranges = [{ at: 7, end: 7 + limits.segmentBytesMax * 2 + 5 }]
  t.same(
    segmentsOf(ranges).map((runs) => runs.map(({ length }) => length)),
    [[limits.segmentBytesMax], [limits.segmentBytesMax], [5]],
  )
})

t.test('appending n times stores O(n log n) bytes and keeps the extents few', async (t) => {
  for (const [count, length] of [
    [5000, 100],
    [3000, 5000],
  ] as const) {
    let content = emptyContent
    let stored = 0
    let most = 0
    for (let index = 0; index < count; index += 1) {
      const dirty = [{ at: content.size, end: content.size + length }]
      const next = store(content, rangesToStore(content, dirty))
      content = next.content
      stored += next.bytes
      most = Math.max(most, content.extents.length)
    }
    const factor = stored / (count * length)
    t.ok(factor < Math.log2(count), `${count} x ${length}: each byte is stored ${factor} times`)
    t.ok(most <= extentsAllowed(content.size), `at most ${most} extents`)
  }
})

t.test('overwriting at random keeps the extents few', async (t) => {
  const random = new Seeded(3)
  const size = 8 * MiB
  let content = store(emptyContent, [{ at: 0, end: size }]).content
  let most = 0
  for (let index = 0; index < 2000; index += 1) {
    const at = random.below(size - 4096)
    content = store(content, rangesToStore(content, [{ at, end: at + 4096 }])).content
    most = Math.max(most, content.extents.length)
  }
  t.ok(most <= extentsAllowed(size), `at most ${most} extents`)
  t.equal(content.size, size)
})

t.test('overwriting at random stores a small part of the file each time', async (t) => {
  const random = new Seeded(5)
  const size = 32 * MiB
  for (const [writes, commits] of [
    [1, 1000],
    [100, 30],
  ] as const) {
    let content = store(emptyContent, [{ at: 0, end: size }]).content
    let stored = 0
    for (let index = 0; index < commits; index += 1) {
      const blocks = new Set(Array.from({ length: writes }, () => random.below(size / 8192)))
      const dirty = [...blocks]
        .sort((a, b) => a - b)
        .map((block) => ({ at: block * 8192, end: block * 8192 + 4096 }))
      const next = store(content, rangesToStore(content, dirty))
      content = next.content
      stored += next.bytes
    }
    const factor = stored / (commits * writes * 4096)
    t.ok(factor < 20, `${writes} writes a commit: each byte is stored ${factor} times`)
    const kept = content.segments.reduce((sum, { length }) => sum + length, 0) / size
    t.ok(kept < 2.5, `its segments are ${kept} times as large as the file`)
  }
})

t.test('a hole is never stored, however many there are', async (t) => {
  for (const count of [8192, 20_000]) {
    const dirty = Array.from({ length: count }, (_, index) => ({
      at: index * 10_000,
      end: index * 10_000 + 4096,
    }))
    const ranges = rangesToStore(emptyContent, dirty)
    t.same(ranges, dirty)
    const { content, bytes } = store(emptyContent, ranges)
    t.equal(bytes, count * 4096)
    const again = [{ at: 5000, end: 6000 }]
    t.same(rangesToStore(content, again), again, 'nor is what is there stored again')
  }
})

t.test('scattered writes with a commit each stay few segments and store no hole', async (t) => {
  const random = new Seeded(9)
  let content = emptyContent
  let stored = 0
  let most = 0
  const written = new Set<number>()
  const count = 1000
  for (let index = 0; index < count; index += 1) {
    const block = random.below(1_000_000)
    written.add(block)
    const at = block * 16_384
    const ranges = rangesToStore(content, [{ at, end: at + 4096 }])
    const next = store(content, ranges)
    content = next.content
    stored += next.bytes
    most = Math.max(most, content.segments.length)
  }
  const data = content.extents.reduce((sum, { length }) => sum + length, 0)
  t.equal(data, written.size * 4096, 'just what was written is data')
  t.ok(most <= 80, `${most} segments`)
  t.ok(stored / (count * 4096) < 6, `each byte is stored ${stored / (count * 4096)} times`)
})

t.test('random changes of every kind store nothing but data', async (t) => {
  for (const seed of [1, 2, 3]) {
    const random = new Seeded(seed)
    const size = 600_000
    const model = Buffer.alloc(size)
    const seen = Buffer.alloc(size)
    let content: Content = { ...emptyContent, size }
    for (let step = 0; step < 600; step += 1) {
      const at = random.below(size - 3000)
      const end = at + 1 + random.below(random.below(4) === 0 ? 3000 : 300)
      if (random.below(4) === 0) {
        content = punch(content, at, end - at)
        model.fill(0, at, end)
      } else {
        content = store(content, rangesToStore(content, [{ at, end }])).content
        model.fill(1, at, end)
      }
      seen.fill(0)
      for (const extent of content.extents) seen.fill(1, extent.at, extent.at + extent.length)
      if (!seen.equals(model)) {
        t.fail(`seed ${seed}, step ${step}: data is where none was written, or the reverse`)
        return
      }
    }
  }
  t.pass('the map of data is that of the model')
})

/** What a file may consist of, in small, so that very many changes are quick to try. */
const smallRoom = { segments: 100, extents: 400, bytes: 10_000 }

function assertRoom({ segments, extents }: Content, room: typeof smallRoom): void {
  assert(segments.length <= room.segments, `${segments.length} segments`)
  assert(extents.length <= room.extents, `${extents.length} extents`)
  const bytes = contentBytes({ segments, extents })
  assert(bytes <= room.bytes, `${bytes} bytes`)
}

function dataBytes({ extents }: Content): number {
  return extents.reduce((sum, { length }) => sum + length, 0)
}

/** Up to twenty ranges of up to twenty bytes, ordered and apart. */
function scattered(random: Seeded, size: number): Range[] {
  const ranges: Range[] = []
  let at = random.below(size / 10)
  while (at < size - 20) {
    ranges.push({ at, end: at + 1 + random.below(20) })
    at += 21 + random.below(size / 10)
  }
  return ranges
}

t.test('no number of islands is too many, and the smallest holes are stored first', async (t) => {
  for (const seed of [1, 2, 3, 4]) {
    const random = new Seeded(seed)
    const size = 4_000_000
    let content: Content = { ...emptyContent, size }
    let commitsThatFill = 0
    let stored = 0
    let ranges = 0
    const commits = 200
    for (let commit = 0; commit < commits; commit += 1) {
      const few = scattered(random, size).slice(0, 3)
      for (const { at, end } of few) content = punch(content, at, end - at)
      const dirty = scattered(random, size)
      const next = store(content, rangesToStore(content, dirty, smallRoom))
      assertRoom(next.content, smallRoom)
      const written = dirty.reduce((sum, { at, end }) => sum + end - at, 0)
      if (dataBytes(next.content) > dataBytes(content) + written) commitsThatFill += 1
      if (commit < 10) t.equal(commitsThatFill, 0, 'there is room')
      stored += next.bytes
      ranges += dirty.length
      content = next.content
    }
    t.ok(commitsThatFill > 10, `holes were stored with ${commitsThatFill} of ${commits} commits`)
    const extentBytes = size / smallRoom.extents
    t.ok(stored < ranges * extentBytes * 2, `${stored / ranges} bytes for each write`)
  }
})

t.test('holes are stored also when nothing but holes was made', async () => {
  const size = 1_000_000
  let content = store(emptyContent, [{ at: 0, end: size }]).content
  for (let at = 100; at < size; at += 500) content = punch(content, at, 10)
  content = store(content, rangesToStore(content, [], smallRoom)).content
  assertRoom(content, smallRoom)
  // Two thousand extents that end where the next begins do not become few by cost alone.
  assert(dataBytes(content) < size)
})

t.test('segments that came from hundreds of files at once become few', async () => {
  let content = emptyContent
  for (let index = 0; index < 600; index += 1) {
    const { content: one } = store(emptyContent, [{ at: 0, end: 70_000 }])
    content = copyRange(one, 0, 70_000, content, index * 100_000)
  }
  assertRoom(store(content, rangesToStore(content, [], smallRoom)).content, smallRoom)
})

t.test('the largest file can be overwritten, and written by many commits of 20 MiB', async (t) => {
  const room = {
    segments: limits.segmentsMax,
    extents: limits.extentsMax,
    bytes: limits.contentValueBytesMax,
  }
  let content = inParts(limits.fileBytesMax / limits.segmentBytesMax, limits.segmentBytesMax)
  const random = new Seeded(1)
  for (let commit = 0; commit < 4; commit += 1) {
    const at = random.below(limits.fileBytesMax - 4096)
    content = store(content, rangesToStore(content, [{ at, end: at + 4096 }])).content
    assertRoom(content, room)
  }
  const partBytes = 20 * MiB
  content = inParts(limits.segmentsMax, partBytes)
  const dirty = [{ at: content.size, end: content.size + partBytes }]
  const { content: after } = store(content, rangesToStore(content, dirty))
  assertRoom(after, room)
  t.ok(after.segments.length > limits.segmentsMax / 2, 'not everything was stored again')
})

/** A file as commits of `length` bytes each leave it. */
function inParts(count: number, length: number): Content {
  const slices = Array.from({ length: count }, (_, index) =>
    wholeSlice({ id: `part ${index}`, length, md5: '' }, index * length),
  )
  return build(count * length, slices)
}

t.test(
  'the nearest islands are joined when there are twice as many as there is room for',
  async (t) => {
    const random = new Seeded(7)
    const room = {
      segments: limits.segmentsMax,
      extents: limits.extentsMax / 10,
      bytes: limits.contentValueBytesMax / 10,
    }
    const blocks = new Set(Array.from({ length: 20_000 }, () => random.below(100_000)))
    const dirty = [...blocks]
      .sort((a, b) => a - b)
      .map((block) => ({ at: block * 8192, end: block * 8192 + 4096 }))
    const few = dirty.slice(0, 9_000)
    t.same(rangesToStore(emptyContent, few, room), few)
    const { content, bytes } = store(emptyContent, rangesToStore(emptyContent, dirty, room))
    assertRoom(content, room)
    t.ok(content.extents.length > 8_000, `${content.extents.length} extents are left`)
    t.ok(bytes < dirty.length * 4096 * 3, `${bytes} bytes are stored`)
  },
)

t.test('knows where there is data, stored or written', async (t) => {
  const { content } = store(emptyContent, [{ at: 100, end: 200 }])
  t.same(dataRanges(content, [{ at: 200, end: 250 }]), [{ at: 100, end: 250 }])
  t.same(dataRanges(content, [{ at: 0, end: 50 }]), [
    { at: 0, end: 50 },
    { at: 100, end: 200 },
  ])
})
