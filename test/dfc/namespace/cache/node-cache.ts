import t from 'tap'
import { NodeCache } from '../../../../src/dfc/namespace/cache/node-cache.js'
import { limits } from '../../../../src/limits.js'
import {
  encodeEntry,
  entryKey,
  fileType,
  folderDirentType,
  inodeKey,
  rootIno,
} from '../../../../src/wire/records.js'
import { versionOf } from '../../../../src/wire/version.js'
import { inodeOf, sampleInode } from '../../../fixtures/inodes.js'
import { StandingClock } from '../../../fixtures/standing-clock.js'

const folder = 5
const type = fileType.file >> 12
const many = limits.registerCacheEntriesMax + 10_000
const nameOf = (index: number): string => `entry-${index}`
const versionAt = (index: number) => versionOf(1000 + index, 0, '00000001')
const writtenAt = (index: number) => ({ id: versionAt(index), askedMs: 0 })

/** Makes the cache of a client that is alone since `alone.sinceMs`. */
function open() {
  const clock = new StandingClock()
  const alone: { sinceMs: number | undefined } = { sinceMs: 0 }
  return { clock, alone, cache: new NodeCache(clock, () => alone.sinceMs) }
}

function make(cache: NodeCache, first: number, count: number): void {
  for (let index = first; index < first + count; index += 1) {
    cache.writeEntry(folder, nameOf(index), writtenAt(index), 1000 + index, type)
  }
}

function noteListed(cache: NodeCache, index: number, askedMs: number): void {
  const register = {
    key: entryKey(folder, nameOf(index)),
    version: versionAt(index),
    value: encodeEntry({ ino: 1000 + index, type }),
    folder: null,
  }
  cache.noteEntry(folder, nameOf(index), register, askedMs)
}

t.test(
  'the cache knows which names are missing in a folder with more names than it keeps',
  async (t) => {
    const { cache } = open()
    cache.setEmpty(folder, { askedMs: 0 })
    make(cache, 0, many)
    t.equal(cache.leasedEntry(folder, 'new')?.ino, null)
    t.equal(cache.leasedEntry(folder, nameOf(many - 1))?.ino, 1000 + many - 1)
    const forgotten = Array.from({ length: 10_000 }, (_, index) => nameOf(index))
    t.ok(forgotten.every((name) => cache.leasedEntry(folder, name) === undefined))
  },
)

t.test(
  'the cache knows which names are missing in a large folder listed page by page',
  async (t) => {
    const { clock, alone, cache } = open()
    const page = 1000
    for (let first = 0; first < many; first += page) {
      const askedMs = clock.monotonic()
      for (let index = first; index < first + page; index += 1) noteListed(cache, index, askedMs)
      const after = first === 0 ? '' : nameOf(first - 1)
      t.equal(cache.leasedEntry(folder, 'new'), undefined, 'not before all of it was listed')
      cache.setListed(folder, after, nameOf(first + page - 1), first + page < many, askedMs)
      clock.pass(1)
    }
    t.equal(cache.leasedEntry(folder, 'new')?.ino, null)
    t.equal(cache.leasedEntry(folder, nameOf(0)), undefined)
    alone.sinceMs = 1
    t.equal(cache.leasedEntry(folder, 'new'), undefined, 'others may have changed the first page')
  },
)

t.test('a removed name that the cache forgets is known to be missing', async (t) => {
  const { cache } = open()
  cache.setEmpty(folder, { askedMs: 0 })
  make(cache, 0, 1)
  cache.writeEntry(folder, nameOf(0), writtenAt(1), null, 0)
  make(cache, 1, many)
  t.equal(cache.leasedEntry(folder, nameOf(0))?.ino, null)
})

t.test('a removed folder is not known', async (t) => {
  const { cache } = open()
  cache.setEmpty(folder, { askedMs: 0 })
  make(cache, 0, many)
  cache.dropNode(folder)
  t.equal(cache.leasedEntry(folder, 'new'), undefined)
})

