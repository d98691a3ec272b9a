import { AssertionError } from 'node:assert'
import t from 'tap'
import { systemRandom } from '../../../src/clock.js'
import { AccountIndex } from '../../../src/dfs/index/account-index.js'
import { Acceptor } from '../../../src/dfs/quorum/acceptor.js'
import { limits } from '../../../src/limits.js'
import type { Decision } from '../../../src/wire/messages.js'
import {
  beforeKeys,
  behindKeys,
  compareKeys,
  encodeEntry,
  entryKey,
  fileType,
  inodeKey,
  type Precondition,
  type RegisterWrite,
  type Transaction,
} from '../../../src/wire/records.js'
import { noVersion, versionOf } from '../../../src/wire/version.js'
import { grouped } from '../../fixtures/grouped.js'
import { sampleInode } from '../../fixtures/inodes.js'

const at = (ms: number): string => versionOf(ms, 0, '00000001')
const file = encodeEntry({ ino: 7, type: fileType.file >> 12 })

function voting(): { acceptor: Acceptor; index: AccountIndex } {
  const index = AccountIndex.open(':memory:')
  const acceptor = grouped(index, new Acceptor(index, systemRandom))
  const { incarnation } = acceptor.stamp()
  acceptor.found({ incarnations: [incarnation, 1, 2, 3] })
  return { acceptor, index }
}

function body(
  writes: readonly RegisterWrite[],
  preconditions: readonly Precondition[] = [],
  emptyFolders: readonly number[] = [],
): Transaction {
  const written = writes.map(({ key }) => ({ key, absent: true, version: noVersion }))
  const named = new Set(preconditions.map(({ key }) => key))
  return {
    writes,
    preconditions: [...preconditions, ...written.filter(({ key }) => !named.has(key))],
    emptyFolders,
  }
}

const create = (name: string): Transaction => body([{ key: entryKey(1, name), value: file }])

function vote(acceptor: Acceptor, id: string, transaction: Transaction, epoch = 0) {
  return acceptor.commit({ id, epoch, settles: [], body: transaction })
}

function decide(acceptor: Acceptor, id: string, commit: boolean, sent: Transaction | null = null) {
  return acceptor.decide({ decisions: [{ id, commit, body: sent, spares: [] }] }).known[0]
}

const shown = (acceptor: Acceptor, key: string) =>
  acceptor.reader.read({ keys: [key] }).registers[0]?.register

t.test('a blank account votes on nothing', async (t) => {
  const index = AccountIndex.open(':memory:')
  const acceptor = grouped(index, new Acceptor(index, systemRandom))
  t.throws(() => acceptor.assertIs('voting'), { code: 'blank' })
  t.throws(() => acceptor.assertIs('notBlank'), { code: 'blank' })
  t.throws(() => vote(acceptor, at(1), create('a')), AssertionError)
  t.throws(() => acceptor.found({ incarnations: [1, 2, 3, 4] }), { code: 'blank' })
})

t.test('a yes holds its lock until it is decided, and only then shows its value', async (t) => {
  const { acceptor } = voting()
  const key = entryKey(1, 'a')
  t.equal(vote(acceptor, at(10), create('a')).outcome, 'yes')
  t.match(shown(acceptor, key), { version: noVersion, value: null, lock: at(10) })
  t.match(vote(acceptor, at(11), create('a')), { outcome: 'locked', by: at(10) })
  t.equal(vote(acceptor, at(10), create('a')).outcome, 'yes', 'the same again is the same yes')
  t.equal(decide(acceptor, at(10), true), true)
  t.match(shown(acceptor, key), { version: at(10), value: file, lock: null })
  t.equal(vote(acceptor, at(10), create('a')).outcome, 'committed')
})

