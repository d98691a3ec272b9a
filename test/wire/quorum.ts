import { AssertionError } from 'node:assert/strict'
import t from 'tap'
import { assertIntersections, quorum } from '../../src/wire/quorum.js'

t.test('no majority can be lowered without missing another one', async (t) => {
  for (const [name, count] of Object.entries(quorum)) {
    t.throws(() => assertIntersections({ ...quorum, [name]: count - 1 }), AssertionError, name)
  }
})

t.test('the majorities meet, also where all servers are asked', async (t) => {
  assertIntersections(quorum)
  t.throws(() => assertIntersections({ ...quorum, holders: 3 }), AssertionError)
  assertIntersections({ ...quorum, commit: 4, sync: 4, holders: 3 })
})
