import t from 'tap'
import { type Content, emptyContent } from '../../../src/dfc/content/content.js'
import {
  assertContent,
  build,
  copyRange,
  type DataSlice,
  overlay,
  punch,
  slices,
  slicesOfRuns,
  truncate,
  wholeSlice,
} from '../../../src/dfc/content/extents.js'
import { limits } from '../../../src/limits.js'
import type { Segment } from '../../../src/wire/records.js'
import { Seeded } from '../../fixtures/seeded.js'

let made = 0
const bytesOf = new Map<string, Buffer>()

function segmentOf(bytes: Buffer): Segment {
  made += 1
  const id = made.toString(16).padStart(32, '0')
  bytesOf.set(id, bytes)
  return { id, length: bytes.length, md5: id }
}

function render(content: Content, at = 0, length = content.size): Buffer {
  return Buffer.concat(
    slices(content, at, length).map((slice) =>
      slice.kind === 'hole'
        ? Buffer.alloc(slice.length)
        : (bytesOf.get(slice.segment.id) ?? Buffer.alloc(0)).subarray(
            slice.offset,
            slice.offset + slice.length,
          ),
    ),
  )
}

/** Returns what is wrong with a content: extents must be ordered, apart, within segments, and not joinable. */
function faultOf({ size, segments, extents }: Content): string | undefined {
  let end = 0
  const used = new Set<number>()
  for (const [index, extent] of extents.entries()) {
    const segment = segments[extent.segment]
    const last = extents[index - 1]
    if (extent.at < end || extent.length < 1) return `extent ${index} overlaps or is empty`
    if (segment === undefined) return `extent ${index} has no segment`
    if (extent.offset + extent.length > segment.length) return `extent ${index} is too long`
    const isNext = last?.segment === extent.segment && last.at + last.length === extent.at
    if (isNext && last.offset + last.length === extent.offset) return `extent ${index} goes on`
    end = extent.at + extent.length
    used.add(extent.segment)
  }
  if (end > size) return 'data behind the end'
  if (used.size !== segments.length) return 'a segment is not used'
  if (new Set(segments.map(({ id }) => id)).size !== segments.length) return 'a segment twice'
  return undefined
}

/** Draws distinct ordered runs with gaps between them. */
function randomRuns(random: Seeded, from: number): { at: number; length: number }[] {
  let at = from
  return Array.from({ length: 1 + random.below(4) }, () => {
    const run = { at, length: 1 + random.below(40) }
    at += run.length + random.below(3) * random.below(20)
    return run
  })
}

interface State {
  content: Content
  model: Buffer
}

type Step = (random: Seeded, state: State, other: State) => State

function grown(model: Buffer, size: number): Buffer {
  return Buffer.concat([model, Buffer.alloc(Math.max(0, size - model.length))])
}

const steps: Record<string, Step> = {
  overlay(random, { content, model }) {
    const runs = randomRuns(random, random.below(model.length + 60))
    const bytes = random.bytes(runs.reduce((sum, run) => sum + run.length, 0))
    const last = runs.at(-1)
    const next = grown(model, (last?.at ?? 0) + (last?.length ?? 0))
    let offset = 0
    for (const run of runs) {
      bytes.copy(next, run.at, offset, offset + run.length)
      offset += run.length
    }
    return { content: overlay(content, slicesOfRuns(segmentOf(bytes), runs)), model: next }
  },
  punch(random, { content, model }) {
    const at = random.below(model.length + 10)
    const length = random.below(80)
    const next = Buffer.from(model)
    next.fill(0, Math.min(at, next.length), Math.min(at + length, next.length))
    return { content: punch(content, at, length), model: next }
  },
  truncate(random, { content, model }) {
    const size = random.below(model.length + 50)
    return { content: truncate(content, size), model: grown(model, size).subarray(0, size) }
  },
  copyWithin(random, state) {
    return copy(random, state, state)
  },
  copyFromOther(random, state, other) {
    return copy(random, state, other)
  },
}

function copy(random: Seeded, target: State, source: State): State {
  const from = random.below(source.model.length + 1)
  const length = random.below(source.model.length - from + 1)
  const at = random.below(target.model.length + 20)
  const moved = Buffer.from(source.model.subarray(from, from + length))
  const model = length === 0 ? target.model : grown(target.model, at + length)
  moved.copy(model, at)
  return { content: copyRange(source.content, from, length, target.content, at), model }
}

