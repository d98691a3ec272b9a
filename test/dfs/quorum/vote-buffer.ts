/** Votes that are written to the index a part at a time, with others between the parts. */
import t from 'tap'
import { systemRandom } from '../../../src/clock.js'
import { AccountIndex } from '../../../src/dfs/index/account-index.js'
import { Acceptor } from '../../../src/dfs/quorum/acceptor.js'
import { MemoryVoteLog } from '../../../src/dfs/quorum/vote-log.js'
import type { Decision } from '../../../src/wire/messages.js'
import { encodeEntry, entryKey, fileType, type Transaction } from '../../../src/wire/records.js'
import { noVersion, versionOf } from '../../../src/wire/version.js'
import { grouped } from '../../fixtures/grouped.js'

const idOf = (vote: number): string => versionOf(1_000 + vote, 0, '00000001')
const keyOf = (vote: number): string => entryKey(1, `f${vote}`)
const value = encodeEntry({ ino: 7, type: fileType.file >> 12 })

const bodyOf = (vote: number): Transaction => ({
  writes: [{ key: keyOf(vote), value }],
  preconditions: [{ key: keyOf(vote), absent: true, version: noVersion }],
  emptyFolders: [],
})

/** An account that has given `count` votes and not written them yet; all but the last are decided. */
function voted(count: number) {
  const index = AccountIndex.open(':memory:')
  const log = new MemoryVoteLog(0)
  const acceptor = grouped(index, new Acceptor(index, systemRandom, log))
  acceptor.found({ incarnations: [acceptor.stamp().incarnation, 1, 2, 3] })
  let given = 0
  let failsAt = -1
  const vote = (): void => {
    const number = given
    given += 1
    const settles: Decision[] =
      number === 0 ? [] : [{ id: idOf(number - 1), commit: true, body: null, spares: [] }]
    const late = {
      entry: Buffer.from(`${number}`),
      store: () => {
        if (number === failsAt) throw new Error('the disk is full')
        index.state.set(`piece ${number}`, number)
      },
    }
    const request = { id: idOf(number), epoch: 0, settles, body: bodyOf(number) }
    const reply = index.group(() => acceptor.commit(request, late))
    t.equal(reply.outcome, 'yes')
  }
  for (let number = 0; number < count; number += 1) vote()
  const inIndex = (): number[] =>
    Array.from({ length: given }, (_, number) => number).filter(
      (number) => index.registers.get(keyOf(number)).value !== null,
    )
  return {
    index,
    log,
    acceptor,
    vote,
    inIndex,
    some: (countMax: number) => index.group(() => acceptor.applySomeLate(countMax), true),
    all: () => index.group(() => acceptor.applyLate()),
    failAt: (number: number) => {
      failsAt = number
    },
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, number) => number)

t.test('parts are stored together with the rest, and votes go on between them', async (t) => {
  const { index, log, acceptor, vote, inIndex, some, all } = voted(10)
  t.equal(acceptor.lateCount, 19)
  some(6)
  t.equal(acceptor.lateCount, 13)
  t.same(inIndex(), upTo(3))
  vote()
  some(5)
  t.equal(acceptor.lateCount, 11, 'a vote and its decision go together')
  t.equal(log.read().length, 11, 'nothing is gone from the log')
  all()
  index.rollBack()
  t.equal(acceptor.lateCount, 0, 'nothing is left open')
  t.same(inIndex(), upTo(10))
  t.equal(log.read().length, 0)
  t.equal(acceptor.counts().undecided, 1)
  t.equal(index.state.get('piece 10'), 10)
})

t.test('the rest may be nothing', async (t) => {
  const { index, log, acceptor, inIndex, some, all } = voted(3)
  const settles = [{ id: idOf(2), commit: true, body: null, spares: [] }]
  const again = { id: idOf(1), epoch: 0, settles, body: bodyOf(1) }
  const late = { entry: Buffer.alloc(1), store: () => {} }
  t.equal(index.group(() => acceptor.commit(again, late)).outcome, 'yes', 'it was asked again')
  t.equal(acceptor.lateCount, 0, 'a decision without a new vote is not in the log')
  some(16)
  index.rollBack()
  t.same(inIndex(), upTo(3), 'nothing is left open')
  all()
  t.same(inIndex(), upTo(3))
  t.equal(log.read().length, 0)
})

t.test('a vote that nobody has decided stops the parts, and goes with the rest', async (t) => {
  const { acceptor, inIndex, some, all } = voted(1)
  some(16)
  t.equal(acceptor.lateCount, 1)
  all()
  t.equal(acceptor.lateCount, 0)
  t.same(inIndex(), [])
  t.equal(acceptor.counts().undecided, 1)
})

t.test('what another group stores takes the parts with it, and leaves the log alone', async (t) => {
  const { index, log, acceptor, inIndex, some, all } = voted(8)
  some(4)
  index.group(() => index.state.set('other', 1))
  index.rollBack()
  t.same(inIndex(), upTo(2))
  t.equal(acceptor.lateCount, 11)
  t.equal(log.read().length, 8, 'the other votes are only there')
  all()
  t.same(inIndex(), upTo(7))
  t.equal(log.read().length, 0)
})

t.test('parts that are not stored count as before', async (t) => {
  const { index, acceptor, vote, inIndex, some, all, failAt } = voted(10)
  some(6)
  some(6)
  t.same(inIndex(), upTo(6))
  index.rollBack()
  t.equal(acceptor.lateCount, 19)
  t.same(inIndex(), [])
  t.equal(index.state.get('piece 0'), undefined)
  vote()
  some(6)
  failAt(4)
  t.throws(() => some(6))
  t.equal(acceptor.lateCount, 21, 'one that fails takes the parts before with it')
  t.same(inIndex(), [])
  failAt(-1)
  some(6)
  all()
  t.same(inIndex(), upTo(10))
  t.equal(acceptor.counts().undecided, 1)
})

t.test('a process that ends between the parts finds everything in the log', async (t) => {
  const { index, log, some } = voted(10)
  some(8)
  index.rollBack()
  const again = grouped(index, new Acceptor(index, systemRandom, log))
  index.group(() => {
    for (const entry of log.read()) {
      const number = Number(entry.toString())
      const settles: Decision[] =
        number === 0 ? [] : [{ id: idOf(number - 1), commit: true, body: null, spares: [] }]
      again.restoreVote({ id: idOf(number), settles, body: bodyOf(number) })
    }
  })
  t.equal(again.counts().undecided, 1)
  t.equal(again.counts().registers, 9)
})
