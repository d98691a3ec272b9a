/**
 * The turns in which a server works for its users. A server has one thread: while it works for one connection all
 * others wait. So no connection gets more than `turnMs` at a time, and then the next user has a turn, however many
 * connections and requests the first one has. The time that all users want together is divided evenly by that: a
 * user who wants less than that share is never held up by those who want more, and what one does not use the
 * others have.
 *
 *     alice: a1 a2 a3     bob: b1        carol: c1 c2
 *     turns: a1 b1 c1 a2 c2 a3
 */
import assert from 'node:assert/strict'
import type { Clock } from '../../clock.js'
import { limits } from '../../limits.js'

/** A connection with requests that can be run. */
export interface TurnTaker {
  readonly user: string
  /** Works until `endMs` on the monotonic clock, at least a little. True: there is more that can be run now. */
  takeTurn(endMs: number): boolean
}

export class Turns {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #soon: (work: () => void) => void
  /** Connections that wait, by user: the user with the next turn first, and of each the connection with the next one. */
  readonly #waiting = new Map<string, Set<TurnTaker>>()
  /** Of each user: how many requests wait for the disk, and the connections that may have no more. */
  readonly #diskWork = new Map<string, { count: number; readonly waiting: Set<TurnTaker> }>()
  /** Time that was worked since others were last given the chance to say that they wait. */
  #spentMs = 0
  #isWorking = false
  #isScheduled = false

  /** `soon` runs work after all that has arrived meanwhile was taken note of. */
  constructor(
    clock: Pick<Clock, 'monotonic'>,
    soon: (work: () => void) => void = (work) => void setImmediate(work),
  ) {
    this.#clock = clock
    this.#soon = soon
  }

  /** Gives the connection a turn: now, or when it is its user's. Asking again before that changes nothing. */
  ask(taker: TurnTaker): void {
    this.#enqueue(taker)
    if (this.#isWorking || this.#isScheduled) return
    if (this.#spentMs < limits.turnMs) this.#work()
    else this.#schedule()
  }

  /** Forgets a connection that has ended. */
  forget(taker: TurnTaker): void {
    const takers = this.#waiting.get(taker.user)
    takers?.delete(taker)
    if (takers?.size === 0) this.#waiting.delete(taker.user)
    this.#diskWork.get(taker.user)?.waiting.delete(taker)
  }

  /**
   * Whether less of the user's work waits for the disk than may: what one user has the threads do must not be in
   * the way of what others want. If not, the connection is given a turn when some of it is done.
   */
  mayBeginDiskWork(taker: TurnTaker): boolean {
    const work = this.#diskWork.get(taker.user)
    if (work === undefined || work.count < limits.userDiskRequestsMax) return true
    work.waiting.add(taker)
    return false
  }

  beginDiskWork({ user }: TurnTaker): void {
    const work = this.#diskWork.get(user) ?? { count: 0, waiting: new Set() }
    this.#diskWork.set(user, work)
    work.count += 1
  }

  /** Every `beginDiskWork` needs one, also when the connection has ended. */
  endDiskWork({ user }: TurnTaker): void {
    const work = this.#diskWork.get(user)
    assert(work !== undefined && work.count > 0, 'work that was not begun is done')
    work.count -= 1
    if (work.count === 0) this.#diskWork.delete(user)
    const waiting = [...work.waiting]
    work.waiting.clear()
    for (const taker of waiting) this.ask(taker)
  }

  #enqueue(taker: TurnTaker): void {
    const takers = this.#waiting.get(taker.user)
    if (takers === undefined) this.#waiting.set(taker.user, new Set([taker]))
    else takers.add(taker)
  }

  /** Gives turns to one user after the other until the time is over, and goes on soon if some wait still. */
  #work(): void {
    assert(!this.#isWorking, 'a turn inside of another one')
    this.#isWorking = true
    try {
      for (let next = this.#next(); next !== undefined; next = this.#next()) {
        const startMs = this.#clock.monotonic()
        const isMore = next.takeTurn(startMs + limits.turnMs)
        this.#spentMs += this.#clock.monotonic() - startMs
        if (isMore) this.#enqueue(next)
        if (this.#spentMs >= limits.turnMs) break
      }
    } finally {
      this.#isWorking = false
    }
    if (this.#waiting.size > 0) this.#schedule()
  }

  #schedule(): void {
    this.#isScheduled = true
    this.#soon(() => {
      this.#isScheduled = false
      this.#spentMs = 0
      this.#work()
    })
  }

  /** Takes the connection whose turn it is out of the queue; its user is the last one then. */
  #next(): TurnTaker | undefined {
    for (const [user, takers] of this.#waiting) {
      this.#waiting.delete(user)
      for (const taker of takers) {
        takers.delete(taker)
        if (takers.size > 0) this.#waiting.set(user, takers)
        return taker
      }
    }
    return undefined
  }
}