for (const seed of [1, 2, 3, 4]) {
  t.test(`agrees with an array of bytes through 2000 random steps, seed ${seed}`, async (t) => {
    const random = new Seeded(seed)
    const states: State[] = [0, 1].map(() => ({ content: emptyContent, model: Buffer.alloc(0) }))
    const names = Object.keys(steps)
    for (let count = 0; count < 2000; count += 1) {
      const turn = random.below(2)
      const name = names[random.below(names.length)] ?? ''
      const [state, other] = [states[turn], states[1 - turn]]
      if (state === undefined || other === undefined) throw new Error('two states')
      let next = steps[name]?.(random, state, other) ?? state
      if (next.model.length > 3000) {
        next = { content: truncate(next.content, 100), model: next.model.subarray(0, 100) }
      }
      states[turn] = next
      const at = random.below(next.model.length + 5)
      const length = random.below(200)
      const good =
        next.content.size === next.model.length &&
        faultOf(next.content) === undefined &&
        render(next.content).equals(next.model) &&
        render(next.content, at, length).equals(next.model.subarray(at, at + length))
      if (!good) {
        t.fail(`step ${count}, ${name}: ${faultOf(next.content) ?? 'other bytes'}`)
        return
      }
    }
    t.pass('2000 steps')
  })
}

t.test('writes the dirty runs of a file as one segment, one behind the other', async (t) => {
  const segment = segmentOf(Buffer.from('abcdefgh'))
  const runs = [
    { at: 10, length: 3 },
    { at: 20, length: 5 },
  ]
  const content = overlay(emptyContent, slicesOfRuns(segment, runs))
  t.same(content.extents, [
    { at: 10, segment: 0, offset: 0, length: 3 },
    { at: 20, segment: 0, offset: 3, length: 5 },
  ])
  t.equal(content.size, 25)
  t.equal(render(content).toString(), `${'\0'.repeat(10)}abc${'\0'.repeat(7)}defgh`)
  t.throws(() => slicesOfRuns(segment, [{ at: 0, length: 3 }]), /not the segment/)
})

t.test('joins an extent with the one that continues it', async (t) => {
  const segment = segmentOf(Buffer.from('abcdefgh'))
  const halves: DataSlice[] = [
    { kind: 'data', at: 0, length: 4, segment, offset: 0 },
    { kind: 'data', at: 4, length: 4, segment, offset: 4 },
  ]
  t.same(build(8, halves).extents, [{ at: 0, segment: 0, offset: 0, length: 8 }])
})

t.test('forgets a segment that was overwritten as a whole', async (t) => {
  const old = overlay(emptyContent, [wholeSlice(segmentOf(Buffer.from('old')))])
  const segment = segmentOf(Buffer.from('newer'))
  t.same(overlay(old, [wholeSlice(segment)]).segments, [segment])
})

t.test('refuses a longer file than the limit', async (t) => {
  const segment = segmentOf(Buffer.alloc(100))
  t.equal(truncate(emptyContent, limits.fileBytesMax).size, limits.fileBytesMax)
  t.throws(() => truncate(emptyContent, limits.fileBytesMax + 1), { code: 'tooLarge' })
  t.throws(() => overlay(emptyContent, [wholeSlice(segment, limits.fileBytesMax)]), {
    code: 'tooLarge',
  })
})

t.test('refuses runs that overlap', async (t) => {
  const segment = segmentOf(Buffer.from('abcd'))
  const runs = [
    { at: 0, length: 2 },
    { at: 1, length: 2 },
  ]
  t.throws(() => overlay(emptyContent, slicesOfRuns(segment, runs)), /ordered/)
})

t.test('is quick with a file of many extents', async (t) => {
  const count = 8192
  const segment = segmentOf(Buffer.alloc(count))
  const runs = Array.from({ length: count }, (_, index) => ({ at: index * 2, length: 1 }))
  const content = overlay(emptyContent, slicesOfRuns(segment, runs))
  const begin = performance.now()
  for (let at = 0; at < 100; at += 1) overlay(content, [wholeSlice(segmentOf(Buffer.alloc(4)), at)])
  t.ok(performance.now() - begin < 5_000, 'a hundred writes take less than five seconds')
})

t.test('data that overlaps, is out of order or beyond the file makes no content', async (t) => {
  const segment = segmentOf(Buffer.alloc(10))
  const at = (from: number, length = 10): DataSlice => ({ ...wholeSlice(segment, from), length })
  const broken = { code: 'ERR_ASSERTION' }
  t.throws(() => build(20, [at(0), at(5)]), broken)
  t.throws(() => build(20, [at(10), at(0)]), broken)
  t.throws(() => build(15, [at(10)]), broken)
  t.throws(() => build(20, [at(10, 0)]), broken)
  const extent = { at: 0, segment: 0, offset: 0, length: 10 }
  const content = { size: 20, segments: [segment], extents: [extent, { ...extent, at: 10 }] }
  assertContent(content)
  t.throws(() => assertContent({ ...content, size: 19 }), broken)
  t.throws(() => assertContent({ ...content, segments: [] }), broken)
  t.throws(() => assertContent({ ...content, extents: [{ ...extent, offset: 1 }] }), broken)
  t.throws(() => assertContent({ ...content, extents: [extent, { ...extent, at: 9 }] }), broken)
})
