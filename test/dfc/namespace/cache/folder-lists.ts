import t from 'tap'
import { FolderLists } from '../../../../src/dfc/namespace/cache/folder-lists.js'

t.test('a new folder is known, with what is made in it', async (t) => {
  const lists = new FolderLists()
  lists.note(5, 'before', true)
  t.equal(lists.names(5), undefined)
  lists.setEmpty(5)
  t.same(lists.names(5), [])
  for (const name of ['b', '\u{ffff}', 'a', '\u{10000}', 'b']) lists.note(5, name, true)
  lists.note(5, 'b', false)
  lists.note(5, 'never there', false)
  t.same(lists.names(5), ['a', '\u{ffff}', '\u{10000}'], 'in the order of their bytes')
  lists.drop(5)
  t.equal(lists.names(5), undefined)
})

t.test('pages join to a list, and what changes meanwhile is in it', async (t) => {
  const lists = new FolderLists()
  lists.setListed(5, '', 'd', true, ['a', 'b', 'd'])
  t.equal(lists.names(5), undefined, 'it is not complete')
  lists.note(5, 'b', false)
  lists.note(5, 'c', true)
  lists.note(5, 'f', true)
  lists.setListed(5, 'd', 'g', false, ['e', 'g'])
  t.same(
    lists.names(5),
    ['a', 'c', 'd', 'e', 'g'],
    'a later page has what was made behind the first',
  )
})

t.test('a page that does not follow the one before begins no list', async (t) => {
  const lists = new FolderLists()
  lists.setListed(5, 'd', 'g', false, ['e', 'g'])
  t.equal(lists.names(5), undefined)
  lists.setListed(5, '', 'd', true, ['a'])
  lists.setListed(5, 'e', 'g', false, ['g'])
  t.equal(lists.names(5), undefined)
  lists.setListed(5, 'd', 'g', false, ['e'])
  t.same(lists.names(5), ['a', 'e'])
  lists.drop(5)
  t.equal(lists.names(5), undefined)
})