t.test('whoever asks for pages of nothing gets them', async (t) => {
  const { acceptor } = voting()
  decide(acceptor, at(10), true, create('a'))
  const all = { afterVersion: noVersion, afterKey: '', withValues: false }
  t.match(acceptor.repair.changes({ ...all, limit: 0 }), { registers: [], more: true })
  t.match(acceptor.repair.changes({ ...all, limit: 1 }), { registers: [{ key: entryKey(1, 'a') }] })
  t.match(acceptor.repair.records({ after: noVersion, undecidedOnly: false, limit: 0 }), {
    records: [],
  })
  const list = { folder: 1, after: '', entriesMax: 0, withHeldPieces: false }
  t.match(acceptor.reader.list(list), { entries: [], more: true })
  t.match(acceptor.repair.rotten({ limit: 0 }), { keys: [] })
  t.match(acceptor.repair.orphans({ before: at(20), limit: 0 }), { inos: [] })
})

t.test('preconditions tell a stale server from a conflict', async (t) => {
  const { acceptor } = voting()
  const key = entryKey(1, 'a')
  decide(acceptor, at(10), true, create('a'))
  const change = (version: string, absent = false) =>
    body([{ key, value: null }], [{ key, absent, version }])
  t.match(vote(acceptor, at(30), change(at(20))), { outcome: 'stale', key })
  t.match(vote(acceptor, at(30), change(at(5))), { outcome: 'conflict', key, hint: at(10) })
  t.match(vote(acceptor, at(9), change(at(10))), { outcome: 'conflict' }, 'ids only grow')
  t.match(vote(acceptor, at(30), change(noVersion, true)), { outcome: 'conflict' })
  t.match(vote(acceptor, at(30), change(at(20), true)), { outcome: 'stale' })
  t.equal(vote(acceptor, at(30), change(at(10))).outcome, 'yes')
})

t.test('absent means no tombstone newer than the one that was read', async (t) => {
  const { acceptor } = voting()
  const key = entryKey(1, 'a')
  decide(acceptor, at(10), true, create('a'))
  decide(acceptor, at(20), true, body([{ key, value: null }]))
  t.match(vote(acceptor, at(30), create('a')), { outcome: 'conflict', hint: at(20) })
  const again = body([{ key, value: file }], [{ key, absent: true, version: at(20) }])
  t.equal(vote(acceptor, at(30), again).outcome, 'yes')
})

t.test('a shared lock of a create keeps rmdir out, and the other way round', async (t) => {
  const { acceptor } = voting()
  const folder = inodeKey(5)
  const inode = sampleInode({ mode: fileType.folder | 0o755 })
  decide(acceptor, at(1), true, body([{ key: folder, value: inode }]))
  const pre = { key: folder, absent: false, version: at(1) }
  const make = body([{ key: entryKey(5, 'x'), value: file }], [pre])
  const rmdir = body([{ key: folder, value: null }], [pre], [5])
  t.equal(vote(acceptor, at(10), make).outcome, 'yes')
  t.match(vote(acceptor, at(11), rmdir), { outcome: 'locked', by: at(10) })
  const other = body([{ key: entryKey(5, 'y'), value: file }], [pre])
  t.equal(vote(acceptor, at(12), other).outcome, 'yes', 'two creates share the folder')
  decide(acceptor, at(10), true)
  decide(acceptor, at(12), false)
  t.match(vote(acceptor, at(20), rmdir), { outcome: 'notEmpty', key: entryKey(5, 'x') })
  const remove = body(
    [{ key: entryKey(5, 'x'), value: null }],
    [{ key: entryKey(5, 'x'), absent: false, version: at(10) }],
  )
  decide(acceptor, at(21), true, remove)
  t.equal(vote(acceptor, at(22), rmdir).outcome, 'yes')
  t.match(vote(acceptor, at(23), make), { outcome: 'locked', by: at(22) })
})

t.test('a transaction may empty a folder and remove it', async (t) => {
  const { acceptor } = voting()
  const folder = inodeKey(5)
  const inode = sampleInode({ mode: fileType.folder | 0o755 })
  const [x, y] = [entryKey(5, 'x'), entryKey(5, 'y')]
  const there = [
    { key: folder, value: inode },
    { key: x, value: file },
    { key: y, value: file },
  ]
  decide(acceptor, at(1), true, body(there))
  const was = (key: string) => ({ key, absent: false, version: at(1) })
  const removal = (...keys: string[]): Transaction =>
    body(
      [...keys, folder].map((key) => ({ key, value: null })),
      [...keys, folder].map(was),
      [5],
    )
  t.match(vote(acceptor, at(10), removal(x)), { outcome: 'notEmpty', key: y })
  t.match(vote(acceptor, at(11), removal(y)), { outcome: 'notEmpty', key: x })
  const z = entryKey(5, 'z')
  const kept = body(
    [...removal(x, y).writes, { key: z, value: file }],
    [...removal(x, y).preconditions],
    [5],
  )
  t.match(vote(acceptor, at(12), kept), { outcome: 'notEmpty', key: z }, 'it would gain a name')
  t.equal(vote(acceptor, at(13), removal(x, y)).outcome, 'yes')
})

