/**
 * The standing of an account on this server: whether it votes, and the epoch, the fence and the floor that it
 * has come to. It is stored with the index, and is on the disk before any answer relies on it.
 */
import assert from 'node:assert/strict'
import type { Random } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Reply, Stamp } from '../../wire/messages.js'
import { isAhead, laterOf, msOfVersion, noVersion, type Version } from '../../wire/version.js'
import type { AccountHistory } from '../index/account-history.js'
import type { AccountIndex } from '../index/account-index.js'

export type StateName = Reply<'status'>['state']

/**
 * The standing that a request needs. Only an account that is `voting` votes, counts and answers reads. One that
 * is unsure is `notBlank`: it may be asked what it has, and takes part in finishing what is undecided.
 */
export type AccountNeed = 'any' | 'notBlank' | 'voting'

const fittingStates: Readonly<Record<AccountNeed, readonly StateName[]>> = {
  any: ['voting', 'unsure', 'blank', 'lost'],
  notBlank: ['voting', 'unsure'],
  voting: ['voting'],
}

export class AccountState {
  readonly #index: AccountIndex
  readonly #history: AccountHistory
  readonly #now: () => number
  readonly #random: Random
  #state: StateName = 'blank'
  #epoch = 0
  /** The epoch of the fill that may go on. */
  #session = 0
  #incarnation = 0
  #fence = noVersion
  #floor = noVersion

  /**
   * `history`: whether an account was here whose index is gone. `now`: the wall time of this server, in ms
   * since 1970.
   */
  constructor(index: AccountIndex, random: Random, history: AccountHistory, now: () => number) {
    this.#index = index
    this.#history = history
    this.#now = now
    this.#random = random
    if (index.state.get('incarnation') === undefined) {
      index.group(() => {
        index.state.set('incarnation', incarnationOf(random))
        index.state.set('state', history.wasHere ? 'lost' : 'blank')
        index.state.set('epoch', 0)
        index.state.set('session', 0)
        index.state.set('fence', noVersion)
        index.state.set('floor', noVersion)
        index.syncBeforeReply()
      })
    }
    this.load()
  }

  /** Reads the standing of the account from the index. */
  load(): void {
    this.#state = this.#index.state.get('state') as StateName
    this.#session = Number(this.#index.state.get('session'))
    this.#epoch = Number(this.#index.state.get('epoch'))
    this.#incarnation = Number(this.#index.state.get('incarnation'))
    this.#fence = String(this.#index.state.get('fence'))
    this.#floor = String(this.#index.state.get('floor'))
  }

  /**
   * Only an account that is `voting` votes, counts and answers reads. One that is `blank` was never here, or
   * its disk is new; one that is `lost` was here, and its index is gone; one that is `unsure` may have
   * forgotten votes.
   */
  get state(): StateName {
    return this.#state
  }

  /** The epoch of this account: a vote of an older one is refused. */
  get epoch(): number {
    return this.#epoch
  }

  /** A random number of this account, drawn anew whenever votes that were given may be lost. */
  get incarnation(): number {
    return this.#incarnation
  }

  /** The fence: nothing up to this version is voted for any more. */
  get fence(): Version {
    return this.#fence
  }

  /** The floor: up to this version all four servers are known to agree. */
  get floor(): Version {
    return this.#floor
  }

  stamp(): Stamp {
    return { epoch: this.#epoch, incarnation: this.#incarnation, fence: this.#fence }
  }

  /** Throws `blank` when the account is not what a request needs. */
  assertIs(need: AccountNeed): void {
    if (!fittingStates[need].includes(this.#state)) throw new DfsError('blank')
  }

  /** Throws `stale` when the fill of this epoch may not go on. */
  assertFilling(epoch: number): void {
    if (this.#state === 'voting' || epoch !== this.#session) {
      throw new DfsError('stale', 'another fill has replaced this one')
    }
  }

  /**
   * Whether a version is too far ahead of the clock of this server to be taken: then the clock of whoever
   * made it is wrong, or this one. What stands just above `held`, a version that is here already, is not.
   */
  isAhead(version: Version, held: Version = noVersion): boolean {
    if (!isAhead(version, this.#now())) return false
    return isAhead(version, msOfVersion(laterOf(held, this.#fence)))
  }

  /** Throws `clock` for a version that is too far ahead: see `isAhead`. */
  assertNotAhead(version: Version, held?: Version): void {
    if (this.isAhead(version, held)) throw new DfsError('clock')
  }

  become(state: 'voting' | 'unsure'): void {
    assert.notEqual(state, this.#state)
    // Before anybody counts on it: an account that votes is never founded anew.
    if (state === 'voting') this.#history.markFounded()
    this.#state = state
    this.#index.state.set('state', state)
    this.#index.syncBeforeReply()
  }

  /**
   * Makes the account unsure: what is here is kept, but it goes through a fill before the account votes again.
   */
  becomeUnsure(random: Random): void {
    this.#incarnation = incarnationOf(random)
    this.#index.state.set('incarnation', this.#incarnation)
    this.become('unsure')
  }

  raiseEpoch(epoch: number): void {
    if (epoch <= this.#epoch) return
    this.#epoch = epoch
    this.#index.state.set('epoch', epoch)
    this.#index.syncBeforeReply()
  }

  raiseFence(fence: Version): void {
    if (fence <= this.#fence) return
    this.#fence = fence
    this.#index.state.set('fence', fence)
    this.#index.syncBeforeReply()
  }

  /**
   * Lowers a fence that is far above one of now. No other server has it, so it was raised while this clock was ahead, and every
   * vote would be refused until that time. A sweep that has counted on it does not go on: the incarnation is another.
   */
  takeFenceBack(fence: Version): void {
    const isOfNow = Math.abs(msOfVersion(fence) - this.#now()) <= limits.clockAheadMsMax
    if (!isOfNow || !isAhead(this.#fence, msOfVersion(fence))) return
    this.#incarnation = incarnationOf(this.#random)
    this.#index.state.set('incarnation', this.#incarnation)
    this.#fence = laterOf(fence, this.#floor)
    assert(this.#fence >= this.#floor, 'a fence below the floor')
    this.#index.state.set('fence', this.#fence)
    this.#index.syncBeforeReply()
  }

  /** Raises the floor, and the fence where it would be below. */
  raiseFloor(floor: Version): void {
    if (floor <= this.#floor) return
    this.raiseFence(floor)
    this.#floor = floor
    assert(this.#fence >= this.#floor, 'a fence below the floor')
    this.#index.state.set('floor', floor)
    this.#index.syncBeforeReply()
  }

  /** Begins a fill, and returns whether it may go on; an older one may not, from then on. */
  startFill(epoch: number, incarnation: number): boolean {
    const starts =
      this.#state !== 'voting' && incarnation === this.#incarnation && epoch > this.#session
    if (!starts) return false
    this.#session = epoch
    this.#index.state.set('session', epoch)
    this.#index.syncBeforeReply()
    return true
  }

  /** The epoch that the next fill has to be above. */
  get fillEpoch(): number {
    return Math.max(this.#session, this.#epoch)
  }

  /** Ends a fill: the account has what those have that it was filled from. */
  endFill(epoch: number, floor: Version, fence: Version): void {
    this.raiseFence(laterOf(fence, floor))
    this.raiseFloor(floor)
    this.raiseEpoch(epoch)
    this.become('voting')
  }
}

function incarnationOf(random: Random): number {
  return random.bytes(6).readUIntBE(0, 6)
}
