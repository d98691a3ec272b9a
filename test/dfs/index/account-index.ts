import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { AccountIndex } from '../../../src/dfs/index/account-index.js'
import { inodeKey } from '../../../src/wire/records.js'
import { versionOf } from '../../../src/wire/version.js'
import { sampleInode } from '../../fixtures/inodes.js'

const at = (ms: number): string => versionOf(ms, 0, '00000001')
/** Its rotation is 0: pieces 1 and 2 are at home on the first server. */
const segment = { id: 'ab'.repeat(16), length: 8, md5: '0'.repeat(32) }
const tiny = { id: 'cd'.repeat(16), length: 1, md5: '0'.repeat(32) }

/** A file of `segments`, of which `pieces` are here. */
function fill(index: AccountIndex, pieces: readonly number[], segments = [segment]): void {
  index.registers.set(inodeKey(7), at(10), sampleInode({ segments }))
  for (const { id } of segments) {
    for (const piece of pieces) index.pieces.add(id, piece, 2, [0], Buffer.from('ab'))
  }
}

function misplaced(t: Test, index: AccountIndex): string[] {
  const listed = index.segments.after('', true, 9).map(({ segment: { id } }) => id)
  t.equal(index.segments.misplacedTotal(), listed.length, 'the status says the same')
  return listed
}

function indexOf(t: Test, position: () => number | null): AccountIndex {
  const index = AccountIndex.open(':memory:', position)
  t.teardown(() => index.close())
  return index
}

t.test('a segment is misplaced when other pieces are here than belong here', async (t) => {
  const index = indexOf(t, () => 0)
  fill(index, [1, 3])
  t.same(misplaced(t, index), [segment.id], 'two pieces, one of them a neighbour’s')
  t.notOk(index.segments.isPlaced(segment.id))
  index.pieces.add(segment.id, 2, 2, [0], Buffer.from('ab'))
  t.same(misplaced(t, index), [segment.id], 'one too many')
  index.pieces.remove(segment.id, 3)
  t.same(misplaced(t, index), [])
  t.ok(index.segments.isPlaced(segment.id))
  index.pieces.add(segment.id, 2, 2, [0], Buffer.from('ab'))
  t.same(misplaced(t, index), [], 'a piece that comes again is counted once')
  index.pieces.remove(segment.id, 1)
  t.same(misplaced(t, index), [segment.id], 'one too few')
  index.registers.set(inodeKey(7), at(20), null)
  t.same(misplaced(t, index), [], 'nothing refers to it')
})

t.test('of a segment of one byte only the piece that is not empty belongs anywhere', async (t) => {
  const index = indexOf(t, () => 0)
  fill(index, [1], [tiny])
  t.same(misplaced(t, index), [])
  const other = indexOf(t, () => 1)
  fill(other, [], [tiny])
  t.same(misplaced(t, other), [])
  other.pieces.add(tiny.id, 1, 1, [0], Buffer.from('a'))
  t.same(misplaced(t, other), [tiny.id])
})

t.test('where pieces belong follows the position, also when it is learnt later', async (t) => {
  let position: number | null = null
  const index = indexOf(t, () => position)
  fill(index, [2, 3])
  position = 1
  t.same(misplaced(t, index), [])
  position = 2
  t.same(misplaced(t, index), [segment.id])
})

t.test('an undone group undoes what it found out about the position', async (t) => {
  let position: number | null = null
  const index = indexOf(t, () => position)
  fill(index, [2, 3])
  position = 1
  const undone = (): void =>
    index.group(() => {
      index.segments.misplacedTotal()
      throw new Error('a full disk')
    })
  t.throws(undone)
  t.same(misplaced(t, index), [])
})

t.test('a piece that is lost is remembered until it is put again', async (t) => {
  const index = indexOf(t, () => 0)
  fill(index, [1, 2], [segment, tiny])
  index.pieces.remove(tiny.id, 2)
  t.notOk(index.segments.isAnyLost)
  index.segments.markLost(segment.id, 0b1010)
  t.ok(index.segments.isAnyLost)
  t.equal(index.segments.lostTotal(), 1)
  t.same(index.segments.marksOf(segment.id), { referred: true, lost: 0b1010 })
  t.same(index.segments.marksOf('ef'.repeat(16)), { referred: false, lost: 0 })
  t.match(
    index.segments.after('', true, 9),
    [{ segment: { id: segment.id } }],
    'repair looks at it',
  )
  t.same(index.segments.after(segment.id, true, 9), [])
  index.pieces.add(segment.id, 4, 2, [0], Buffer.from('ab'))
  t.same(index.segments.marksOf(segment.id).lost, 0b0010)
  index.pieces.add(segment.id, 2, 2, [0], Buffer.from('ab'))
  t.same(index.segments.marksOf(segment.id).lost, 0, 'also in place of one that had rotted')
  index.segments.markLost(segment.id, 0b0001)
  index.registers.set(inodeKey(7), at(20), null)
  t.notOk(index.segments.isAnyLost, 'what belongs to no file is not lost')
  t.equal(index.segments.lostTotal(), 0)
})