t.test('a promise keeps a late commit out', async (t) => {
  const { acceptor } = voting()
  t.match(acceptor.prepare({ id: at(10), ballot: 5 }), { outcome: 'promised', yes: false })
  t.equal(vote(acceptor, at(10), create('a')).outcome, 'promised')
  t.match(acceptor.prepare({ id: at(10), ballot: 5 }), { outcome: 'refused', ballot: 5 })
  t.match(acceptor.prepare({ id: at(10), ballot: 6 }), { outcome: 'promised' })
  t.match(acceptor.accept({ id: at(10), ballot: 5, commit: false, body: null }), {
    outcome: 'refused',
  })
  t.match(acceptor.accept({ id: at(10), ballot: 6, commit: false, body: null }), {
    outcome: 'accepted',
  })
})

t.test('accepting a commit respects the locks of others and takes its own', async (t) => {
  const { acceptor } = voting()
  vote(acceptor, at(10), create('a'))
  const accept = { id: at(11), ballot: 1, commit: true, body: create('a') }
  t.match(acceptor.accept(accept), { outcome: 'locked', by: at(10) })
  decide(acceptor, at(10), false)
  t.match(acceptor.accept(accept), { outcome: 'accepted' })
  t.match(vote(acceptor, at(12), create('a')), { outcome: 'locked', by: at(11) })
  t.match(acceptor.prepare({ id: at(11), ballot: 2 }), {
    outcome: 'promised',
    everAcceptedCommit: true,
    acceptedBallot: 1,
    acceptedCommit: true,
  })
})

t.test('the first decision wins and a different one is refused', async (t) => {
  const { acceptor } = voting()
  vote(acceptor, at(10), create('a'))
  decide(acceptor, at(10), false)
  t.throws(() => decide(acceptor, at(10), true, create('a')), { code: 'protocol' })
  t.match(shown(acceptor, entryKey(1, 'a')), { value: null })
})

t.test('a commit that nobody sent the body of is not known, and applies nothing', async (t) => {
  const { acceptor } = voting()
  t.equal(decide(acceptor, at(10), true), false)
  t.equal(vote(acceptor, at(10), create('a')).outcome, 'yes')
})

t.test('an older write never replaces a newer one', async (t) => {
  const { acceptor } = voting()
  const key = entryKey(1, 'a')
  acceptor.repair.install({ registers: [{ key, version: at(20), value: null }] })
  decide(acceptor, at(10), true, create('a'))
  t.match(shown(acceptor, key), { version: at(20), value: null })
})

t.test('epoch and fence refuse what is older', async (t) => {
  const { acceptor } = voting()
  acceptor.repair.epoch({ epoch: 2 ** 32 + 1 })
  t.match(vote(acceptor, at(10), create('a'), 7), { outcome: 'epoch' })
  acceptor.repair.fence({ fence: at(50), agreed: false })
  t.match(vote(acceptor, at(50), create('a'), 2 ** 32 + 1), { outcome: 'fence', hint: at(50) })
  t.equal(vote(acceptor, at(51), create('a'), 2 ** 32 + 1).outcome, 'yes')
})

t.test('below the floor nothing comes back and everything is forgotten', async (t) => {
  const { acceptor, index } = voting()
  const key = entryKey(1, 'a')
  decide(acceptor, at(10), true, create('a'))
  decide(acceptor, at(20), true, body([{ key, value: null }]))
  const { incarnation } = acceptor.stamp()
  t.equal(acceptor.repair.raiseFloor({ floor: at(30), incarnation: incarnation + 1 }).raised, false)
  t.equal(acceptor.repair.raiseFloor({ floor: at(30), incarnation }).raised, true)
  t.equal(index.registers.get(key).version, noVersion, 'the tombstone is dropped')
  acceptor.repair.install({ registers: [{ key, version: at(10), value: file }] })
  t.match(shown(acceptor, key), { value: null })
  t.match(acceptor.prepare({ id: at(10), ballot: 9 }), { outcome: 'forgotten' })
  t.equal(decide(acceptor, at(10), true, create('a')), true)
  t.match(shown(acceptor, key), { value: null })
})

