import t from 'tap'
import { changeRecord, entriesOf, forgottenRecord } from '../../../src/dfc/namespace/journal.js'
import { contentOf, journalEntry } from '../../fixtures/journal-entries.js'

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

t.test('a journal with any damaged byte has the records before it, and none after', async (t) => {
  const wrong = [...whole.keys()].filter((place) => {
    const damaged = Buffer.from(whole)
    damaged[place] = (damaged[place] ?? 0) ^ (1 << (place % 8))
    return idsIn(damaged).join() !== idsUpTo(place).join()
  })
  t.same(wrong, [])
})

t.test('what follows the end of a journal that was lost with the power is not read', async (t) => {
  const [first = Buffer.alloc(0), , third = Buffer.alloc(0)] = records
  const zeros = Buffer.alloc(4096)
  t.same(idsIn(Buffer.concat([first, zeros, third])), idsUpTo(first.length))
  t.same(idsIn(Buffer.concat([first, Buffer.alloc(64, 0xff)])), idsUpTo(first.length))
})

t.test('a change that was dropped is not needed any more', async (t) => {
  const [first, second, ...rest] = entries.map(({ id }) => id)

  t.same(idsIn(Buffer.concat([whole, forgottenRecord(second ?? '')])), [first, ...rest])
})