t.test('an answer to a request from before other clients came in is not certain', async (t) => {
  const { clock, alone, cache } = open()
  const askedMs = clock.monotonic()
  clock.pass(10)
  alone.sinceMs = clock.monotonic()
  clock.pass(10)
  noteListed(cache, 0, askedMs)
  t.equal(cache.leasedEntry(folder, nameOf(0)), undefined)
  noteListed(cache, 0, clock.monotonic())
  t.equal(cache.leasedEntry(folder, nameOf(0))?.ino, 1000)
})

t.test('an answer from before a change was stored does not hide the change', async (t) => {
  const { cache } = open()
  const inode = inodeOf({ mode: fileType.file | 0o600 })
  cache.writeNode(7, writtenAt(2), inode)
  const value = sampleInode({ mode: fileType.file | 0o644 })
  const register = { key: inodeKey(7), version: versionAt(1), value, folder: null }
  t.equal(cache.noteNode(7, register, 0)?.inode.mode, inode.mode)
})

t.test(
  'a change in a journal hides nothing before it is stored, and nothing older stays',
  async (t) => {
    const { cache } = open()
    const writes = [{ key: inodeKey(7), value: null }]
    const register = { key: inodeKey(7), version: versionAt(1), value: sampleInode(), folder: null }
    cache.hold({ writes }, versionAt(2))
    t.equal(cache.noteNode(7, register, 0)?.version, versionAt(1))
    cache.noteStored(inodeKey(7), versionAt(2))
    cache.release({ writes })
    t.equal(cache.staleNode(7), undefined)
  },
)

t.test('what another client wrote after a change that is not stored here is newer', async (t) => {
  const { cache } = open()
  const inode = inodeOf({ mode: fileType.file | 0o600 })
  cache.hold({ writes: [{ key: inodeKey(7), value: null }] }, versionAt(2))
  cache.writeNode(7, writtenAt(2), inode)
  const read = (at: number, mode: number) =>
    cache.noteNode(
      7,
      { key: inodeKey(7), version: versionAt(at), value: sampleInode({ mode }), folder: null },
      0,
    )?.version
  t.equal(read(1, fileType.file | 0o644), versionAt(2))
  t.equal(read(3, fileType.file | 0o644), versionAt(3))
  t.equal(cache.staleNode(7)?.version, versionAt(3))
})

t.test(
  'what the last change has left stays when an earlier one is stored in another way',
  async (t) => {
    const { cache } = open()
    const name = nameOf(0)
    const [inode, entry] = [inodeKey(7), entryKey(folder, name)]
    const made = { writes: [inode, entry].map((key) => ({ key, value: null })) }
    const written = { writes: [{ key: inode, value: null }] }
    cache.hold(made, versionAt(1))
    cache.writeEntry(folder, name, writtenAt(1), 7, type)
    cache.hold(written, versionAt(2))
    cache.writeNode(7, writtenAt(2), inodeOf({ mode: fileType.file | 0o600 }))
    cache.refuse(made)
    t.equal(cache.staleEntry(folder, name), undefined)
    const entryRegister = {
      key: entry,
      version: versionAt(3),
      value: encodeEntry({ ino: 7, type }),
      folder: null,
    }
    t.throws(() => cache.noteEntry(folder, name, entryRegister, 0), { code: 'undecided' })
    t.equal(cache.freshNode(7)?.version, versionAt(2))
    // Later than the last change was answered, and from before it.
    cache.noteStored(inode, versionAt(3))
    cache.noteStored(entry, versionAt(3))
    cache.decide(made)
    t.equal(cache.noteEntry(folder, name, entryRegister, 0).ino, 7)
    const read = (at: number) =>
      cache.noteNode(
        7,
        { key: inode, version: versionAt(at), value: sampleInode(), folder: null },
        0,
      )?.version
    t.equal(read(3), versionAt(2))
    t.equal(read(4), versionAt(4), 'another client was let in')
  },
)

