/**
 * Transactions of an account, and what becomes of its registers by them: those that are undecided, with their
 * locks, and the decisions. Everything is written to the index at once but for what `vote-buffer.ts` sees to.
 */
import assert from 'node:assert/strict'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { notice } from '../../log.js'
import { decode, encode } from '../../wire/codec.js'
import type { Decision } from '../../wire/messages.js'
import { type Key, type Transaction, transactionCodec } from '../../wire/records.js'
import { noVersion, type Version } from '../../wire/version.js'
import type { AccountIndex } from '../index/account-index.js'
import type { StoredRegister } from '../index/recent-registers.js'
import type { AccountState } from './account-state.js'
import { type InDoubt, InDoubtRecords } from './in-doubt-records.js'
import { Locks } from './locks.js'

/** The record of a transaction of which nothing is known yet. */
export const unknown = {
  body: null,
  yes: false,
  promised: 0,
  accepted: 0,
  acceptedCommit: false,
  everCommit: false,
} as const

export class TransactionTable {
  readonly locks = new Locks()
  readonly #index: AccountIndex
  readonly #accountState: Pick<AccountState, 'floor'>
  readonly #undecided = new InDoubtRecords()
  /** Changes whenever something is decided about a register that has rotted. */
  #rotMark: number
  /** Decisions that cannot be. Only the first ones are in the log. */
  #faults = 0

  constructor(index: AccountIndex, accountState: Pick<AccountState, 'floor'>) {
    this.#index = index
    this.#accountState = accountState
    // So that none from before a restart is taken for one of now.
    this.#rotMark = index.now() % 2 ** 32
    this.load()
  }

  /** Reads the undecided transactions from the index. */
  load(): void {
    this.#undecided.clear()
    this.locks.clear()
    for (const { commit: _, ...record } of this.#index.records.undecided()) {
      const body = record.body === null ? null : decode(transactionCodec, record.body)
      this.#undecided.set(record.id, { ...record, body })
      if (body !== null && (record.yes || record.everCommit)) this.locks.take(record.id, body)
    }
  }

  // -- what is undecided -------------------------------------------------------------------------

  get undecidedCount(): number {
    return this.#undecided.size
  }

