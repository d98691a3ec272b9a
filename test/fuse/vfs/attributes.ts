import t from 'tap'
import {
  attributesOf,
  newOwner,
  withMode,
  withOwner,
  withoutPrivileges,
  withTimes,
} from '../../../src/fuse/vfs/attributes.js'
import { fileType, type Inode } from '../../../src/wire/records.js'

const time = (seconds: number) => ({ seconds, nanoseconds: 0 })
const now = time(1000)

function inodeOf(mode: number, more: Partial<Inode> = {}): Inode {
  return {
    mode,
    uid: 1,
    gid: 2,
    nlink: 1,
    size: 0,
    rdev: 0,
    parent: 0,
    atime: time(1),
    mtime: time(2),
    ctime: time(3),
    btime: time(4),
    target: '',
    attributes: [],
    segments: [],
    extents: [],
    ...more,
  }
}

t.test('a new file belongs to its creator', async (t) => {
  const folder = inodeOf(fileType.folder | 0o755)
  const caller = { uid: 7, gid: 8, pid: 0 }
  t.same(newOwner(folder, fileType.file | 0o644, caller), {
    mode: fileType.file | 0o644,
    uid: 7,
    gid: 8,
  })
})

t.test('a set-group-ID folder passes on its group, and to folders the bit', async (t) => {
  const folder = inodeOf(fileType.folder | 0o2755)
  const caller = { uid: 7, gid: 8, pid: 0 }
  t.match(newOwner(folder, fileType.file | 0o644, caller), { gid: 2, mode: fileType.file | 0o644 })
  t.match(newOwner(folder, fileType.folder | 0o755, caller), {
    gid: 2,
    mode: fileType.folder | 0o2755,
  })
})

t.test('chmod changes permissions and keeps the type', async (t) => {
  const changed = withMode(inodeOf(fileType.file | 0o644), fileType.folder | 0o4711, now)
  t.equal(changed.mode, fileType.file | 0o4711)
  t.equal(changed.ctime, now)
})

t.test('chown takes special bits from files, and -1 changes nothing', async (t) => {
  const file = withOwner(inodeOf(fileType.file | 0o6755), 5, undefined, now)
  t.match(file, { uid: 5, gid: 2, mode: fileType.file | 0o755 })
  const folder = withOwner(inodeOf(fileType.folder | 0o2755), undefined, 6, now)
  t.match(folder, { uid: 1, gid: 6, mode: fileType.folder | 0o2755 })
})

t.test('set-group-ID without execution means locking and stays', async (t) => {
  t.equal(withoutPrivileges(fileType.file | 0o6644), fileType.file | 0o2644)
  t.equal(withoutPrivileges(fileType.file | 0o6654), fileType.file | 0o0654)
  t.equal(withoutPrivileges(fileType.file | 0o6644, false), fileType.file | 0o0644)
})

t.test('utimens sets, takes the present, or leaves a time', async (t) => {
  const inode = inodeOf(fileType.file)
  t.match(withTimes(inode, 'now', time(5), now), { atime: now, mtime: time(5), ctime: now })
  t.match(withTimes(inode, undefined, undefined, now), { atime: time(1), mtime: time(2) })
})

t.test('blocks count what is not a hole, folders their subfolders', async (t) => {
  const sparse = inodeOf(fileType.file, {
    size: 1_000_000,
    extents: [{ at: 999_000, segment: 0, offset: 0, length: 1000 }],
  })
  t.match(attributesOf({ ino: 9, version: '', inode: sparse, folder: null }), {
    ino: 9,
    size: 1_000_000,
    blocks: 8,
    nlink: 1,
  })
  const folder = { touched: '', live: 5, subfolders: 3 }
  const node = { ino: 9, version: '', inode: inodeOf(fileType.folder), folder }
  t.match(attributesOf(node), { nlink: 5, size: 4096 })
})

t.test(
  'st_blksize fits the cache of a processor for reads, and is larger for an empty file',
  async (t) => {
    const of = (mode: number, size: number) =>
      attributesOf({ ino: 9, version: '', inode: inodeOf(mode, { size }), folder: null }).blksize
    t.equal(of(fileType.file | 0o644, 1), 128 * 1024)
    t.equal(of(fileType.file | 0o644, 0), 1024 * 1024)
    t.equal(of(fileType.folder | 0o755, 0), 1024 * 1024, 'and listings come in large parts')
  },
)
