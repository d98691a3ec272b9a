/**
 * The server's side of the quorum for one account: votes on transactions, takes part in ballots and
 * takes decisions. Each rule here has its reason in the table of the decision record "replication
 * rules"; change one only after the model has been changed and run.
 */
import assert from 'node:assert/strict'
import { type Random, systemClock } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Decision, Reply, Request, Stamp } from '../../wire/messages.js'
import { entryKey, parseKey, type Transaction } from '../../wire/records.js'
import { laterOf, noVersion, type Version } from '../../wire/version.js'
import { type AccountHistory, noHistory } from '../index/account-history.js'
import type { AccountIndex } from '../index/account-index.js'
import { type AccountNeed, AccountState, type StateName } from './account-state.js'
import type { InDoubt } from './in-doubt-records.js'
import { RegisterReader } from './register-reader.js'
import { Repair } from './repair.js'
import { TransactionTable, unknown } from './transaction-table.js'
import { type BufferedVote, VoteBuffer } from './vote-buffer.js'
import { MemoryVoteLog, type VoteLog } from './vote-log.js'
import { assertDecisions, assertWellFormed } from './well-formed.js'

type CommitReply = Reply<'commit'>
type Refusal = Partial<Pick<CommitReply, 'by' | 'key' | 'hint'>>

export class Acceptor {
  readonly reader: RegisterReader
  readonly repair: Repair
  readonly #index: AccountIndex
  readonly #accountState: AccountState
  readonly #transactions: TransactionTable
  readonly #late: VoteBuffer

