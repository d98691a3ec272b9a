import t from 'tap'
import { ChunkPool } from '../../../src/fuse/draft/chunk-pool.js'
import { DirtyRanges } from '../../../src/fuse/draft/dirty-ranges.js'
import { DirtyRun } from '../../../src/fuse/draft/dirty-run.js'
import { Seeded } from '../../fixtures/seeded.js'

const size = 5000
const MiB = 1024 * 1024
type Value = number | 'spilled' | undefined

/** What the ranges say, as one value for each byte: undefined where nothing was written. */
function render(dirty: DirtyRanges): Value[] {
  return dirty.cover(0, size).flatMap(({ at, end, source }): Value[] => {
    if (source instanceof DirtyRun) return [...Buffer.concat(source.parts(at, end))]
    return new Array<Value>(end - at).fill(source)
  })
}

t.test('agrees with an array of bytes after any changes', async (t) => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const random = new Seeded(seed)
    const dirty = new DirtyRanges(new ChunkPool())
    const model = new Array<Value>(size).fill(undefined)
    for (let step = 0; step < 150; step += 1) {
      const at = random.below(size)
      const end = Math.min(size, at + 1 + random.below(random.below(2) === 0 ? 40 : 1000))
      const action = random.below(10)
      if (action < 6) {
        const value = random.below(256)
        for (const part of dirty.cover(at, end)) {
          if (part.source === 'spilled') continue
          dirty.write(part.at, Buffer.alloc(part.end - part.at, value))
          model.fill(value, part.at, part.end)
        }
      } else if (action < 9) {
        dirty.cut(at, end)
        model.fill(undefined, at, end)
      } else {
        for (const run of dirty.runs) {
          model.fill('spilled', run.at, run.end)
          dirty.spilled(run)
        }
      }
      const rendered = render(dirty)
      if (rendered.length !== size || rendered.some((value, index) => value !== model[index])) {
        t.same(rendered, model, `seed ${seed}, step ${step}`)
        return
      }
    }
    dirty.clear()
    t.equal(dirty.memoryBytes, 0, 'all memory is given back')
    t.equal(dirty.memoryRuns, 0)
    t.same([...dirty.runs], [])
  }
})

t.test(
  'keeps no view of the memory that it is given, which is used for the next write',
  async (t) => {
    const shared = Buffer.alloc(MiB)
    for (const first of [10, 4096, 100_000, MiB - 1]) {
      const dirty = new DirtyRanges(new ChunkPool())
      const lengths = [first, ...new Array<number>(33).fill(MiB)]
      const expected: Buffer[] = []
      let at = 0
      for (const [index, length] of lengths.entries()) {
        expected.push(Buffer.alloc(length, index + 1))
        dirty.write(at, shared.subarray(0, length).fill(index + 1))
        at += length
      }
      shared.fill(0xff)
      t.ok(dirty.runs.length > 1, 'they are more than one segment')
      const kept = Buffer.concat(dirty.runs.flatMap((run) => run.parts()))
      t.ok(kept.equals(Buffer.concat(expected)), `${first} bytes, and then others`)
      dirty.clear()
    }
  },
)

t.test('bytes that follow each other are one run, however they arrive', async (t) => {
  const dirty = new DirtyRanges(new ChunkPool())
  for (let at = 0; at < 1000; at += 10) dirty.write(at, Buffer.alloc(10, at))
  t.equal(dirty.runs.length, 1)
  t.same(dirty.joined, [{ at: 0, end: 1000 }])
})

t.test('ranges that touch are joined when they are asked for', async (t) => {
  const dirty = new DirtyRanges(new ChunkPool())
  dirty.write(10, Buffer.alloc(10))
  dirty.write(0, Buffer.alloc(10))
  dirty.write(30, Buffer.alloc(5))
  t.same(dirty.joined, [
    { at: 0, end: 20 },
    { at: 30, end: 35 },
  ])
})

t.test('spilled neighbours are one range', async (t) => {
  const dirty = new DirtyRanges(new ChunkPool())
  for (const at of [0, 20, 10]) dirty.write(at, Buffer.alloc(10))
  for (const run of dirty.runs) dirty.spilled(run)
  t.same(dirty.cover(0, 30), [{ at: 0, end: 30, source: 'spilled' }])
})
