/**
 * The turns in which a server works for its users. A server has one thread: while it works for one connection all
 * others wait. So no connection gets more than `turnMs` at a time, and the next turn is that of the user who has had
 * the least time, however many connections and requests the others have. That divides evenly what all users want
 * together: one who wants less than a share waits for about one turn, and what one does not use the others have.
 *
 *     alice: a1 a2 a3     bob: b1        carol: c1 c2
 *     turns: a1 b1 c1 a2 c2 a3
 *
 * It is the fair queueing of Nagle (RFC 970) and of Demers, Keshav and Shenker (1989), with turns for packets.
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

interface User {
  /** Connections that wait, the one with the next turn first. */
  readonly waiting: Set<TurnTaker>
  /** The time that the user has had, with time that passed without the user wanting any. */
  usedMs: number
}

export class Turns {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #soon: (work: () => void) => void
  readonly #users = new Map<string, User>()
  /** The time of the user of the latest turn before that turn. Users who waited had no less. */
  #leastMs = 0
  /** Number of each user's requests that wait for the disk, and the connections that may have no more. */
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
    this.#users.get(taker.user)?.waiting.delete(taker)
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
    const user = this.#users.get(taker.user) ?? { waiting: new Set(), usedMs: 0 }
    this.#users.set(taker.user, user)
    if (user.waiting.size === 0) {
      // Time that a user did not want is not made up for, but for one turn: so the next one is this user's.
      user.usedMs = Math.max(user.usedMs, this.#leastMs - limits.turnMs)
    }
    user.waiting.add(taker)
  }

  /** The user who waits and has had the least time. */
  #hungriest(): User | undefined {
    let least: User | undefined
    for (const user of this.#users.values()) {
      if (user.waiting.size > 0 && (least === undefined || user.usedMs < least.usedMs)) least = user
    }
    return least
  }

  /** Gives turns to one user after the other until the time is over, and goes on soon if some wait still. */
  #work(): void {
    assert(!this.#isWorking, 'a turn inside of another one')
    this.#isWorking = true
    let user = this.#hungriest()
    try {
      for (; user !== undefined && this.#spentMs < limits.turnMs; user = this.#hungriest()) {
        this.#leastMs = Math.max(this.#leastMs, user.usedMs)
        const ms = this.#giveTurn(user)
        user.usedMs += ms
        this.#spentMs += ms
      }
    } finally {
      this.#isWorking = false
    }
    if (user !== undefined) this.#schedule()
    else this.#forgetAll()
  }

  /** With nothing to do all users are even. */
  #forgetAll(): void {
    this.#users.clear()
    this.#leastMs = 0
  }

  /** Gives the first connection of a user a turn. Returns how long it took. */
  #giveTurn({ waiting }: User): number {
    const [taker] = waiting
    assert(taker !== undefined, 'a turn that no connection waits for')
    waiting.delete(taker)
    const startMs = this.#clock.monotonic()
    const isMore = taker.takeTurn(startMs + limits.turnMs)
    if (isMore) waiting.add(taker)
    return this.#clock.monotonic() - startMs
  }

  #schedule(): void {
    this.#isScheduled = true
    this.#soon(() => {
      this.#isScheduled = false
      this.#spentMs = 0
      this.#work()
    })
  }
}