t.test(
  'a removal that is not stored yet hides an inode that was made in another way',
  async (t) => {
    const { cache } = open()
    const key = inodeKey(7)
    const writes = [{ key, value: null }]
    cache.hold({ writes }, versionAt(1))
    cache.writeNode(7, writtenAt(1), inodeOf({ mode: fileType.file | 0o600 }))
    cache.hold({ writes }, versionAt(2))
    cache.removeNode(7, versionAt(2))
    cache.refuse({ writes })
    cache.noteStored(key, versionAt(3))
    const register = { key, version: versionAt(3), value: sampleInode(), folder: null }
    t.equal(cache.noteNode(7, register, 0), undefined)
  },
)

t.test('an answer from before an inode was deleted does not bring it back', async (t) => {
  const { cache } = open()
  const value = sampleInode({ mode: fileType.file | 0o644 })
  const register = { key: inodeKey(7), version: versionAt(1), value, folder: null }
  t.ok(cache.noteNode(7, register, 0))
  cache.removeNode(7, versionAt(2))
  t.equal(cache.noteNode(7, register, 0), undefined)
  t.equal(cache.staleNode(7), undefined)
  // The servers have refused the removal.
  cache.drop(inodeKey(7))
  t.equal(cache.noteNode(7, register, 0)?.version, versionAt(1))
})

t.test(
  'an answer about a name that this client has given to another inode is not of that inode',
  async (t) => {
    const { cache } = open()
    const name = nameOf(0)
    const [moved, replaced] = [7, 8]
    const inode = inodeOf({ mode: fileType.file | 0o600 })
    cache.hold({ writes: [{ key: entryKey(folder, name), value: null }] }, versionAt(2))
    cache.hold({ writes: [{ key: inodeKey(moved), value: null }] }, versionAt(2))
    cache.writeEntry(folder, name, writtenAt(2), moved, type)
    cache.writeNode(moved, writtenAt(2), inode)
    const entry = {
      key: entryKey(folder, name),
      version: versionAt(1),
      value: encodeEntry({ ino: replaced, type }),
      folder: null,
    }
    // Another client was let in, and has changed the file that had the name before.
    const value = sampleInode({ mode: fileType.file | 0o644 })
    const register = { key: inodeKey(replaced), version: versionAt(3), value, folder: null }
    const noted = cache.noteStep(folder, name, entry, register, 0)
    t.equal(noted.entry.ino, moved)
    t.equal(noted.node?.inode.mode, inode.mode)
    t.ok(noted.isElsewhere)
    t.equal(cache.staleNode(moved)?.version, versionAt(2))
    const absent = { ...entry, value: null }
    t.equal(cache.noteStep(folder, name, absent, undefined, 0).node?.ino, moved)
    cache.hold({ writes: [{ key: entryKey(folder, name), value: null }] }, versionAt(4))
    cache.writeEntry(folder, name, writtenAt(4), null, 0)
    t.equal(cache.noteStep(folder, name, entry, register, 0).node, undefined)
    t.equal(cache.staleNode(0), undefined)
  },
)

t.test('the path of a folder is that of the names under which it was seen last', async (t) => {
  const { cache } = open()
  const type = folderDirentType
  cache.writeEntry(rootIno, 'a', writtenAt(1), 7, type)
  cache.writeEntry(7, 'b', writtenAt(1), 8, type)
  const pathOf = (ino: number): string | undefined =>
    cache
      .wayTo(ino)
      ?.map(({ name }) => `/${name}`)
      .join('')
  t.equal(pathOf(rootIno), '')
  t.equal(pathOf(8), '/a/b')
  cache.writeEntry(rootIno, 'c', writtenAt(2), 7, type)
  cache.writeEntry(rootIno, 'a', writtenAt(2), null, 0)
  t.equal(pathOf(8), '/c/b', 'it was renamed')
  t.equal(pathOf(9), undefined)
  cache.writeEntry(8, 'loop', writtenAt(3), 7, type)
  t.equal(pathOf(8), undefined, 'a loop has no path')
})
