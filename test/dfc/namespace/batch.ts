import t from 'tap'
import { Batch, dependOnEachOther } from '../../../src/dfc/namespace/batch.js'
import {
  encodeEntry,
  entryKey,
  fileType,
  inodeKey,
  type Key,
  type Precondition,
  type Transaction,
} from '../../../src/wire/records.js'
import { noVersion, versionOf } from '../../../src/wire/version.js'

const at = (ms: number): string => versionOf(ms, 0, '00000001')
const id = at(100)
const a = entryKey(5, 'a')
const b = entryKey(5, 'b')
const file = encodeEntry({ ino: 7, type: fileType.file >> 12 })

/** Adds the change, if it can be one transaction with those before. */
function added(batch: Batch, body: Transaction): boolean {
  const logged = { body, contents: [] }
  const canAdd = batch.canAdd(logged)
  if (canAdd) batch.add(logged)
  return canAdd
}

function change(
  writes: Record<Key, Buffer | null>,
  preconditions: readonly Precondition[],
  emptyFolders: readonly number[] = [],
): Transaction {
  const written = Object.entries(writes).map(([key, value]) => ({ key, value }))
  return { writes: written, preconditions: [...preconditions], emptyFolders: [...emptyFolders] }
}

const was = (key: Key, version: string): Precondition => ({ key, absent: false, version })
const wasNot = (key: Key, version = noVersion): Precondition => ({ key, absent: true, version })

t.test('a batch has the result of all changes, with the preconditions of the first', async (t) => {
  const batch = new Batch(id)
  const c = entryKey(5, 'c')
  const move = change({ [a]: null, [b]: file }, [was(a, at(1)), wasNot(b), was('i5', at(2))])
  const on = change({ [b]: null, [c]: file }, [was(b, id), wasNot(c), was('i5', at(2))])
  t.equal(added(batch, move), true)
  t.equal(added(batch, on), true)
  t.same(
    batch.changes.map(({ body }) => body),
    [move, on],
  )
  t.same(batch.body(), {
    writes: [
      { key: a, value: null },
      { key: b, value: null },
      { key: c, value: file },
    ],
    preconditions: [was(a, at(1)), wasNot(b), was('i5', at(2)), wasNot(c)],
    emptyFolders: [],
  })
})

t.test('a batch can empty a folder and remove it', async (t) => {
  const batch = new Batch(id)
  t.equal(added(batch, change({ [a]: null }, [was(a, at(1))])), true)
  const gone = change({ [inodeKey(5)]: null, e1: null }, [was(inodeKey(5), at(2))], [5])
  t.equal(added(batch, { ...gone, writes: gone.writes.slice(0, 1) }), true)
  t.same(batch.body().emptyFolders, [5])
})

t.test('a change that does not fit is refused, and leaves no trace', async (t) => {
  const batch = new Batch(id)
  added(batch, change({ [a]: null }, [was(a, at(1)), was('i5', at(2))]))
  const before = batch.body()
  const refused: Record<string, Transaction> = {
    'relies on what it removes': change({ [b]: file }, [was(a, at(1)), wasNot(b)]),
    'finds another version': change({ [b]: file }, [was('i5', at(3)), wasNot(b)]),
    'relies on something newer': change({ [b]: file }, [was('i6', at(101)), wasNot(b)]),
    'finds nothing where something is': change({ [b]: file }, [wasNot('i5'), wasNot(b)]),
  }
  for (const [why, one] of Object.entries(refused)) t.equal(added(batch, one), false, why)
  t.same(batch.body(), before)
})

t.test('an entry made after the times of its folder were set changes them', async (t) => {
  const batch = new Batch(id)
  added(batch, change({ [inodeKey(5)]: Buffer.from('times') }, [was(inodeKey(5), at(1))]))
  const entry = change({ [a]: file }, [wasNot(a), was(inodeKey(5), id)])
  t.equal(added(batch, entry), false)
  const made = new Batch(id)
  added(made, change({ [inodeKey(5)]: Buffer.from('new') }, [wasNot(inodeKey(5))]))
  t.equal(added(made, entry), true, 'the times of a new folder are as good as the same')
  const set = new Batch(id)
  added(set, change({ [inodeKey(5)]: Buffer.from('new') }, [wasNot(inodeKey(5))]))
  added(set, change({ [inodeKey(5)]: Buffer.from('times') }, [was(inodeKey(5), id)]))
  t.equal(added(set, entry), false, 'the times of a new folder were set since')
})

t.test('a batch has bounds', async (t) => {
  const batch = new Batch(id)
  const big = Buffer.alloc(200 * 1024)
  t.equal(added(batch, change({ i1: big }, [was('i1', at(1))])), true)
  t.equal(added(batch, change({ i2: big }, [was('i2', at(1))])), false)
  let count = 0
  const many = new Batch(id)
  while (added(many, change({ [`i${count + 10}`]: null }, [was(`i${count + 10}`, at(1))])))
    count += 1
  t.ok(count > 100 && count < 256, `${count} changes`)
  const alone = new Batch(id)
  t.equal(added(alone, change({ i1: Buffer.alloc(700 * 1024) }, [was('i1', at(1))])), true)
})

t.test(
  'transactions depend on each other when they share a register, or empty a folder',
  async (t) => {
    const rename = change({ [a]: null, [b]: file }, [was(a, at(1)), wasNot(b), was('i5', at(2))])
    const other = entryKey(5, 'x')
    t.notOk(dependOnEachOther(rename, change({ [other]: file }, [wasNot(other), was('i5', at(2))])))
    t.ok(dependOnEachOther(rename, change({ [b]: null }, [was(b, id)])))
    t.ok(dependOnEachOther(rename, change({ i5: null }, [was('i5', at(2))])), 'what one relies on')
    t.ok(dependOnEachOther(change({ i5: null }, [was('i5', at(2))]), rename))
    const gone = change({ i5: null, e1: null }, [was('i5', at(2)), was('e1', at(2))], [5])
    t.ok(
      dependOnEachOther(change({ [a]: null }, [was(a, at(1))]), gone),
      'a folder has to be empty',
    )
  },
)

t.test('a register is written once in a batch, and has one precondition', async (t) => {
  const broken = { code: 'ERR_ASSERTION' }
  const twice = [
    { key: a, value: file },
    { key: a, value: null },
  ]
  const one = { writes: [{ key: a, value: file }], preconditions: [wasNot(a)], emptyFolders: [] }
  t.equal(added(new Batch(id), one), true)
  t.throws(() => added(new Batch(id), { ...one, writes: twice }), broken)
  t.throws(() => added(new Batch(id), { ...one, preconditions: [wasNot(b)] }), broken)
  t.throws(() => added(new Batch(id), { ...one, preconditions: [wasNot(a), wasNot(a)] }), broken)
  t.throws(() => new Batch(id).body(), broken)
})
