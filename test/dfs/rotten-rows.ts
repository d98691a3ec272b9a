import { join } from 'node:path'
import Database from 'better-sqlite3'
import t, { type Test } from 'tap'
import { systemRandom } from '../../src/clock.js'
import { AccountIndex } from '../../src/dfs/index/account-index.js'
import { Acceptor } from '../../src/dfs/quorum/acceptor.js'
import { redirectNotices } from '../../src/log.js'
import {
  encodeEntry,
  entryKey,
  fileType,
  inodeKey,
  type Transaction,
} from '../../src/wire/records.js'
import { noVersion, versionOf } from '../../src/wire/version.js'
import { grouped } from '../fixtures/grouped.js'
import { sampleInode } from '../fixtures/inodes.js'

redirectNotices(() => {})

const at = (ms: number): string => versionOf(ms, 0, '00000001')
const ino = 7
const key = inodeKey(ino)
const segment = { id: 'ab'.repeat(16), length: 8, md5: '0'.repeat(32) }
const before = sampleInode({ nlink: 1, segments: [segment] })
const after = sampleInode({ nlink: 2, segments: [segment] })

function write(version: string, value: Buffer | null): Transaction {
  return {
    writes: [{ key, value }],
    preconditions: [{ key, absent: false, version }],
    emptyFolders: [],
  }
}

/** An account that has `before` at 10, and whose copy of it has rotted when `rot` was called. */
function account(t: Test) {
  const path = join(t.testdir(), 'index.db')
  let index = AccountIndex.open(path)
  let acceptor = grouped(index, new Acceptor(index, systemRandom))
  acceptor.found({ incarnations: [acceptor.stamp().incarnation, 1, 2, 3] })
  const registers = [
    { key, version: at(10), value: before },
    {
      key: entryKey(1, 'a'),
      version: at(10),
      value: encodeEntry({ ino, type: fileType.file >> 12 }),
    },
  ]
  acceptor.repair.install({ registers })
  index.pieces.add(segment.id, 1, 2, [0], Buffer.from('ab'))
  return {
    get acceptor() {
      return acceptor
    },
    get index() {
      return index
    },
    /** Each change on a connection of its own. */
    rot(...changes: readonly string[]) {
      index.close()
      for (const sql of changes) {
        const db = new Database(path)
        db.unsafeMode()
        db.exec(sql)
        db.close()
      }
      index = AccountIndex.open(path)
      acceptor = grouped(index, new Acceptor(index, systemRandom))
    },
  }
}

const changeValue = `UPDATE inodes SET value = zeroblob(length(value)) WHERE ino = ${ino}`

t.test('a register that has rotted answers nothing and is left out of a survey', async (t) => {
  const one = account(t)
  one.rot(changeValue)
  const { acceptor } = one
  t.throws(() => acceptor.reader.read({ keys: [key] }), { code: 'corrupt' })
  t.throws(() => acceptor.reader.lookup({ parent: 1, names: ['a'] }), { code: 'corrupt' })
  const list = { folder: 1, after: '', entriesMax: 9, withHeldPieces: false }
  t.throws(() => acceptor.reader.list(list), { code: 'corrupt' })
  const vote = { id: at(20), epoch: 0, settles: [], body: write(at(10), after) }
  t.throws(() => acceptor.commit(vote), { code: 'corrupt' })
  t.equal(acceptor.counts().undecided, 0, 'a vote that cannot be judged is not given')
  const all = { afterVersion: noVersion, afterKey: '', withValues: true, limit: 9 }
  t.match(acceptor.repair.changes(all), { registers: [{ key: entryKey(1, 'a') }], more: false })
  t.same(acceptor.repair.rotten({ limit: 9 }).keys, [key])
})

