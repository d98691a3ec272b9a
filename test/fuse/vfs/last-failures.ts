/** What a mount remembers of its failures is bounded, and ends when the file is stored. */
import t from 'tap'
import { DfsError } from '../../../src/errors.js'
import { LastFailures } from '../../../src/fuse/vfs/last-failures.js'
import { limits } from '../../../src/limits.js'

function failuresOf(): LastFailures {
  let nowMs = 0
  const failures = new LastFailures({ now: () => (nowMs += 1000) })
  failures.connect({ nameOf: (ino) => `f${ino}`, away: () => [{ name: 'DFS2', why: 'off' }] })
  return failures
}

t.test('the answers of every file system are not noted', async (t) => {
  const failures = failuresOf()
  for (const code of ['notFound', 'exists', 'noAttribute', 'stale', 'access'] as const) {
    failures.failed('lookup', 7, new DfsError(code))
  }
  t.same(failures.of(7), [])
  failures.failed('read', 7, new DfsError('incomplete'))
  t.match(failures.of(7), [
    { what: 'reading', errno: 'EIO', name: 'f7', times: 1, away: [{ name: 'DFS2' }] },
  ])
})

t.test('what happens again is counted, and another cause begins anew', async (t) => {
  const failures = failuresOf()
  for (let i = 0; i < 3; i += 1) failures.failed('write', 7, new DfsError('noSpace'))
  t.match(failures.of(7), [{ times: 3, firstMs: 1000, lastMs: 3000 }])
  failures.failed('write', 7, new DfsError('quota'))
  t.match(failures.of(7), [{ times: 1, firstMs: 4000, errno: 'EDQUOT' }])
  t.match(failures.latest, [{ times: 3 }, { times: 1 }])
})

t.test('a file that was stored has no failure of a store', async (t) => {
  const failures = failuresOf()
  failures.failed('write', 7, new DfsError('noSpace'))
  failures.notStored({ ino: 7, name: 'seven' }, new DfsError('down'), '; kept in a place')
  failures.failed('setattr', 7, new DfsError('readOnly'))
  t.match(failures.of(7)[1], { what: 'storing', name: 'seven', message: /; kept in a place$/ })
  failures.stored(7)
  t.match(failures.of(7), [{ what: 'changing the attributes of' }])
  t.equal(failures.latest.length, 3, 'the mount remembers that it was so')
})

t.test('only so many files and failures are remembered', async (t) => {
  const failures = failuresOf()
  for (let ino = 1; ino <= limits.failingFilesMax + 10; ino += 1) {
    failures.failed('read', ino, new DfsError('io'))
  }
  t.same(failures.of(10), [])
  t.equal(failures.of(11).length, 1)
  t.equal(failures.latest.length, limits.failuresShownMax)
  t.equal(failures.latest.at(-1)?.ino, limits.failingFilesMax + 10)
})
