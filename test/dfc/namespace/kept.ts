import t from 'tap'
import {
  formerNumbers,
  inodeBytes,
  keptInode,
  keptName,
  recordOf,
  restoredInode,
  timeOfKept,
} from '../../../src/dfc/namespace/kept.js'
import { limits } from '../../../src/limits.js'
import {
  decodeInode,
  encodeInode,
  entryKey,
  parseKey,
  trashIno,
} from '../../../src/wire/records.js'
import { inodeOf } from '../../fixtures/inodes.js'

const folders = [{ mode: 0o40700, uid: 1000, gid: 4 }]
const record = { kind: 'removed', ino: 7, folder: '/a', name: 'b', folders } as const

t.test('a kept inode says of what file it is, and gives it back as it was', async (t) => {
  const attributes = [{ name: 'user.a', value: Buffer.from('x') }]
  const inode = inodeOf({ size: 3, nlink: 0, attributes })
  const kept = decodeInode(encodeInode(keptInode(inode, record)))
  t.same(recordOf(kept), record)
  t.equal(recordOf(inode), undefined)
  const restored = restoredInode(kept, null)
  t.equal(recordOf(restored), undefined)
  t.match(restored, { size: 3, nlink: 1, attributes })
  t.same([formerNumbers(inode), formerNumbers(restored)], [[], [7]])
  t.same(formerNumbers(restoredInode(keptInode(restored, { ...record, ino: 8 }), null)), [7, 8])
  const version = keptInode(restored, { ...record, kind: 'replaced', ino: 8 })
  t.same(
    formerNumbers(restoredInode(version, 9)),
    [],
    'the numbers stay with the file that has them',
  )
  t.same(formerNumbers(restoredInode(version, 8)), [7, 8], 'it takes the place of that file')
  t.same(recordOf(keptInode(kept, { ...record, name: 'c' })), { ...record, name: 'c' })
  t.ok(inodeBytes(kept) > inodeBytes(inode))
})

t.test('a file with as many attributes as there can be is kept, wherever it was', async (t) => {
  const attributes = Array.from({ length: limits.attributesMax }, (_, index) => ({
    name: `user.${index}`,
    value: Buffer.alloc(0),
  }))
  const kept = keptInode(inodeOf({ attributes }), { ...record, folder: '/x'.repeat(10_000) })
  t.same(recordOf(decodeInode(encodeInode(kept))), { ...record, folder: null, folders: [] })
  t.same(restoredInode(kept, null).attributes, attributes, 'it remembers no number')
})

t.test('a record of release 0.2.0 is read, which has no folders', async (t) => {
  // The kind, the number, and the texts behind their lengths.
  const value = Buffer.from('000000000000000007' + '01' + '0002' + '2f61' + '0001' + '62', 'hex')
  const inode = inodeOf({ attributes: [{ name: 'dfs.kept', value }] })
  t.same(recordOf(inode), { ...record, folders: [] })
})

t.test('names of the trash are in the order of time', async (t) => {
  const times = [0, 999, 1_000, Date.now(), Date.UTC(9999, 0)]
  const names = times.map((ms) => keptName(ms, 2 ** 53 - 1))
  t.same(names.toSorted(), names)
  t.same(names.map(timeOfKept), times)
  for (const name of names) t.match(parseKey(entryKey(trashIno, name)), { name })
  for (const name of ['', 'a', '2026-11-28', '2026-11-28T14:30:00.000Z']) {
    t.equal(timeOfKept(name), undefined, name)
  }
})