t.test('the floor is not raised over a vote that is open', async (t) => {
  const { acceptor } = voting()
  const { incarnation } = acceptor.stamp()
  vote(acceptor, at(10), create('a'))
  t.equal(acceptor.repair.raiseFloor({ floor: at(30), incarnation }).raised, false)
})

t.test('a restart finds the votes, promises and locks again', async (t) => {
  const index = AccountIndex.open(':memory:')
  const before = grouped(index, new Acceptor(index, systemRandom))
  before.found({ incarnations: [before.stamp().incarnation, 1, 2, 3] })
  vote(before, at(10), create('a'))
  before.prepare({ id: at(11), ballot: 3 })
  const after = grouped(index, new Acceptor(index, systemRandom))
  t.match(vote(after, at(12), create('a')), { outcome: 'locked', by: at(10) })
  t.equal(vote(after, at(11), create('b')).outcome, 'promised')
})

t.test('what cannot be stored is undone in memory too', async (t) => {
  const { acceptor, index } = voting()
  t.throws(() =>
    index.group(() => {
      vote(acceptor, at(10), create('a'))
      throw new Error('the disk is full')
    }),
  )
  t.match(shown(acceptor, entryKey(1, 'a')), { lock: null })
  t.equal(vote(acceptor, at(11), create('a')).outcome, 'yes')
})

t.test(
  'what came with a vote and is known to be spare when that is written is left out',
  async (t) => {
    const { acceptor } = voting()
    const spares = [{ segment: 'ab'.repeat(16), piece: 3 }]
    const stored: unknown[] = []
    const logged = (id: string, name: string, settles: readonly Decision[]) =>
      acceptor.commit(
        { id, epoch: 0, settles, body: create(name) },
        { entry: Buffer.from(id), store: (without) => void stored.push(without) },
      )
    logged(at(10), 'a', [])
    logged(at(11), 'b', [{ id: at(10), commit: true, body: null, spares }])
    acceptor.applyLate()
    t.same(stored, [spares, []])
    t.match(shown(acceptor, entryKey(1, 'a')), { version: at(10), lock: null })
    t.match(shown(acceptor, entryKey(1, 'b')), { lock: at(11) })
  },
)

/** Commits as a server does, in a group of its own; the votes are logged and not in the index. */
function logged(
  { acceptor, index }: { acceptor: Acceptor; index: AccountIndex },
  id: string,
  transaction: Transaction,
  settles: readonly string[] = [],
) {
  const decisions = settles.map((one) => ({ id: one, commit: true, body: null, spares: [] }))
  const request = { id, epoch: 0, settles: decisions, body: transaction }
  return index.group(() => acceptor.commit(request, { entry: Buffer.from(id), store() {} }))
}

const key = entryKey(1, 'a')
const again = (version: string): Transaction =>
  body([{ key, value: file }], [{ key, absent: false, version }])

t.test('a decision counts for the commit that brings it, before it is in the index', async (t) => {
  const one = voting()
  t.equal(logged(one, at(10), create('a')).outcome, 'yes')
  t.match(logged(one, at(11), again(at(10))), { outcome: 'locked', by: at(10) })
  t.equal(logged(one, at(12), again(at(10)), [at(10)]).outcome, 'yes')
  t.equal(logged(one, at(13), again(at(12)), [at(12)]).outcome, 'yes')
  t.equal(one.index.registers.get(key).version, noVersion, 'nothing is in the index yet')
  t.match(logged(one, at(14), again(at(12))), { outcome: 'locked', by: at(13) })
  one.index.group(() => one.acceptor.applyLate())
  t.match(shown(one.acceptor, key), { version: at(12), lock: at(13) })
})

