/**
 * Votes that are logged now and written to the index later, many at once, and decisions that came with
 * them. Until then they count from memory: the votes by their locks, the decisions by what they make of
 * registers. What a group of requests has done is undone with the group.
 */
import assert from 'node:assert/strict'
import type { Decision } from '../../wire/messages.js'
import type { Key, Transaction } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { AccountIndex } from '../index/account-index.js'
import type { StoredRegister } from '../index/recent-registers.js'
import { type TransactionTable, unknown } from './transaction-table.js'
import type { VoteLog } from './vote-log.js'

/** A vote in the form in which it can be logged now and written to the index later. */
export interface BufferedVote {
  /** The request, for the log. */
  readonly entry: Buffer
  /** Writes the pieces that came with it to the index, but for those that need not be there. */
  readonly store: (without: Decision['spares']) => void
}

interface Vote extends BufferedVote {
  readonly id: Version
  readonly body: Transaction
  readonly isLogged: boolean
}

interface Applied {
  readonly votes: Vote[]
  readonly decisions: Decision[]
  /** True when nothing else waits. */
  isAll: boolean
}

const none: Decision['spares'] = []

export class VoteBuffer {
  readonly #index: AccountIndex
  readonly #transactions: TransactionTable
  readonly #log: VoteLog
  /** Votes that are in the log and not in the index yet, and those that the running group gave. */
  #votes: Vote[] = []
  #newVotes: Vote[] = []
  /** Decisions that came with commits and are not in the index yet. */
  #decisions = new Map<Version, Decision>()
  /** Registers as the decisions make them that are not in the index yet. */
  readonly #ahead = new Map<Key, StoredRegister>()
  /** Decisions that came in the running group: they are not in the log yet. */
  #newDecisions: Version[] = []
  /** True when decisions are not in the log and will not be: no vote may rely on them. */
  #mustApply = false
  /** Votes and decisions that were written to the index and are not stored yet, in case they are undone. */
  #applied: Applied | undefined

  /** The groups are those of `index`. */
  constructor(index: AccountIndex, transactions: TransactionTable, log: VoteLog) {
    this.#index = index
    this.#transactions = transactions
    this.#log = log
  }

  /** The number of votes and decisions that are not in the index yet. */
  get count(): number {
    return this.#votes.length + this.#decisions.size
  }

  /** Resolves when the votes that are not in the index are on the disk. */
  sync(): Promise<void> {
    return this.#log.sync()
  }

  /** The register of a key, as decisions that are not in the index yet make it. */
  register(key: Key): StoredRegister {
    return this.#ahead.get(key) ?? this.#index.registers.get(key)
  }

