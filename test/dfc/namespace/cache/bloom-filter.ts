import t from 'tap'
import { BloomFilter } from '../../../../src/dfc/namespace/cache/bloom-filter.js'

const namesOf = (what: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${what}-${index}`)

t.test('knows every name that was added, and hardly any other', async (t) => {
  const filter = new BloomFilter()
  t.notOk(filter.has('entry-0'))
  const names = namesOf('entry', 100_000)
  for (const name of names) filter.add(name)
  t.ok(names.every((name) => filter.has(name)))
  const wrong = namesOf('other', 100_000).filter((name) => filter.has(name)).length
  t.ok(wrong < 3000, `${wrong} of 100,000 others`)
  t.ok(filter.bytes < 800_000, `${filter.bytes} bytes`)
})

t.test('a name that is added again takes no room', async (t) => {
  const filter = new BloomFilter()
  const names = namesOf('entry', 50)
  for (let round = 0; round < 20; round += 1) for (const name of names) filter.add(name)
  t.equal(filter.bytes, 128)
})

t.test('names may have any characters', async (t) => {
  const filter = new BloomFilter()
  for (const name of ['a', 'ä', '\u{1f600}', 'a'.repeat(255)]) {
    t.notOk(filter.has(name))
    filter.add(name)
    t.ok(filter.has(name))
  }
})