t.test('a decision about it waits for the repair, which brings what others have', async (t) => {
  const one = account(t)
  one.rot(changeValue)
  const { acceptor } = one
  t.throws(() => acceptor.reader.read({ keys: [key] }), { code: 'corrupt' })
  const { mark, floor } = acceptor.repair.rotten({ limit: 9 })
  const decision = { id: at(20), commit: true, body: write(at(10), after), spares: [] }
  t.same(acceptor.decide({ decisions: [decision] }).known, [true])
  t.throws(() => acceptor.reader.read({ keys: [key] }), { code: 'corrupt' })
  const old = { key, version: at(10), value: before }
  t.match(
    acceptor.repair.restore({ register: old, mark, floor }),
    { restored: false },
    'asked too early',
  )
  const now = acceptor.repair.rotten({ limit: 9 })
  const latest = { key, version: at(20), value: after }
  t.match(acceptor.repair.restore({ register: latest, mark: now.mark, floor }), { restored: true })
  t.match(acceptor.reader.read({ keys: [key] }).registers, [
    { register: { version: at(20), value: after } },
  ])
  t.same(acceptor.repair.rotten({ limit: 9 }).keys, [])
  t.match(acceptor.repair.restore({ register: old, mark: now.mark, floor }), { restored: false })
})

t.test('nothing is restored while a transaction holds its lock', async (t) => {
  const one = account(t)
  const vote = { id: at(20), epoch: 0, settles: [], body: write(at(10), after) }
  t.equal(one.acceptor.commit(vote).outcome, 'yes')
  one.rot(changeValue)
  const { acceptor } = one
  t.throws(() => acceptor.reader.read({ keys: [key] }), { code: 'corrupt' })
  const { keys, mark, floor } = acceptor.repair.rotten({ limit: 9 })
  t.same(keys, [])
  const register = { key, version: at(10), value: before }
  t.match(acceptor.repair.restore({ register, mark, floor }), { restored: false })
})

t.test('references to segments are counted anew where the old value is not known', async (t) => {
  const one = account(t)
  one.rot(changeValue)
  const { acceptor, index } = one
  t.throws(() => acceptor.reader.read({ keys: [key] }), { code: 'corrupt' })
  const { mark, floor } = acceptor.repair.rotten({ limit: 9 })
  acceptor.repair.restore({ register: { key, version: at(10), value: before }, mark, floor })
  t.match(index.segments.after('', false, 9), [{ segment: { id: segment.id }, referred: true }])
  acceptor.repair.install({ registers: [{ key, version: at(30), value: null }] })
  t.match(index.segments.after('', false, 9), [{ segment: { id: segment.id }, referred: false }])
  t.same(index.segments.dead(at(29), 0, 9), [])
  t.same(index.segments.dead(at(30), 0, 9), [segment.id])
})

t.test('an entry that rotted is taken out of the folder that it is not in', async (t) => {
  const one = account(t)
  one.rot("UPDATE entries SET name = 'b'")
  const { acceptor, index } = one
  const all = { afterVersion: noVersion, afterKey: '', withValues: false, limit: 9 }
  t.match(acceptor.repair.changes(all), { registers: [{ key }], more: false })
  const { keys, mark, floor } = acceptor.repair.rotten({ limit: 9 })
  t.same(keys, [entryKey(1, 'b')])
  const nothing = { key: entryKey(1, 'b'), version: noVersion, value: null }
  t.match(acceptor.repair.restore({ register: nothing, mark, floor }), { restored: true })
  t.match(index.folders.get(1), { live: 0, subfolders: 0 })
  t.equal(index.registers.entry(1, 'b').version, noVersion)
})

t.test('what all had up to the floor and one has no more is brought back there', async (t) => {
  const one = account(t)
  const { incarnation } = one.acceptor.stamp()
  one.acceptor.repair.raiseFloor({ floor: at(15), incarnation })
  one.rot(`DELETE FROM inodes WHERE ino = ${ino}`)
  const { acceptor } = one
  const register = { key, version: at(10), value: before }
  acceptor.repair.install({ registers: [register] })
  t.match(acceptor.reader.read({ keys: [key] }).registers, [{ register: { version: noVersion } }])
  const { mark, floor } = acceptor.repair.rotten({ limit: 0 })
  t.match(acceptor.repair.restore({ register, mark, floor: noVersion }), { restored: false })
  t.match(acceptor.repair.restore({ register, mark, floor }), { restored: true })
  t.match(acceptor.reader.read({ keys: [key] }).registers, [{ register: { version: at(10) } }])
})

