import t from 'tap'
import {
  changeRecord,
  contentsOf,
  entriesOf,
  forgottenRecord,
  partialRecord,
} from '../../../src/dfc/namespace/journal.js'
import { contentOf, journalEntry } from '../../fixtures/journal-entries.js'
import { Seeded } from '../../fixtures/seeded.js'

const entries = [journalEntry(0), journalEntry(1, 300), journalEntry(2), journalEntry(3, 50)]
const records = entries.map(changeRecord)
const whole = Buffer.concat(records)

function idsIn(journal: Buffer): readonly string[] {
  return entriesOf(journal).map(({ id }) => id)
}

/** The ids of the entries whose records end at or before this place. */
function idsUpTo(place: number): readonly string[] {
  let end = 0
  return entries.flatMap(({ id }, index) => {
    end += records[index]?.length ?? 0
    return end <= place ? [id] : []
  })
}

t.test('a journal has what was written into it', async (t) => {
  const found = entriesOf(whole)
  t.equal(found.length, entries.length)
  for (const [index, entry] of entries.entries()) {
    const { contents, ...rest } = found[index] ?? journalEntry(9)
    const { contents: _, ...wanted } = entry
    t.same(rest, wanted)
    t.same(
      contents.map(({ segment }) => segment),
      entry.contents.map(({ segment }) => segment),
    )
    t.ok(contentOf(found[index] ?? journalEntry(9)).equals(contentOf(entry)))
  }
  t.same(entriesOf(Buffer.alloc(0)), [])
})

t.test('a journal that was cut at any place has the records before it', async (t) => {
  const wrong = [...whole.keys()].filter((place) => {
    return idsIn(whole.subarray(0, place)).join() !== idsUpTo(place).join()
  })
  t.same(wrong, [])
})

/** Whether all that was left counts as partial. */
const isDoubted = (journal: Buffer): boolean =>
  entriesOf(journal).every(({ isPartial }) => isPartial === true)

t.test('a journal with any damaged byte has the other records, and says so', async (t) => {
  const wrong = [...whole.keys()].filter((place) => {
    const damaged = Buffer.from(whole)
    damaged[place] = (damaged[place] ?? 0) ^ (1 << (place % 8))
    const hit = idsUpTo(place).length
    const others = entries.flatMap(({ id }, index) => (index === hit ? [] : [id]))
    const { damagedBytes } = contentsOf(damaged)
    // A last record that claims to be longer looks like one that was cut short.
    const isSaid = damagedBytes === records[hit]?.length && isDoubted(damaged)
    const isCut = damagedBytes === 0 && hit === entries.length - 1
    return idsIn(damaged).join() !== others.join() || !(isSaid || isCut)
  })
  t.same(wrong, [])
  t.equal(contentsOf(whole).damagedBytes, 0)
  t.notOk(isDoubted(whole))
})

t.test('of what was lost with the power in the middle of a journal the rest is read', async (t) => {
  const [first = Buffer.alloc(0), , third = Buffer.alloc(0)] = records
  const ids = (...indexes: readonly number[]) => indexes.map((index) => entries[index]?.id)
  const zeros = Buffer.alloc(4096)
  t.same(idsIn(Buffer.concat([first, zeros])), ids(0))
  t.same(idsIn(Buffer.concat([first, zeros, third])), ids(0, 2))
  t.equal(contentsOf(Buffer.concat([first, zeros])).damagedBytes, 0, 'it was not written yet')
  t.equal(contentsOf(Buffer.concat([first, zeros, third])).damagedBytes, zeros.length)
  const other = Buffer.concat([first, Buffer.alloc(64, 0xff)])
  t.same(idsIn(other), ids(0))
})

t.test('a journal may say that some of a transaction is missing', async (t) => {
  const [{ id } = journalEntry(9)] = entries
  const found = entriesOf(Buffer.concat([partialRecord(id), whole]))
  t.same(
    found.map(({ isPartial }) => isPartial ?? false),
    [true, false, false, false],
  )
})

t.test('a large journal that is damaged all over is read in a moment', async (t) => {
  const noise = new Seeded(1).bytes(8 * 1024 * 1024)
  const startedMs = performance.now()
  const { entries: found, damagedBytes } = contentsOf(Buffer.concat([noise, whole]))
  t.equal(damagedBytes, noise.length)
  t.equal(found.length, entries.length)
  t.ok(performance.now() - startedMs < 5_000)
})

t.test('a change that was dropped is not needed any more', async (t) => {
  const [first, second, ...rest] = entries.map(({ id }) => id)
  t.same(idsIn(Buffer.concat([whole, forgottenRecord(second ?? '')])), [first, ...rest])
})
