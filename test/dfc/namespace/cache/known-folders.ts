import t from 'tap'
import { KnownFolders } from '../../../../src/dfc/namespace/cache/known-folders.js'
import { limits } from '../../../../src/limits.js'

t.test('remembers names of a folder only while it is known, or being listed', async (t) => {
  const folders = new KnownFolders()
  folders.forget(5, 'a')
  folders.setEmpty(5, 0)
  t.equal(folders.absentSinceMs(5, 'a'), 0)
  folders.forget(5, 'a')
  t.equal(folders.absentSinceMs(5, 'a'), undefined)
  t.equal(folders.absentSinceMs(5, 'b'), 0)
})

t.test('remembered names stay while a known folder is listed again', async (t) => {
  const folders = new KnownFolders()
  folders.setEmpty(5, 0)
  folders.forget(5, 'a')
  folders.setListed(5, '', 'k', true, 1)
  t.equal(folders.absentSinceMs(5, 'a'), undefined)
  t.equal(folders.absentSinceMs(5, 'b'), 0)
  folders.setListed(5, 'k', 'z', false, 2)
  t.equal(folders.absentSinceMs(5, 'b'), 1, 'since its first page')
})

t.test('names that are forgotten between the pages of a listing are remembered', async (t) => {
  const folders = new KnownFolders()
  folders.setListed(5, '', 'k', true, 1)
  folders.forget(5, 'a')
  folders.setListed(5, 'k', 'z', false, 2)
  t.equal(folders.absentSinceMs(5, 'a'), undefined)
  t.equal(folders.absentSinceMs(5, 'b'), 1)
})

t.test('a listing with a gap makes no folder known', async (t) => {
  const folders = new KnownFolders()
  folders.setListed(5, '', 'k', true, 1)
  folders.setListed(5, 'm', 'z', false, 2)
  t.equal(folders.absentSinceMs(5, 'b'), undefined)
})

t.test('a folder with more names than can be remembered is not known', async (t) => {
  const folders = new KnownFolders()
  folders.setEmpty(5, 0)
  folders.setEmpty(6, 0)
  folders.forget(6, 'a')
  let count = 0
  while (folders.absentSinceMs(5, '') !== undefined && count < limits.forgottenNamesBytesMax) {
    folders.forget(5, `${count}`)
    count += 1
  }
  t.ok(count > 1_000_000 && count * 2 < limits.forgottenNamesBytesMax, `${count} names`)
  t.equal(folders.absentSinceMs(5, 'b'), undefined)
  folders.setListed(5, '', 'z', false, 1)
  t.equal(folders.absentSinceMs(5, '1'), 1, 'and begins anew')
})

t.test('two listings that join are as old as their oldest page', async (t) => {
  const folders = new KnownFolders()
  folders.setListed(5, '', 'k', true, 5)
  folders.setListed(5, 'k', 'z', false, 3)
  t.equal(folders.absentSinceMs(5, 'new'), 3)
})