t.test('a folder counts as empty when the decisions that emptied it came along', async (t) => {
  const one = voting()
  logged(one, at(10), create('a'))
  decide(one.acceptor, at(10), true)
  const gone = body([{ key, value: null }], [{ key, absent: false, version: at(10) }])
  t.equal(logged(one, at(11), gone).outcome, 'yes')
  const rmdir = body([{ key: inodeKey(1), value: null }], [], [1])
  t.equal(logged(one, at(12), rmdir).outcome, 'notEmpty')
  t.equal(logged(one, at(13), rmdir, [at(11)]).outcome, 'yes')
})

t.test(
  'a decision is in the index at once when the commit that brought it is not logged',
  async (t) => {
    const one = voting()
    logged(one, at(10), create('a'))
    t.equal(logged(one, at(11), create('a'), [at(10)]).outcome, 'conflict')
    t.equal(one.index.registers.get(key).version, at(10))
  },
)

t.test('nothing relies on a decision that came in a group which was undone', async (t) => {
  const one = voting()
  const undone = (id: string, settles: readonly string[]): void =>
    one.index.group(() => {
      logged(one, id, create(id), settles)
      throw new Error('the disk is full')
    })
  logged(one, at(10), create('a'))
  t.throws(() => undone(at(11), [at(10)]))
  t.throws(() => undone(at(12), []))
  t.equal(logged(one, at(13), again(at(10))).outcome, 'yes')
  t.equal(one.index.registers.get(key).version, at(10), 'it is in the index now')
})

t.test('votes from the log are what they were, with the decisions between them', async (t) => {
  const { acceptor } = voting()
  const settles = [{ id: at(10), commit: true, body: null, spares: [] }]
  acceptor.restoreVote({ id: at(10), settles: [], body: create('a') })
  acceptor.restoreVote({ id: at(11), settles, body: again(at(10)) })
  t.match(shown(acceptor, key), { version: at(10), value: file, lock: at(11) })
})

t.test('what was read is forgotten when a change is undone', async (t) => {
  const { acceptor, index } = voting()
  const key = entryKey(1, 'a')
  vote(acceptor, at(10), create('a'))
  t.throws(() =>
    index.group(() => {
      decide(acceptor, at(10), true)
      throw new Error('the disk is full')
    }),
  )
  t.equal(index.registers.get(key).version, noVersion)
  decide(acceptor, at(10), true)
  t.equal(index.registers.get(key).version, at(10))
})

t.test('a malformed transaction is refused before it leaves a trace', async (t) => {
  const { acceptor } = voting()
  const naked = { ...create('a'), preconditions: [] }
  t.throws(() => vote(acceptor, at(10), naked), { code: 'protocol' })
  const nonsense = body([{ key: entryKey(1, 'a'), value: Buffer.from('nonsense') }])
  t.throws(() => vote(acceptor, at(10), nonsense), { code: 'protocol' })
  t.match(shown(acceptor, entryKey(1, 'a')), { lock: null })
})

t.test('a listing counts, orders by bytes, and shows names that are being made', async (t) => {
  const { acceptor } = voting()
  for (const [index, name] of ['b', 'a', '\u{1F600}', '\uff5e'].entries()) {
    decide(acceptor, at(10 + index), true, create(name))
  }
  vote(acceptor, at(20), create('aa'))
  const ask = { folder: 1, after: '', entriesMax: 100, withHeldPieces: false }
  const { entries, more } = acceptor.reader.list(ask)
  t.same(
    entries.map(({ name }) => name),
    ['a', 'aa', 'b', '\uff5e', '\u{1F600}'],
  )
  t.equal(entries[1]?.entry.lock, at(20))
  t.equal(more, false)
  const page = acceptor.reader.list({ ...ask, entriesMax: 2 })
  t.equal(page.more, true)
  t.same(
    acceptor.reader
      .list({ ...ask, after: page.entries.at(-1)?.name ?? '' })
      .entries.map((e) => e.name),
    entries.map(({ name }) => name).filter((name) => !page.entries.some((e) => e.name === name)),
  )
})

