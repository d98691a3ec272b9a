import t from 'tap'
import { pages } from '../../src/async/pages.js'

const list = [1, 2, 3, 4, 5]

t.test('a list comes page by page, to its end or until the loop is left', async (t) => {
  const asked: number[] = []
  const all = () =>
    pages(
      0,
      async (after) => {
        asked.push(after)
        // The list has a page without entries at its end.
        const entries = list.filter((entry) => entry > after).slice(0, 2)
        return { entries, more: entries.length > 0 }
      },
      (page) => page.entries,
      { source: 'a list', isBefore: (one, other) => one < other },
    )
  const found: number[][] = []
  for await (const { entries } of all()) found.push(entries)
  t.same(found, [[1, 2], [3, 4], [5], []])
  t.same(asked, [0, 2, 4, 5])

  asked.length = 0
  for await (const { entries } of all()) if (entries.includes(3)) break
  t.same(asked, [0, 2], 'no page is asked for after the loop is left')
})

/** What comes of a list whose answers do not depend on what was asked for. */
async function readAll(...answers: readonly { entries: readonly number[]; more: boolean }[]) {
  const found: (readonly number[])[] = []
  let count = 0
  const ask = async () => answers[count++ % answers.length] ?? { entries: [], more: false }
  const read = pages(0, ask, (page) => page.entries, {
    source: 'DFS4',
    isBefore: (one, other) => one < other,
  })
  for await (const { entries } of read) found.push(entries)
  return found
}

t.test('a list that does not get on is refused', async (t) => {
  t.same(await readAll({ entries: [1, 2], more: true }, { entries: [3], more: false }), [
    [1, 2],
    [3],
  ])
  const order = { code: 'protocol', message: 'DFS4 lists something twice, or not in its order' }
  await t.rejects(readAll({ entries: [1, 2], more: true }), order, 'one page for ever')
  await t.rejects(readAll({ entries: [2, 1], more: false }), order)
  await t.rejects(readAll({ entries: [1, 1], more: false }), order)
  await t.rejects(readAll({ entries: [0], more: false }), order, 'behind what was asked for')
  await t.rejects(readAll({ entries: [], more: true }), {
    code: 'protocol',
    message: 'DFS4 has a list that does not get on',
  })
})