  /** Records a yes, with its locks. It is logged when the group ends. */
  add(id: Version, body: Transaction, late: BufferedVote): void {
    this.#index.assertInGroup()
    assert.equal(this.#transactions.undecided(id), undefined)
    this.#transactions.hold({ ...unknown, id, body, yes: true })
    this.#newVotes.push({ ...late, id, body, isLogged: false })
  }

  /** Takes a decision that came with a commit: it may wait as the vote does. */
  settle(decision: Decision): void {
    const isRepeated = decision.commit && this.#decisions.has(decision.id)
    if (isRepeated && decision.spares.length === 0) return
    if (this.#decideAhead(decision)) {
      this.#newDecisions.push(decision.id)
      return
    }
    this.flush()
    this.#transactions.decide(decision)
  }

  /**
   * Writes to the index the votes that came first and are decided, with their decisions: up to `countMax`
   * of both. The group is to be left open: it is stored when the rest is written.
   */
  flushSome(countMax: number): void {
    this.#index.assertInGroup()
    this.#applied ??= { votes: [], decisions: [], isAll: false }
    for (const least = this.count - countMax; this.count >= least + 2; ) {
      const vote = this.#votes[0]
      const decision = vote && this.#decisions.get(vote.id)
      if (vote === undefined || decision === undefined) break
      this.#votes.shift()
      this.#decisions.delete(vote.id)
      this.#applied.votes.push(vote)
      this.#applied.decisions.push(decision)
      vote.store(decision.spares)
      this.#transactions.decide({ ...decision, spares: none })
    }
  }

  /** Writes what waits where some decisions are not in the log and will not be: no vote may rely on them. */
  flushUnlogged(): void {
    if (this.#mustApply) this.flush()
  }

  /** Writes what waits where decisions came with a commit that is not logged: the log has none of them. */
  flushWithout(id: Version): void {
    if (this.#newDecisions.length > 0 && this.#newVotes.at(-1)?.id !== id) this.flush()
  }

  /** Writes to the index all that waits. */
  flush(): void {
    this.#index.assertInGroup()
    const isNothing = this.#newVotes.length === 0 && this.count === 0
    if (isNothing && this.#applied === undefined) return
    if (this.#log.dropsSynced) this.#index.syncBeforeReply()
    const votes = [...this.#votes, ...this.#newVotes]
    const decisions = [...this.#decisions.values()]
    this.#votes = []
    this.#newVotes = []
    this.#decisions.clear()
    this.#ahead.clear()
    this.#index.storeOpen()
    this.#applied ??= { votes: [], decisions: [], isAll: true }
    this.#applied.isAll = true
    this.#applied.votes.push(...votes)
    this.#applied.decisions.push(...decisions)
    const decided = new Map(decisions.map(({ id, spares }) => [id, spares]))
    for (const { id, store } of votes) {
      const spares = decided.get(id)
      store(spares ?? none)
      const record = this.#transactions.undecided(id)
      if (record !== undefined && spares === undefined) this.#transactions.put(record)
    }
    const voted = new Set(votes.map(({ id }) => id))
    for (const decision of decisions) {
      this.#transactions.decide(voted.has(decision.id) ? { ...decision, spares: none } : decision)
    }
    assert.equal(this.count, 0)
  }

  /** Logs the votes of a group that has ended; the log drops those that are stored in the index. */
  logVotes(isStored: boolean): void {
    if (this.#applied !== undefined && isStored) {
      if (this.#applied.isAll) {
        this.#mustApply = false
        this.#log.clear()
      }
      this.#applied = undefined
    }
    this.#newDecisions = []
    if (this.#newVotes.length === 0) return
    assert(this.#votes.at(-1)?.isLogged !== false, 'votes are logged in their order')
    this.#log.append(this.#newVotes.map(({ entry }) => entry))
    for (const vote of this.#newVotes) this.#votes.push({ ...vote, isLogged: true })
    this.#newVotes = []
  }

  /** Makes what was logged count again after a group was undone, and the table of transactions read anew. */
  undo(): void {
    const { votes, decisions } = this.#applied ?? { votes: [], decisions: [] }
    this.#votes = [...votes.filter(({ isLogged }) => isLogged), ...this.#votes]
    const open = [...decisions, ...this.#decisions.values()]
    this.#newVotes = []
    this.#applied = undefined
    this.#mustApply ||= this.#newDecisions.length > 0
    this.#newDecisions = []
    for (const { id, body } of this.#votes)
      this.#transactions.hold({ ...unknown, id, body, yes: true })
    this.#decisions.clear()
    this.#ahead.clear()
    for (const decision of open) this.#decideAhead(decision)
  }

  /**
   * Makes a decision count before it is in the index. False when it has to be there at once: only where
   * what the decision is about is known here, in full and as it was before, which its locks saw to, may it
   * count without.
   */
  #decideAhead(decision: Decision): boolean {
    const { id, commit } = decision
    const record = this.#transactions.undecided(id)
    if (!commit || record?.body == null || !(record.yes || record.everCommit)) return false
    const { writes } = record.body
    const before = writes.map(({ key }) => this.#current(key))
    if (before.includes(undefined)) return false
    for (const [index, { key, value }] of writes.entries()) {
      const current = before[index]
      if (current !== undefined && this.#transactions.replaces(id, current)) {
        this.#ahead.set(key, { version: id, value })
      }
    }
    this.#transactions.locks.release(id, record.body)
    this.#decisions.set(id, decision)
    return true
  }

  /** The register of a key, as the latest decisions make it; undefined when it has rotted. */
  #current(key: Key): StoredRegister | undefined {
    return this.#ahead.get(key) ?? this.#index.registers.recent(key)
  }
}
