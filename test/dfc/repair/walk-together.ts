import t from 'tap'
import { type Page, walkTogether } from '../../../src/dfc/repair/walk-together.js'
import { limits } from '../../../src/limits.js'

const compare = (a: number, b: number): number => a - b

/** Lists of numbers in pages of `size`; a server that has none is asked by `pageOf`. */
function listsOf(
  lists: readonly (readonly number[])[],
  size: number,
  pageOf: (last: number | undefined) => Page<number> = () => ({ items: [], more: false }),
) {
  return {
    compare,
    async pageOf(server: number, last: number | undefined): Promise<Page<number>> {
      const list = lists[server]
      if (list === undefined) return pageOf(last)
      const rest = list.filter((item) => last === undefined || item > last)
      return { items: rest.slice(0, size), more: rest.length > size }
    },
  }
}

async function walk(servers: readonly number[], lists: ReturnType<typeof listsOf>) {
  const shown: [number, readonly number[]][] = []
  for await (const { item, holders } of walkTogether(servers, lists)) shown.push([item, holders])
  return shown
}

t.test('shows each item once, with the servers that list it, whatever the pages are', async (t) => {
  const lists = [[1, 2, 4], [1, 4], [1, 2, 3, 4, 5], []]
  for (const size of [1, 2, 3, 10]) {
    t.strictSame(await walk([0, 1, 2, 3], listsOf(lists, size)), [
      [1, [0, 1, 2]],
      [2, [0, 2]],
      [3, [2]],
      [4, [0, 1, 2]],
      [5, [2]],
    ])
  }
})

t.test(
  'ends with a server that lists without end, and still shows what the others have',
  async (t) => {
    const others = [1, 1000, 1001]
    const endless = (last = 1): Page<number> => ({
      items: Array.from({ length: 512 }, (_, at) => last + (at + 1) * 1e-6),
      more: true,
    })
    const shown = await walk([0, 1, 2], listsOf([others, others], 2, endless))
    t.strictSame(
      shown.filter(({ 1: holders }) => holders.length > 1),
      others.map((item) => [item, [0, 1]]),
    )
    t.equal(shown.length - others.length, limits.loneEntriesMax + 1)
  },
)

t.test('does not listen to a server that goes back', async (t) => {
  const shown = await walk(
    [0, 1, 2],
    listsOf(
      [
        [1, 2, 3],
        [1, 2, 3],
      ],
      2,
      () => ({ items: [2, 1], more: true }),
    ),
  )
  t.strictSame(shown, [
    [1, [0, 1]],
    [2, [0, 1]],
    [3, [0, 1]],
  ])
})