t.test('pages of what repair looks at are in one order, whatever is wrong', async (t) => {
  const index = indexOf(t, () => 0)
  const ids = ['a', 'b', 'c', 'd', 'e'].map((digit) => digit.repeat(32))
  fill(
    index,
    [1, 2],
    ids.map((id) => ({ ...segment, id })),
  )
  const [a = '', b = '', , d = '', e = ''] = ids
  for (const id of [a, d]) index.pieces.remove(id, 2)
  for (const id of [b, d, e]) index.segments.markLost(id, 0b0100)
  const found: string[] = []
  for (let page = index.segments.after('', true, 2); page.length > 0; ) {
    found.push(...page.map(({ segment: { id } }) => id))
    page = index.segments.after(found.at(-1) ?? '', true, 2)
  }
  t.same(found, [a, b, d, e])
})

t.test('an index of version 2, which counted pieces, is converted', async (t) => {
  const path = join(t.testdir(), 'index.db')
  const before = AccountIndex.open(path, () => 0)
  fill(before, [1, 3], [segment, tiny])
  before.close()
  const db = new Database(path)
  db.exec(`
    DROP INDEX segments_misplaced;
    DROP INDEX segments_lost;
    ALTER TABLE segments DROP COLUMN lost;
    ALTER TABLE segments DROP COLUMN home;
    UPDATE segments SET held = 2;
    CREATE INDEX segments_misplaced ON segments (segment)
      WHERE refs > 0 AND (held <> 2 OR length < 4);
    DELETE FROM state WHERE name = 'position';
    PRAGMA user_version = 2;`)
  db.close()
  const index = AccountIndex.open(path, () => 0)
  t.teardown(() => index.close())
  t.same(misplaced(t, index), [segment.id, tiny.id])
  index.pieces.remove(tiny.id, 3)
  index.pieces.remove(segment.id, 3)
  index.pieces.add(segment.id, 2, 2, [0], Buffer.from('ab'))
  t.same(misplaced(t, index), [])
})

t.test('how much there is outlasts the process without being counted again', async (t) => {
  const path = join(t.testdir(), 'index.db')
  const open = (): AccountIndex => AccountIndex.open(path)
  const fillOne = (index: AccountIndex, ino: number): void =>
    index.group(() => {
      index.registers.set(inodeKey(ino), at(ino), sampleInode())
      index.pieces.add(ino.toString(16).padStart(32, '0'), 1, 100, [7], Buffer.alloc(100))
    })
  const first = open()
  t.same(first.totals.now, { registers: 0, pieces: 0, pieceBytes: 0 })
  for (let ino = 2; ino < 12; ino += 1) fillOne(first, ino)
  const all = { registers: 10, pieces: 10, pieceBytes: 1000 }
  t.same(first.totals.now, all)
  t.throws(() =>
    first.group(() => {
      fillOne(first, 12)
      throw new Error('the disk is full')
    }),
  )
  t.same(first.totals.now, all)
  first.close()

  const again = open()
  t.same(again.totals.now, all)
  fillOne(again, 12)
  again.group(() => again.registers.set(inodeKey(12), at(13), null))
  t.same(again.totals.now, { registers: 10, pieces: 11, pieceBytes: 1100 })
  // Something else than there is, to see that it is taken from there.
  again.state.set('totals', '1 2 3')
  again.close()
  const told = open()
  t.same(told.totals.now, { registers: 1, pieces: 2, pieceBytes: 3 })
  told.close()

  // An index of an older program does not say it.
  const raw = new Database(path)
  raw.exec("DELETE FROM state WHERE name = 'totals'")
  raw.close()
  const counted = open()
  t.same(counted.totals.now, { registers: 10, pieces: 11, pieceBytes: 1100 })
  counted.close()
})
