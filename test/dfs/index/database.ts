import { AssertionError } from 'node:assert'
import t from 'tap'
import { AccountDatabase } from '../../../src/dfs/index/database.js'
import { StateTable } from '../../../src/dfs/index/state.js'

function open() {
  const db = new AccountDatabase(':memory:')
  const state = new StateTable(db)
  const ends: boolean[] = []
  let rollbacks = 0
  db.onEnd((isStored) => ends.push(isStored))
  db.onRollback(() => {
    rollbacks += 1
  })
  return { db, state, ends, rollbacks: () => rollbacks }
}

t.test('a group that is left open is stored with the next one that changes anything', async (t) => {
  const { db, state, ends, rollbacks } = open()
  db.group(() => state.set('a', 1), true)
  db.group(() => state.get('a'))
  t.same(ends, [false, false], 'one that reads leaves it open')
  db.group(() => state.set('b', 2))
  t.same(ends, [false, false, true])
  db.rollBack()
  t.equal(rollbacks(), 0, 'nothing is open')
  t.same([state.get('a'), state.get('b')], [1, 2])
})

t.test(
  'what is open is stored with a group that asks for it, and undone with one that fails',
  async (t) => {
    const { db, state, rollbacks } = open()
    db.group(() => state.set('a', 1), true)
    db.group(() => db.storeOpen())
    db.rollBack()
    t.equal(rollbacks(), 0, 'nothing is open')
    db.group(() => state.set('b', 2), true)
    t.throws(() =>
      db.group(() => {
        throw new Error('a full disk')
      }),
    )
    db.rollBack()
    t.equal(rollbacks(), 1, 'nothing is open')
    t.same([state.get('a'), state.get('b')], [1, undefined])
  },
)

t.test('a failed write fails the group, also where its failure is caught', async (t) => {
  const { db, state } = open()
  const careless = (): void => {
    try {
      db.write(() => {
        throw new Error('a full disk')
      })
    } catch {}
    state.set('a', 1)
  }
  t.throws(() => db.group(careless), { message: 'a full disk' })
  t.equal(state.get('a'), undefined)
})

t.test(
  'nothing is written when a group has ended, and nothing is synced outside of one',
  async (t) => {
    const { db, state } = open()
    t.throws(() => db.syncBeforeReply(), AssertionError)
    t.throws(() => db.storeOpen(), AssertionError)
    let writes = true
    db.onEnd(() => {
      if (writes) state.set('a', 1)
    })
    t.throws(() => db.group(() => {}), AssertionError)
    writes = false
    t.equal(state.get('a'), undefined)
    db.group(() => state.set('b', 2))
    t.equal(state.get('b'), 2)
  },
)