t.test('a full page leaves out no name that is being made', (t) => {
  const { acceptor } = voting()
  const names = Array.from(
    { length: 2 * limits.listEntriesMax + 1 },
    (_, index) => `${20_000 + index}`,
  )
  for (const [index, name] of names.entries()) {
    if (index % 5 === 2) vote(acceptor, at(10_000 + index), create(name))
    else decide(acceptor, at(10_000 + index), true, create(name))
  }
  for (const left of [names, names.slice(-limits.listEntriesMax - 205)]) {
    const listed: string[] = []
    let after = `${Number(left[0]) - 1}`
    for (let more = true; more; ) {
      const page = acceptor.reader.list({
        folder: 1,
        after,
        entriesMax: 2048,
        withHeldPieces: false,
      })
      t.ok(page.entries.length <= limits.listEntriesMax)
      listed.push(...page.entries.map(({ name }) => name))
      after = listed.at(-1) ?? ''
      more = page.more
    }
    t.same(listed, left)
  }
  t.end()
})

t.test('takes no more undecided transactions than it can hold, and finishes those', (t) => {
  const { acceptor } = voting()
  const large = sampleInode({
    attributes: Array.from({ length: 11 }, (_, index) => ({
      name: `user.${index}`,
      value: Buffer.alloc(limits.attributeValueBytesMax),
    })),
  })
  const ids: string[] = []
  t.throws(
    () => {
      for (let count = 1; count < 1000; count += 1) {
        const id = at(count)
        vote(acceptor, id, body([{ key: inodeKey(count + 1), value: large }]))
        ids.push(id)
      }
    },
    { code: 'overloaded' },
  )
  t.ok(ids.length * large.length <= limits.undecidedBytesMax, `${ids.length} are held`)
  t.throws(() => acceptor.prepare({ id: at(5000), ballot: 1 }), { code: 'overloaded' })
  const accept = { id: at(5000), ballot: 1, commit: true, body: create('x') }
  t.throws(() => acceptor.accept(accept), { code: 'overloaded' })
  const [first = ''] = ids
  t.equal(acceptor.prepare({ id: first, ballot: 1 }).outcome, 'promised')
  t.equal(acceptor.accept({ id: first, ballot: 1, commit: true, body: null }).outcome, 'accepted')
  t.equal(decide(acceptor, first, true), true)
  t.equal(vote(acceptor, at(5000), create('x')).outcome, 'yes', 'there is room again')
  t.end()
})

t.test('promises nothing about more transactions than it can hold', (t) => {
  const { acceptor, index } = voting()
  index.group(() => {
    for (let count = 0; count < limits.undecidedRecordsMax; count += 1) {
      acceptor.prepare({ id: at(count + 1), ballot: 1 })
    }
  })
  t.throws(() => acceptor.prepare({ id: at(9_000_000), ballot: 1 }), { code: 'overloaded' })
  t.equal(acceptor.prepare({ id: at(1), ballot: 2 }).outcome, 'promised')
  t.end()
})

t.test('surveys registers of one version a page at a time, in their order', (t) => {
  const { acceptor, index } = voting()
  const keys = ['e1/a', 'e1/\uffee', 'e1/\u{1f4be}', 'e2/b', 'e10/a', 'i2', 'i3', 'i10', 'i1000']
  const before = [...keys].sort(compareKeys)
  t.same(before, keys, 'the order is that of numbers and bytes')
  const large = sampleInode({
    attributes: [{ name: 'user.x', value: Buffer.alloc(limits.attributeValueBytesMax) }],
  })
  const many = Array.from({ length: 200 }, (_, count) => inodeKey(2000 + count))
  const all = [...keys, ...many]
  for (const version of [at(1), at(2)]) {
    const registers = [...all].reverse().map((key) => {
      const value = key.startsWith('e') ? encodeEntry({ ino: 2, type: 8 }) : large
      return { key: version === at(1) ? key : key.replace(/^(.)/, '$17'), version, value }
    })
    index.group(() => acceptor.repair.install({ registers }))
  }
  const expected = [...all, ...all.map((key) => key.replace(/^(.)/, '$17')).sort(compareKeys)]
  for (const limit of [1, 7, 512]) {
    const seen: string[] = []
    let [afterVersion, afterKey] = [noVersion, beforeKeys]
    for (let more = true; more; ) {
      const page = acceptor.repair.changes({ afterVersion, afterKey, withValues: false, limit })
      t.ok(page.registers.length <= Math.min(limit, 90), `${page.registers.length} of a page`)
      seen.push(...page.registers.map(({ key }) => key))
      afterVersion = page.registers.at(-1)?.version ?? ''
      afterKey = page.registers.at(-1)?.key ?? ''
      more = page.more
    }
    t.same(seen, expected, `pages of ${limit}`)
  }
  const behind = { afterVersion: at(1), afterKey: behindKeys, withValues: false, limit: 1 }
  t.equal(acceptor.repair.changes(behind).registers[0]?.version, at(2))
  t.end()
})

