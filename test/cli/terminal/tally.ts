import t from 'tap'
import { sumText, Tally } from '../../../src/cli/terminal/tally.js'
import { StandingClock } from '../../fixtures/standing-clock.js'

const MiB = 1024 * 1024

/** A tally of files of these sizes, all of them counted. */
function tallyOf(...sizes: readonly number[]) {
  const clock = new StandingClock()
  const tally = new Tally(clock)
  for (const size of sizes) tally.expect(size)
  tally.counted()
  return { clock, tally }
}

t.test('what fails, is the same, or is another name of a file is not to be done', async (t) => {
  const { tally } = tallyOf(100 * MiB, 100 * MiB, 100 * MiB, 100 * MiB)
  const [moved, failed, skipped, linked] = [100, 100, 100, 100].map((size) =>
    tally.begin(size * MiB),
  )
  moved?.moved(100 * MiB)
  moved?.finish('moved')
  failed?.moved(30 * MiB)
  skipped?.finish('skipped')
  linked?.finish('linked')
  for (const file of [moved, failed, skipped, linked]) file?.end()
  tally.failed()
  t.same(tally.total, { files: 3, bytes: 130 * MiB })
  t.same(tally.done, tally.total)
  t.equal(tally.progress, 1)
  t.match(sumText(tally.sum), '2 files, 130 MiB in 0.0 s; 1 skipped, 1 failed')
})

t.test('a file that holds less, or more, than it was counted with ends in full', async (t) => {
  const { tally } = tallyOf(50 * MiB, 50 * MiB)
  for (const size of [40, 60]) {
    const file = tally.begin(50 * MiB)
    file.moved(size * MiB)
    file.finish('moved')
    file.end()
  }
  t.equal(tally.progress, 1)
  t.equal(tally.total.bytes, 100 * MiB)
})

t.test('what is compared is progress, and what then differs is moved on top', async (t) => {
  const { tally } = tallyOf(100 * MiB, 100 * MiB)
  const same = tally.begin(100 * MiB)
  same.found(100 * MiB)
  same.finish('skipped')
  same.end()
  const differing = tally.begin(100 * MiB)
  differing.found(50 * MiB)
  const before = tally.progress
  t.ok(before > 0.7, `${before}`)
  differing.goBackTo(0)
  t.equal(tally.progress, before, 'it does not go back')
  t.equal(tally.total.bytes - tally.done.bytes, 100 * MiB, 'all of it is still to come')
  differing.moved(100 * MiB)
  differing.finish('moved')
  differing.end()
  t.equal(tally.progress, 1)
  t.equal(tally.sum.bytes, 100 * MiB)
})

t.test('many small files behind a large one still take their time', async (t) => {
  const small = 10_000
  const { clock, tally } = tallyOf(1000 * MiB, ...Array(small).fill(10))
  const large = tally.begin(1000 * MiB)
  for (let second = 0; second < 10; second += 1) {
    clock.pass(1000)
    large.moved(100 * MiB)
  }
  large.finish('moved')
  large.end()
  t.ok(tally.progress < 0.5, `${tally.progress}`)
  t.ok((tally.leftMs ?? 0) > 10_000, `${tally.leftMs}`)
})

t.test('files that are the same are progress, and their bytes are none', async (t) => {
  const { tally } = tallyOf(...Array(100).fill(MiB))
  for (let count = 0; count < 50; count += 1) {
    const file = tally.begin(MiB)
    file.finish('skipped')
    file.end()
  }
  t.ok(tally.progress > 0.15 && tally.progress < 0.5, `${tally.progress}`)
  t.same(tally.done, { files: 50, bytes: 0 })
  t.equal(tally.total.bytes, 50 * MiB)
})

t.test('counts on without a total while that is not known', async (t) => {
  const tally = new Tally(new StandingClock())
  tally.expect(10)
  const file = tally.begin(10)
  file.finish('skipped')
  file.end()
  t.equal(tally.isCounted, false)
  t.same(tally.total, { files: 1, bytes: 10 }, 'what is counted does not shrink')
})