  /** `now`: the wall time of this server, in ms since 1970. */
  constructor(
    index: AccountIndex,
    random: Random,
    log: VoteLog = new MemoryVoteLog(),
    history: AccountHistory = noHistory,
    now: () => number = systemClock.now,
  ) {
    this.#index = index
    this.#accountState = new AccountState(index, random, history, now)
    this.#transactions = new TransactionTable(index, this.#accountState)
    this.#late = new VoteBuffer(index, this.#transactions, log)
    this.reader = new RegisterReader(index, this.#accountState, this.#transactions.locks)
    this.repair = new Repair(index, this.#accountState, this.#transactions)
    index.follow({
      ended: (isStored) => this.#late.logVotes(isStored),
      undone: () => {
        this.#accountState.load()
        this.#transactions.load()
        this.#late.undo()
      },
    })
  }

  /** The state of the account: only one that is `voting` votes, counts and answers reads. */
  get state(): StateName {
    return this.#accountState.state
  }

  /** The floor: up to this version all four servers are known to agree. */
  get floor(): Version {
    return this.#accountState.floor
  }

  stamp(): Stamp {
    return this.#accountState.stamp()
  }

  /** Throws `blank` when the account is not what a request needs. */
  assertIs(need: AccountNeed): void {
    this.#accountState.assertIs(need)
  }

  counts(): { readonly registers: number; readonly undecided: number } {
    return {
      registers: this.#index.totals.now.registers,
      undecided: this.#transactions.undecidedCount,
    }
  }

  // -- the account's beginning -------------------------------------------------------------------

  /**
   * Begins a new account. The incarnations are those of all four servers, all blank when they were
   * read, so a server that was wiped since then is not meant and stays blank. One that had an account before is
   * `lost`: only a fill brings it back.
   */
  found({ incarnations }: Request<'found'>): Reply<'found'> {
    if (
      !incarnations.includes(this.#accountState.incarnation) ||
      incarnations.length !== limits.serverCount
    ) {
      throw new DfsError('blank', 'this account was reset meanwhile')
    }
    if (this.#accountState.state === 'lost')
      throw new DfsError('blank', 'this account existed before and cannot be founded anew')
    if (this.#accountState.state === 'blank') this.#accountState.become('voting')
    return { stamp: this.stamp() }
  }

  /**
   * Makes the account unsure, because votes that were given may be lost: what is here is kept, but it goes
   * through a fill before the account votes again.
   */
  becomeUnsure(random: Random): void {
    if (this.#accountState.state !== 'voting') return
    this.#index.group(() => this.#accountState.becomeUnsure(random))
  }

  // -- transactions ------------------------------------------------------------------------------

  /** The number of votes and decisions that are not in the index yet. */
  get lateCount(): number {
    return this.#late.count
  }

  /**
   * Writes to the index what was only logged, and the decisions that came with commits: a moment after
   * the votes that clients wait for, and many at once, or before anything that could tell the difference.
   */
  applyLate(): void {
    this.#late.flush()
  }

  /** Writes to the index some of the votes that came first, in a group that is to be left open. */
  applySomeLate(countMax: number): void {
    this.#late.flushSome(countMax)
  }

  /** Resolves when the votes that are not in the index are on the disk. */
  syncVotes(): Promise<void> {
    return this.#late.sync()
  }

  /** Whether what is in the index tells of this transaction, or of what became of it. */
  knows(id: Version): boolean {
    return this.#transactions.knows(id)
  }

  /**
   * Takes in a vote from the log of a process that was ended, perhaps before it could write it to the index.
   */
  restoreVote({ id, settles, body }: Pick<Request<'commit'>, 'id' | 'settles' | 'body'>): void {
    // As when it was given: it may rely on them.
    for (const decision of settles) this.#transactions.decide(decision)
    if (this.#transactions.knows(id)) return
    this.#transactions.keep({ ...unknown, id, body, yes: true })
    this.#transactions.locks.take(id, body)
  }

  /**
   * Votes on a transaction. A yes is recorded with its locks; a no leaves nothing behind. With `late` a yes is
   * only logged, and written to the index by `applyLate`.
   */
  commit(request: Omit<Request<'commit'>, 'pieces'>, late?: BufferedVote): CommitReply {
    assert.equal(this.state, 'voting')
    const { id, settles } = request
    assertDecisions(settles)
    this.#late.flushUnlogged()
    for (const decision of settles) this.#settle(decision, late !== undefined)
    try {
      return this.#vote(request, late)
    } finally {
      this.#late.flushWithout(id)
    }
  }

  #settle(decision: Decision, isLate: boolean): void {
    if (this.#comesTooSoon(decision)) return
    if (isLate) {
      this.#late.settle(decision)
      return
    }
    this.applyLate()
    this.#transactions.decide(decision)
  }

  #vote(
    { id, epoch, body }: Omit<Request<'commit'>, 'pieces' | 'settles'>,
    late: BufferedVote | undefined,
  ): CommitReply {
    const refuse = (outcome: CommitReply['outcome'], why: Refusal = {}): CommitReply => ({
      stamp: this.stamp(),
      outcome,
      by: noVersion,
      key: '',
      hint: noVersion,
      ...why,
    })
    const known = this.#transactions.undecided(id)
    if (known === undefined) {
      const decided = this.#transactions.decisionOf(id)
      if (decided !== undefined) return refuse(decided ? 'committed' : 'aborted')
    } else {
      return refuse(known.yes ? 'yes' : 'promised')
    }
    assertWellFormed(body)
    if (epoch < this.#accountState.epoch) return refuse('epoch')
    if (id <= this.#accountState.fence) return refuse('fence', { hint: this.#accountState.fence })
    const by = this.#transactions.locks.blocker(id, body)
    if (by !== undefined) return refuse('locked', { by })
    for (const { key, absent, version } of body.preconditions) {
      const register = this.#late.register(key)
      if (absent && register.value === null) {
        if (register.version > version && register.version > this.#accountState.fence) {
          return refuse('conflict', { key, hint: register.version })
        }
      } else if (absent || register.version !== version) {
        const stale = register.version < version
        return refuse(stale ? 'stale' : 'conflict', { key, hint: register.version })
      }
      if (id <= register.version) return refuse('conflict', { key, hint: register.version })
    }
    let newest = noVersion
    for (const { version } of body.preconditions) newest = laterOf(newest, version)
    this.#accountState.assertNotAhead(id, newest)
    // What is derived from registers is in the index only. The transaction may remove the last names itself.
    if (body.emptyFolders.length > 0) this.applyLate()
    for (const folder of body.emptyFolders) {
      const name = this.#nameLeft(folder, body)
      if (name !== undefined) return refuse('notEmpty', { key: entryKey(folder, name) })
    }
    this.#transactions.assertRoom()
    assert(id > this.#accountState.floor, 'a vote on what all four servers agree on')
    if (late !== undefined) {
      this.#late.add(id, body, late)
    } else {
      this.#transactions.keep({ ...unknown, id, body, yes: true })
      this.#transactions.locks.take(id, body)
    }
    return refuse('yes')
  }

  /** Finds a name that the folder has once the transaction is done, if it has any. */
  #nameLeft(folder: number, { writes }: Transaction): string | undefined {
    const removed = new Set<string>()
    for (const { key, value } of writes) {
      const parsed = parseKey(key)
      if (parsed.kind !== 'entry' || parsed.parent !== folder) continue
      if (value !== null) return parsed.name
      removed.add(parsed.name)
    }
    if (this.#index.folders.get(folder).live === 0) return undefined
    const names = this.#index.registers.liveNames(folder, removed.size + 1)
    return names.find((name) => !removed.has(name))
  }

  /** Whether a decision is a commit that this server did not vote for, and would not have voted for either. */
  #comesTooSoon({ id, commit }: Decision): boolean {
    return (
      commit &&
      this.#transactions.undecided(id) === undefined &&
      this.#accountState.isAhead(id) &&
      this.#accountState.isAhead(id, this.#index.registers.newest())
    )
  }

  /** The outcome of a transaction that is not in doubt here; undefined when this server knows nothing of it. */
  #outcomeOf(id: Version): 'committed' | 'aborted' | 'forgotten' | undefined {
    const decided = this.#transactions.decisionOf(id)
    if (decided !== undefined) return decided ? 'committed' : 'aborted'
    return id <= this.#accountState.floor ? 'forgotten' : undefined
  }

  prepare({ id, ballot }: Request<'prepare'>): Reply<'prepare'> {
    const known = this.#transactions.undecided(id)
    const answer = (
      outcome: Reply<'prepare'>['outcome'],
      record: Omit<InDoubt, 'id'> = unknown,
    ): Reply<'prepare'> => ({
      stamp: this.stamp(),
      outcome,
      ballot: record.promised,
      yes: record.yes,
      everAcceptedCommit: record.everCommit,
      acceptedBallot: record.accepted,
      acceptedCommit: record.acceptedCommit,
      body: record.body,
    })
    const over = known === undefined ? this.#outcomeOf(id) : undefined
    if (over !== undefined) return answer(over)
    if (known === undefined) this.#transactions.assertRoom()
    const record = known ?? { ...unknown, id }
    if (ballot <= record.promised) return answer('refused', record)
    this.#transactions.keep({ ...record, promised: ballot })
    this.#index.syncBeforeReply()
    return answer('promised', { ...record, promised: ballot })
  }

  accept({ id, ballot, commit, body: sent }: Request<'accept'>): Reply<'accept'> {
    const known = this.#transactions.undecided(id)
    const answer = (
      outcome: Reply<'accept'>['outcome'],
      why: Partial<Pick<Reply<'accept'>, 'ballot' | 'by'>> = {},
    ): Reply<'accept'> => ({
      stamp: this.stamp(),
      outcome,
      ballot: known?.promised ?? 0,
      by: noVersion,
      body: null,
      ...why,
    })
    const over = known === undefined ? this.#outcomeOf(id) : undefined
    if (over !== undefined) return answer(over)
    const record = known ?? { ...unknown, id }
    if (ballot < record.promised) return answer('refused')
    const body = record.body ?? sent
    // What is known in full can always be finished: that makes room.
    if (known === undefined || (known.body === null && sent !== null))
      this.#transactions.assertRoom()
    if (commit) {
      if (body === null) throw new DfsError('protocol', 'a commit needs its transaction')
      assertWellFormed(body)
      const by = this.#transactions.locks.blocker(id, body)
      if (by !== undefined) return answer('locked', { by })
    }
    this.#transactions.keep({
      ...record,
      body,
      promised: ballot,
      accepted: ballot,
      acceptedCommit: commit,
      everCommit: record.everCommit || commit,
    })
    if (commit && body !== null) this.#transactions.locks.take(id, body)
    this.#index.syncBeforeReply()
    return answer('accepted')
  }

  decide({ decisions }: Request<'decide'>): Reply<'decide'> {
    assertDecisions(decisions)
    const known = decisions.map(
      (decision) => !this.#comesTooSoon(decision) && this.#transactions.decide(decision),
    )
    return { stamp: this.stamp(), known }
  }
}