  /** Throws `overloaded` when too many transactions are undecided, or they are too large. */
  assertRoom(): void {
    if (!this.#undecided.isFull) return
    throw new DfsError('overloaded', 'too many undecided transactions')
  }

  undecided(id: Version): InDoubt | undefined {
    return this.#undecided.get(id)
  }

  undecidedUpTo(version: Version): readonly InDoubt[] {
    return [...this.#undecided.values()].filter(({ id }) => id <= version)
  }

  /**
   * Records an undecided transaction, in the place of what was known of it. Its locks are the caller's affair.
   */
  keep(record: InDoubt): void {
    assertGoesOn(this.#undecided.get(record.id) ?? unknown, record)
    this.put(record)
    this.#undecided.set(record.id, { ...record, body: record.body && ownCopy(record.body) })
  }

  /** Writes an undecided transaction to the index, and not to memory, which has it. */
  put(record: InDoubt): void {
    const body = record.body === null ? null : encode(transactionCodec, record.body)
    this.#index.records.put({ ...record, body, commit: null })
  }

  /** Records a vote, with its locks, in memory alone: the index does not know it yet. */
  hold(record: InDoubt & { readonly body: Transaction }): void {
    this.#undecided.set(record.id, { ...record, body: ownCopy(record.body) })
    this.locks.take(record.id, record.body)
  }

  /** Forgets undecided transactions, with their locks: none of them can be committed any more. */
  forget(records: readonly InDoubt[]): void {
    for (const { id, body } of records) {
      this.#undecided.delete(id)
      if (body !== null) this.locks.release(id, body)
    }
  }

  // -- what is decided ---------------------------------------------------------------------------

  /** Whether what is in the index tells of this transaction, or of what became of it. */
  knows(id: Version): boolean {
    return (
      this.#undecided.get(id) !== undefined ||
      this.decisionOf(id) !== undefined ||
      id <= this.#accountState.floor
    )
  }

  decisionOf(id: Version): boolean | undefined {
    return this.#index.records.get(id)?.commit ?? undefined
  }

  /** Takes a decision, and returns whether it is known here afterwards. The first decision wins. */
  decide({ id, commit, body: sent, spares }: Decision): boolean {
    this.#index.assertInGroup()
    const record = this.#undecided.get(id)
    if (record === undefined) {
      const decided = this.decisionOf(id)
      if (decided !== undefined) {
        if (decided !== commit) this.#splitDecision(id, decided)
        // A server that was slow has voted as well: they were needed until then.
        this.#dropSpares(spares)
        return true
      }
      if (id <= this.#accountState.floor) return true
    }
    const body = record?.body ?? sent
    if (commit && body === null) return false
    this.#index.records.put({ ...unknown, id, body: null, commit })
    this.#undecided.delete(id)
    if (record?.body) this.locks.release(id, record.body)
    if (commit && body !== null) {
      for (const { key, value } of body.writes) this.set(key, id, value)
      this.#dropSpares(spares)
    }
    return true
  }

  /** Two decisions of one transaction cannot be: the rules were broken somewhere, or a client lies. */
  #splitDecision(id: Version, decided: boolean): never {
    const was = decided ? 'committed' : 'aborted'
    this.#faults += 1
    if (this.#faults <= limits.sameKindMax)
      notice(
        `FAULT: transaction ${id} is ${was} here, but a client sent the opposite decision`,
        'error',
      )
    throw new DfsError('protocol', `transaction ${id} is ${was} here`)
  }

  /** Takes a decision whose values were installed by other means. */
  mark(id: Version, commit: boolean): void {
    if (this.decide({ id, commit, body: null, spares: [] })) return
    this.#index.records.put({ ...unknown, id, body: null, commit })
    this.#undecided.delete(id)
  }

  /** Spare pieces came inside a commit, so they are in the index; a file is not removed by this. */
  #dropSpares(spares: Decision['spares']): void {
    for (const { segment, piece } of spares) {
      if (this.#index.pieces.get(segment, piece)?.content != null) {
        this.#index.pieces.remove(segment, piece)
      }
    }
  }

  // -- the registers -----------------------------------------------------------------------------

  get rotMark(): number {
    return this.#rotMark
  }

  /**
   * Stores a decided value, unless something newer is there or it is below the floor. How old a register is that
   * has rotted is not known: it waits for a repair, which brings the latest.
   */
  set(key: Key, version: Version, value: Buffer | null): void {
    const current = this.#index.registers.recent(key)
    if (current === undefined) {
      this.#rotMark = (this.#rotMark + 1) % 2 ** 32
      return
    }
    if (this.replaces(version, current)) this.#index.registers.set(key, version, value, current)
    else if (value !== null && version < current.version)
      this.#index.registers.passOver(key, version, value)
  }

  /** Whether what is decided as `version` takes the place of what is there. */
  replaces(version: Version, current: StoredRegister): boolean {
    const exists = current.version !== noVersion
    return version > current.version && (exists || version > this.#accountState.floor)
  }
}

/** Stops the program where a server would take back what it has said of a transaction. */
function assertGoesOn(before: Omit<InDoubt, 'id'>, after: InDoubt): void {
  assert(after.promised >= before.promised, 'a promised ballot goes down')
  assert(after.accepted >= before.accepted, 'an accepted ballot goes down')
  assert(after.promised >= after.accepted, 'a ballot is accepted that was not promised')
  assert(after.yes || !before.yes, 'a yes is taken back')
  assert(after.everCommit || !before.everCommit, 'an accepted commit is forgotten')
}

/** Values are views into a received frame: what is kept must not pin that memory. */
function ownCopy(body: Transaction): Transaction {
  const writes = body.writes.map(({ key, value }) => ({ key, value: value && Buffer.from(value) }))
  return { ...body, writes }
}