t.test(
  'a register that is not listed where it should be makes the index one to set aside',
  async (t) => {
    for (const [name, whole, never] of [
      ['inodes_version', 'CREATE INDEX inodes_version ON inodes (version)', 'ino < 0'],
      ['entries_version', 'CREATE INDEX entries_version ON entries (version)', 'parent < 0'],
    ] as const) {
      await t.test(name, async (t) => {
        const one = account(t)
        await one.index.registers.assertListed()
        // As if the entries of the index had gone.
        const indexAs = (sql: string): string => `
    PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET sql = '${sql}' WHERE name = '${name}';`
        one.rot(indexAs(`${whole} WHERE ${never}`), `REINDEX ${name}`, indexAs(whole))
        await t.rejects(one.index.registers.assertListed(), { code: 'damaged' })
      })
    }
  },
)

t.test('more registers than one page are found listed, also between changes', async (t) => {
  const index = AccountIndex.open(':memory:')
  for (let ino = 2; ino < 400; ino += 1) {
    const version = at(ino)
    index.registers.set(entryKey(1, `f${ino}`), version, encodeEntry({ ino, type: 8 }))
    index.registers.set(inodeKey(ino), version, sampleInode())
  }
  let pauses = 0
  await index.registers.assertListed(async () => {
    pauses += 1
    const ino = 1000 - pauses
    index.registers.set(inodeKey(ino), at(ino), sampleInode())
    index.registers.set(entryKey(1, `f${500 - 2 * pauses}`), at(ino), null)
  })
  t.ok(pauses >= 6, `${pauses} pauses`)
})

t.test('a rotten transaction or state makes the index one that is not believed', async (t) => {
  const one = account(t)
  const vote = { id: at(20), epoch: 0, settles: [], body: write(at(10), after) }
  one.acceptor.commit(vote)
  t.throws(() => one.rot('UPDATE records SET yes = 0'), { code: 'damaged' })
  const two = account(t)
  t.throws(() => two.rot("UPDATE state SET value = 9 WHERE name = 'epoch'"), { code: 'damaged' })
})

t.test('an index of version 1 gets its checksums, and one of the future is refused', async (t) => {
  const one = account(t)
  const vote = { id: at(20), epoch: 0, settles: [], body: write(at(10), after) }
  one.acceptor.commit(vote)
  one.rot(`
    DROP INDEX inodes_orphans;
    DROP INDEX segments_misplaced;
    DROP INDEX segments_lost;
    ALTER TABLE segments DROP COLUMN lost;
    ALTER TABLE segments DROP COLUMN home;
    ALTER TABLE inodes DROP COLUMN links;
    ALTER TABLE inodes DROP COLUMN checksum;
    ALTER TABLE entries DROP COLUMN checksum;
    ALTER TABLE records DROP COLUMN checksum;
    ALTER TABLE state DROP COLUMN checksum;
    PRAGMA user_version = 1;`)
  t.match(one.acceptor.reader.read({ keys: [key, entryKey(1, 'a')] }).registers, [
    { register: { version: at(10), value: before, lock: at(20) } },
    { register: { version: at(10) } },
  ])
  one.acceptor.decide({ decisions: [{ id: at(20), commit: true, body: null, spares: [] }] })
  t.match(one.acceptor.reader.read({ keys: [key] }).registers, [{ register: { value: after } }])
  t.throws(() => one.rot('PRAGMA user_version = 99'), { code: 'configuration' })
})

t.test('what is summed up of segments is summed up anew where it does not fit', async (t) => {
  for (const change of [
    "UPDATE segments SET md5 = replace(md5, '0', '1')",
    'UPDATE segments SET length = 9',
    'UPDATE segments SET refs = 0',
    'UPDATE segments SET refs = 2',
    'UPDATE segments SET held = 3',
    'UPDATE segments SET home = 1',
    'DELETE FROM segments',
  ]) {
    const one = account(t)
    await one.index.checkSums()
    one.rot(change)
    await one.index.checkSums()
    const { acceptor, index } = one
    t.same(index.segments.after('', true, 9), [{ segment, referred: true }], change)
    t.equal(index.pieces.held(segment.id), 1)
    acceptor.repair.install({ registers: [{ key, version: at(30), value: null }] })
    t.same(index.segments.dead(at(30), 0, 9), change.includes('refs = 2') ? [] : [segment.id])
  }
})
