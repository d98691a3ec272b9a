import t from 'tap'
import { BusyPoll, busyPollMs } from '../../../src/fuse/kernel/busy-poll.js'

/** An event loop that turns when it is told to, and a clock that goes when it is told to. */
function polling(processors = 2) {
  let nowMs = 1000
  const turns: (() => void)[] = []
  const poll = new BusyPoll({ monotonic: () => nowMs }, processors, (turn) => turns.push(turn))
  const turn = (): boolean => {
    const next = turns.shift()
    next?.()
    return next !== undefined
  }
  return {
    poll,
    turn,
    /** How often the event loop turns before it may fall asleep, 10 us for each. */
    turnsLeft(): number {
      for (let count = 0; ; count += 1) {
        nowMs += 0.01
        if (!turn()) return count
      }
    },
  }
}

t.test('looks for the next request for a moment, and no longer', async (t) => {
  const { poll, turnsLeft } = polling()
  poll.begin()
  t.equal(turnsLeft(), Math.round(busyPollMs / 0.01))
  t.equal(turnsLeft(), 0, 'then it sleeps')
})

t.test('looks no further when a request has come', async (t) => {
  const { poll, turnsLeft } = polling()
  poll.begin()
  poll.end()
  t.equal(turnsLeft(), 1)
})

t.test('begins anew with each answer', async (t) => {
  const { poll, turn, turnsLeft } = polling()
  poll.begin()
  t.ok(turn())
  poll.end()
  poll.begin()
  t.equal(turnsLeft(), Math.round(busyPollMs / 0.01))
})

t.test('seldom tries where it is in vain, until it is not', async (t) => {
  const { poll, turnsLeft } = polling()
  const tries = (answers: number): number => {
    let count = 0
    for (let answer = 0; answer < answers; answer += 1) {
      poll.begin()
      if (turnsLeft() > 0) count += 1
    }
    return count
  }
  t.equal(tries(8), 8)
  t.equal(tries(320), 10)
  for (let answer = 0; answer < 32; answer += 1) poll.begin()
  poll.end()
  turnsLeft()
  t.equal(tries(8), 8)
})

t.test('leaves the only processor to the program', async (t) => {
  const { poll, turnsLeft } = polling(1)
  poll.begin()
  t.equal(turnsLeft(), 0)
})
