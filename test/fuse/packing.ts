import t from 'tap'
import { overlay, slicesOfRuns } from '../../src/dfc/extents.js'
import { type Content, emptyContent } from '../../src/dfc/node.js'
import type { Range } from '../../src/fuse/dirty-ranges.js'
import { dataRanges, extentsAllowed, rangesToStore, segmentsOf } from '../../src/fuse/packing.js'
import { limits } from '../../src/limits.js'
import { Seeded } from '../fixtures/seeded.js'

const MiB = 1024 * 1024
let made = 0

/** As a commit does: everything in `ranges` moves into new segments. */
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

t.test('very many ranges at once become few', async (t) => {
  const dirty = Array.from({ length: 50_000 }, (_, index) => ({
    at: index * 10_000,
    end: index * 10_000 + 4096,
  }))
  const ranges = rangesToStore(emptyContent, dirty)
  const { content } = store(emptyContent, ranges)
  t.ok(content.extents.length <= limits.extentsMax, `${content.extents.length} extents`)
  for (const { at, end } of dirty) {
    if (!ranges.some((range) => range.at <= at && end <= range.end)) t.fail(`${at} is not stored`)
  }
})

t.test('knows where there is data, stored or written', async (t) => {
  const { content } = store(emptyContent, [{ at: 100, end: 200 }])
  t.same(dataRanges(content, [{ at: 200, end: 250 }]), [{ at: 100, end: 250 }])
  t.same(dataRanges(content, [{ at: 0, end: 50 }]), [
    { at: 0, end: 50 },
    { at: 100, end: 200 },
  ])
})