t.test('reads no more large inodes for a page than fit it', (t) => {
  const { acceptor } = voting()
  const target = 'x'.repeat(limits.symlinkBytesMax)
  const count = 400
  for (let ino = 2; ino < count + 2; ino += 1) {
    const value = sampleInode({ target })
    const entry = encodeEntry({ ino, type: fileType.symlink >> 12 })
    const registers = [
      { key: inodeKey(ino), version: at(ino), value },
      { key: entryKey(1, `${ino}`), version: at(ino), value: entry },
    ]
    acceptor.repair.install({ registers })
  }
  const names: string[] = []
  for (let more = true; more; ) {
    const page = acceptor.reader.list({
      folder: 1,
      after: names.at(-1) ?? '',
      entriesMax: 2048,
      withHeldPieces: false,
    })
    names.push(...page.entries.map(({ name }) => name))
    more = page.more
  }
  t.equal(names.length, count)
  t.equal(new Set(names).size, count)
  const changed: string[] = []
  let [afterVersion, afterKey] = [noVersion, '']
  for (let more = true; more; ) {
    const page = acceptor.repair.changes({ afterVersion, afterKey, withValues: true, limit: 4096 })
    changed.push(...page.registers.map(({ key }) => key))
    for (const { value } of page.registers) t.not(value, null)
    const last = page.registers.at(-1)
    afterVersion = last?.version ?? ''
    afterKey = last?.key ?? ''
    more = page.more
  }
  t.equal(new Set(changed).size, 2 * count)
  t.equal(changed.length, 2 * count)
  const keys = Array.from({ length: limits.readKeysMax }, () => inodeKey(2))
  const { registers } = acceptor.reader.read({ keys })
  const bytes = registers.reduce((sum, { register }) => sum + (register.value?.length ?? 0), 0)
  t.ok(bytes > limits.listBytesMax / 2 && bytes <= limits.listBytesMax, 'as many as fit')
  t.end()
})

t.test('lists what is behind a large inode, wherever that is', (t) => {
  const { acceptor } = voting()
  const value = Buffer.alloc(limits.attributeValueBytesMax)
  const attributes = Array.from({ length: 11 }, (_, index) => ({ name: `user.${index}`, value }))
  const names = Array.from({ length: 400 }, (_, index) => `${1000 + index}`)
  for (const [index, name] of names.entries()) {
    const ino = index + 2
    const inode = sampleInode(index % 128 === 127 ? { attributes } : {})
    const registers = [
      { key: inodeKey(ino), version: at(ino), value: inode },
      { key: entryKey(1, name), version: at(ino), value: encodeEntry({ ino, type: 8 }) },
    ]
    acceptor.repair.install({ registers })
  }
  const listed: string[] = []
  for (let more = true; more; ) {
    const after = listed.at(-1) ?? ''
    const page = acceptor.reader.list({ folder: 1, after, entriesMax: 2048, withHeldPieces: false })
    listed.push(...page.entries.map(({ name }) => name))
    more = page.more
  }
  t.same(listed, names)
  t.end()
})

