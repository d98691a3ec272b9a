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
      (page) => page.entries.at(-1),
    )
  const found: number[][] = []
  for await (const { entries } of all()) found.push(entries)
  t.same(found, [[1, 2], [3, 4], [5], []])
  t.same(asked, [0, 2, 4, 5])

  asked.length = 0
  for await (const { entries } of all()) if (entries.includes(3)) break
  t.same(asked, [0, 2], 'no page is asked for after the loop is left')
})
