import t from 'tap'
import { Turns, type TurnTaker } from '../../../src/dfs/session/turns.js'
import { limits } from '../../../src/limits.js'

/** Turns on a clock of their own, whose event loop goes round when the test says so. */
function begin() {
  let nowMs = 0
  let soon: (() => void)[] = []
  const clock = { monotonic: () => nowMs }
  const turns = new Turns(clock, (work) => void soon.push(work))
  const done: string[] = []
  /** A connection with requests that take so long each. */
  const connection = (user: string, requests: readonly number[]) => {
    const waiting = [...requests]
    const taker: TurnTaker & { doneAtMs: number } = {
      user,
      doneAtMs: -1,
      takeTurn(endMs) {
        do {
          nowMs += waiting.shift() ?? 0
          done.push(user)
        } while (waiting.length > 0 && nowMs < endMs)
        if (waiting.length === 0) taker.doneAtMs = nowMs
        return waiting.length > 0
      },
    }
    return taker
  }
  const goRound = (): boolean => {
    const [work, ...others] = soon
    soon = others
    work?.()
    return work !== undefined
  }
  return { turns, connection, goRound, done, now: () => nowMs }
}

t.test('works at once where nothing else is to be done', async (t) => {
  const { turns, connection, goRound } = begin()
  const alone = connection('alice', [1, 1])
  turns.ask(alone)
  t.equal(alone.doneAtMs, 2)
  t.notOk(goRound(), 'no time passes before it')
})

t.test('a light request waits for about one turn, whatever others have queued', async (t) => {
  const { turns, connection, goRound, now } = begin()
  const heavy = Array.from({ length: 1000 }, () => 3)
  const attacker = connection('mallory', heavy)
  turns.ask(attacker)
  for (let round = 0; round < 10; round += 1) goRound()
  const light = connection('bob', [1])
  const askedMs = now()
  turns.ask(light)
  while (light.doneAtMs < 0) goRound()
  t.ok(light.doneAtMs - askedMs <= limits.turnMs + 3 + 1, `${light.doneAtMs - askedMs} ms`)
  while (goRound());
  t.equal(attacker.doneAtMs, 3001, 'no time is lost')
})

t.test('many connections of one user have one turn between them', async (t) => {
  const { turns, connection, goRound, now } = begin()
  const crowd = Array.from({ length: 256 }, () => connection('mallory', [8, 8, 8, 8]))
  for (const one of crowd) turns.ask(one)
  const users = ['bob', 'carol'].map((user) => connection(user, [1]))
  const askedMs = now()
  for (const user of users) turns.ask(user)
  while (users.some(({ doneAtMs }) => doneAtMs < 0)) goRound()
  for (const { user, doneAtMs } of users) {
    t.ok(doneAtMs - askedMs <= 2 * 8 + 2, `${user} waited ${doneAtMs - askedMs} ms`)
  }
  while (goRound());
  t.ok(crowd.every(({ doneAtMs }) => doneAtMs > 0))
})

t.test('users who want all there is have equal shares of it', async (t) => {
  const { turns, connection, goRound, done } = begin()
  const work = Array.from({ length: 400 }, () => 1)
  for (let count = 0; count < 3; count += 1) turns.ask(connection('mallory', work))
  turns.ask(connection('bob', work))
  for (let round = 0; round < 40; round += 1) goRound()
  const of = (user: string): number => done.filter((one) => one === user).length
  t.ok(Math.abs(of('mallory') - of('bob')) <= 2 * limits.turnMs, `${of('mallory')} ${of('bob')}`)
})

t.test('a connection that has ended gets no turn', async (t) => {
  const { turns, connection, goRound } = begin()
  turns.ask(connection('alice', [limits.turnMs]))
  const ended = connection('bob', [1])
  turns.ask(ended)
  turns.forget(ended)
  while (goRound());
  t.equal(ended.doneAtMs, -1)
})

t.test('the disk works for so many requests of a user, and then for those that wait', async (t) => {
  const { turns, connection } = begin()
  const [one, other] = [connection('alice', [1]), connection('alice', [1])]
  for (let count = 0; count < limits.userDiskRequestsMax; count += 1) {
    t.ok(turns.mayBeginDiskWork(one))
    turns.beginDiskWork(one)
  }
  t.notOk(turns.mayBeginDiskWork(other))
  t.ok(turns.mayBeginDiskWork(connection('bob', [])), 'another user goes past them')
  t.equal(other.doneAtMs, -1)
  turns.endDiskWork(one)
  t.equal(other.doneAtMs, 1, 'it is given a turn')
  t.ok(turns.mayBeginDiskWork(other))
})