t.test('does nothing of a message of which a part cannot be done', (t) => {
  const { acceptor, index } = voting()
  let rollbacks = 0
  const undone = (): void => {
    rollbacks += 1
  }
  index.follow({ ended() {}, undone })
  const good = { key: entryKey(1, 'a'), version: at(1), value: file }
  const bad = { key: inodeKey(7), version: at(1), value: Buffer.from('no inode') }
  t.throws(() => acceptor.repair.install({ registers: [good, bad] }), { code: 'protocol' })
  const sent = body([{ key: inodeKey(7), value: Buffer.from('no inode') }])
  t.throws(() => decide(acceptor, at(1), true, sent), { code: 'protocol' })
  t.equal(shown(acceptor, entryKey(1, 'a'))?.value, null)
  t.equal(decide(acceptor, at(1), false), true, 'it was not decided')
  t.equal(rollbacks, 0, 'and nothing had to be undone')
  t.end()
})

t.test('an acceptor is told of groups until another one takes its place', (t) => {
  const { acceptor: before, index } = voting()
  const after = grouped(index, new Acceptor(index, systemRandom))
  const epoch = before.stamp().epoch + 5
  after.repair.epoch({ epoch })
  const undo = new Error('to be undone')
  t.throws(
    () =>
      index.group(() => {
        throw undo
      }),
    undo,
  )
  t.equal(after.stamp().epoch, epoch)
  t.equal(before.stamp().epoch, epoch - 5)
  t.end()
})

/** An account that votes, on a server whose clock shows `clock.ms`. */
function votingAt(ms: number): { acceptor: Acceptor; clock: { ms: number } } {
  const clock = { ms }
  const index = AccountIndex.open(':memory:')
  const made = new Acceptor(index, systemRandom, undefined, undefined, () => clock.ms)
  const acceptor = grouped(index, made)
  acceptor.found({ incarnations: [acceptor.stamp().incarnation, 1, 2, 3] })
  return { acceptor, clock }
}

const aheadMs = limits.clockAheadMsMax

t.test('what is too far ahead of the clock is refused, and nothing is left of it', async (t) => {
  const { acceptor, clock } = votingAt(1_000_000)
  const far = at(clock.ms + aheadMs + 1)
  const floor = { floor: far, incarnation: acceptor.stamp().incarnation }
  const register = { key: entryKey(1, 'a'), version: far, value: file }
  t.throws(() => vote(acceptor, far, create('a')), { code: 'clock' })
  t.throws(() => acceptor.repair.fence({ fence: far, agreed: false }), { code: 'clock' })
  t.throws(() => acceptor.repair.raiseFloor(floor), { code: 'clock' })
  t.throws(() => acceptor.repair.install({ registers: [register] }), { code: 'clock' })
  t.equal(decide(acceptor, far, true, create('a')), false)
  t.match(shown(acceptor, entryKey(1, 'a')), { version: noVersion, lock: null })
  t.equal(acceptor.stamp().fence, noVersion)
  t.equal(vote(acceptor, at(clock.ms + aheadMs), create('a')).outcome, 'yes')
})

t.test('a decision on what was voted for counts whatever the clock says now', async (t) => {
  const { acceptor, clock } = votingAt(1_000_000_000)
  const id = at(clock.ms)
  t.equal(vote(acceptor, id, create('a')).outcome, 'yes')
  clock.ms = 1000
  t.equal(vote(acceptor, id, create('a')).outcome, 'yes', 'it is asked again')
  t.equal(decide(acceptor, id, true), true)
  t.match(shown(acceptor, entryKey(1, 'a')), { version: id, lock: null })
})

t.test('what is from the future already is replaced, just above what it was', async (t) => {
  const { acceptor, clock } = votingAt(1_000_000_000)
  const old = at(clock.ms)
  vote(acceptor, old, create('a'))
  decide(acceptor, old, true)
  clock.ms = 1000
  const key = entryKey(1, 'a')
  const replace = body([{ key, value: null }], [{ key, absent: false, version: old }])
  t.throws(() => vote(acceptor, at(1_000_000_001 + aheadMs), replace), { code: 'clock' })
  t.throws(() => vote(acceptor, at(1_000_000_001), create('b')), { code: 'clock' }, 'only that one')
  t.equal(vote(acceptor, at(1_000_000_001), replace).outcome, 'yes')
  const beside = { key: entryKey(1, 'c'), version: at(1_000_000_001), value: file }
  acceptor.repair.install({ registers: [beside] })
  t.match(shown(acceptor, beside.key), { version: beside.version }, 'what came with it is copied')
})
