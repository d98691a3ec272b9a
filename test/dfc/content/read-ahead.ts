import t from 'tap'
import { build, wholeSlice } from '../../../src/dfc/content/extents.js'
import { ReadAhead, ReadAheadBudget } from '../../../src/dfc/content/read-ahead.js'
import { limits } from '../../../src/limits.js'
import { Seeded } from '../../fixtures/seeded.js'

const KiB = 1024
const MiB = 1024 * KiB
const segment = { id: '0'.repeat(32), length: 32 * MiB, md5: '0'.repeat(32) }
const size = 320 * MiB
const content = build(
  size,
  Array.from({ length: 10 }, (_, index) => wholeSlice(segment, index * segment.length)),
)

interface Asked {
  readonly at: number
  readonly length: number
}

function reader(budget = new ReadAheadBudget()): {
  readAhead: ReadAhead
  asked: Asked[]
  forgotten: Asked[]
} {
  const asked: Asked[] = []
  const forgotten: Asked[] = []
  const readAhead = new ReadAhead(budget, {
    fetch: (_content, at, length) => asked.push({ at, length }),
    forget: (_content, at, length) => forgotten.push({ at, length }),
  })
  return { readAhead, asked, forgotten }
}

t.test('requests every byte once, ahead of a sequential reader, up to the window', async (t) => {
  const { readAhead, asked } = reader()
  const step = 128 * KiB
  let most = 0
  for (let at = 0; at < size; at += step) {
    readAhead.note(content, at, step)
    const last = asked.at(-1)
    const ahead = last === undefined ? 0 : last.at + last.length - at - step
    if (at >= 32 * MiB && at + step + ahead < size) {
      if (ahead < limits.readAheadBytesMax / 4) t.fail(`only ${ahead} bytes ahead of ${at}`)
    }
    most = Math.max(most, ahead)
  }
  t.ok(most <= limits.readAheadBytesMax, `${most} bytes ahead`)
  for (const [index, { at }] of asked.entries()) {
    const before = asked[index - 1]
    if (before !== undefined) t.equal(at, before.at + before.length, 'no gap and nothing twice')
  }
  const last = asked.at(-1)
  t.equal((last?.at ?? 0) + (last?.length ?? 0), size, 'up to the end and no further')
  t.ok(asked.length < 200, `in ${asked.length} steps`)
})

t.test('requests nothing while reads are random', async (t) => {
  const { readAhead, asked } = reader()
  const random = new Seeded(1)
  for (let count = 0; count < 1000; count += 1) {
    readAhead.note(content, random.below(size / 4096) * 4096, 4096)
  }
  t.ok(asked.length <= 10, `${asked.length} times by chance`)
})

t.test('requests nothing after the first read of a file alone', async (t) => {
  const { readAhead, asked } = reader()
  readAhead.note(content, 0, 4096)
  t.same(asked, [])
})

t.test('recognizes a sequential reader although its reads overtake one another', async (t) => {
  const { readAhead, asked } = reader()
  const step = 128 * KiB
  for (let at = 0; at < 64 * MiB; at += 2 * step) {
    readAhead.note(content, at + step, step)
    readAhead.note(content, at, step)
    readAhead.note(content, at + 2 * step, step)
  }
  const bytes = asked.reduce((sum, { length }) => sum + length, 0)
  t.ok(bytes > 48 * MiB, `${bytes} bytes were asked for ahead`)
})

t.test('begins anew after a jump', async (t) => {
  const { readAhead, asked } = reader()
  for (let at = 0; at < 4 * MiB; at += 64 * KiB) readAhead.note(content, at, 64 * KiB)
  const before = asked.length
  readAhead.note(content, 200 * MiB, 64 * KiB)
  t.equal(asked.length, before)
  readAhead.note(content, 200 * MiB + 64 * KiB, 64 * KiB)
  t.equal(asked.at(-1)?.at, 200 * MiB + 128 * KiB)
  t.ok((asked.at(-1)?.length ?? 0) <= limits.readAheadBytesMin, 'with a small window')
})

t.test('shares its memory with other handles and gives it back', async (t) => {
  const budget = new ReadAheadBudget()
  const readers = Array.from({ length: 8 }, () => reader(budget))
  for (const { readAhead } of readers) {
    for (let at = 0; at < 32 * MiB; at += MiB) readAhead.note(content, at, MiB)
  }
  t.equal(budget.take(MiB), 0, 'all is in use')
  for (const { readAhead } of readers) readAhead.close()
  const all = budget.take(limits.readAheadTotalBytesMax + 1)
  t.equal(all, limits.readAheadTotalBytesMax)
})

t.test(
  'forgets blocks far behind a sequential reader of a big file, and the rest at its end',
  async (t) => {
    const { readAhead, asked, forgotten } = reader()
    const step = 128 * KiB
    for (let at = 0; at < size; at += step) {
      readAhead.note(content, at, step)
      const last = forgotten.at(-1)
      const end = last === undefined ? 0 : last.at + last.length
      if (end > 0 && end > at + step - limits.readBehindBytesMax)
        t.fail(`${end} is forgotten at ${at}`)
      const behind = at + step - end
      if (at > 64 * MiB && behind > 2 * limits.readBehindBytesMax) t.fail(`${behind} are kept`)
    }
    readAhead.close()
    for (const [index, { at }] of forgotten.entries()) {
      const before = forgotten[index - 1]
      if (before !== undefined) t.equal(at, before.at + before.length, 'no gap and nothing twice')
    }
    const last = forgotten.at(-1)
    t.equal((last?.at ?? 0) + (last?.length ?? 0), size)
    t.ok(asked.length > 0)
  },
)

t.test('forgets nothing of a file that is not big, nor while reads are random', async (t) => {
  const { readAhead, forgotten } = reader()
  const small = build(15 * MiB, [wholeSlice({ ...segment, length: 15 * MiB })])
  for (let at = 0; at < small.size; at += 128 * KiB) readAhead.note(small, at, 128 * KiB)
  const random = new Seeded(1)
  for (let count = 0; count < 1000; count += 1) {
    readAhead.note(content, random.below(size / 4096) * 4096, 4096)
  }
  readAhead.close()
  t.same(forgotten, [])
})
