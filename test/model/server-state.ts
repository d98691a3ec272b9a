/** The state that a server keeps on its disk: registers, records of transactions, and the locks that follow. */
import type { Context } from './context.js'
import type { Accepted, Answer, DecideMessage } from './messages.js'
import {
  aheadMax,
  type Body,
  type Decision,
  type Key,
  nothing,
  type Register,
  serverCount,
  type TransactionId,
  timeOf,
  type Value,
  type Version,
} from './vocabulary.js'

export interface TransactionRecord {
  readonly id: TransactionId
  readonly createdAt: number
  body: Body | undefined
  yes: boolean
  promisedTo: number
  accepted: Accepted | undefined
  everAcceptedCommit: boolean
  decision: Decision | undefined
  /** Without the floor: a bit for each server that is known to have the decision. */
  knownBy: number
}

const knownByAll = 2 ** serverCount - 1

export class ServerState {
  readonly serverIndex: number
  incarnation: number
  readonly registers = new Map<Key, Register>()
  readonly records = new Map<TransactionId, TransactionRecord>()
  /** Registers whose stored bytes are damaged. */
  readonly rotten = new Set<Key>()
  /** How many changes were not made because their register had rotted. */
  changesSkipped = 0
  isBlank = true
  epoch = 0
  fillEpoch = 0
  fence: Version = 0
  floor: Version = 0
  readonly #context: Context
  readonly #clock: () => number
  readonly #exclusiveLocks = new Map<Key, TransactionId>()
  readonly #sharedLocks = new Map<Key, Set<TransactionId>>()

  constructor(serverIndex: number, context: Context, clock: () => number) {
    this.serverIndex = serverIndex
    this.#context = context
    this.#clock = clock
    this.incarnation = context.nextIncarnation()
  }

  get locks(): ReadonlyMap<Key, TransactionId> {
    return this.#exclusiveLocks
  }

  register(key: Key): Register {
    return this.registers.get(key) ?? nothing
  }

  /** Writes what is newer, and what is absent only above the floor. */
  write(key: Key, version: Version, value: Value): void {
    const { rules } = this.#context
    if (this.rotten.has(key)) {
      if (rules.rottenNotWritten) {
        this.changesSkipped += 1
        return
      }
      this.rotten.delete(key)
      this.registers.delete(key)
    }
    const isAboveFloor = !rules.floor || this.registers.has(key) || version > this.floor
    if (version > this.register(key).version && isAboveFloor) {
      this.registers.set(key, { version, value })
      if (this.#context.liar !== this.serverIndex) {
        this.#context.history.noteHeld(this.serverIndex, key, version)
      }
    }
  }

  /** Whether a version is too far ahead of the clock here, and not just above `held` or the fence. */
  isAhead(version: Version, held: Version = 0): boolean {
    const { rules, isTimeBounded } = this.#context
    if (!isTimeBounded || !rules.aheadRefused) return false
    const here = rules.justAboveTaken
      ? timeOf(Math.max(this.fence, held))
      : Number.NEGATIVE_INFINITY
    return timeOf(version) > aheadMax + Math.max(this.#clock(), here)
  }

  /** Whether the clock here shows about the time of a version. */
  isPresent(version: Version): boolean {
    return Math.abs(timeOf(version) - this.#clock()) <= aheadMax
  }

  /** Gives up a fence from the future; who has counted on it sees a new incarnation. */
  lowerFence(fence: Version): void {
    this.fence = Math.max(fence, this.floor)
    this.incarnation = this.#context.nextIncarnation()
  }

  get highestVersion(): Version {
    let highest = 0
    for (const { version } of this.registers.values()) highest = Math.max(highest, version)
    return highest
  }

  isForgotten(id: TransactionId): boolean {
    return this.#context.rules.floor && id <= this.floor && !this.records.has(id)
  }

  /** The record of a transaction, which is made if there is none. */
  recordOf(id: TransactionId): TransactionRecord {
    const known = this.records.get(id)
    if (known) return known
    const record: TransactionRecord = {
      id,
      createdAt: this.#context.events.now,
      body: undefined,
      yes: false,
      promisedTo: 0,
      accepted: undefined,
      everAcceptedCommit: false,
      decision: undefined,
      knownBy: 0,
    }
    this.records.set(id, record)
    return record
  }

  /** Locks written keys exclusively, and keys that are only preconditions shared. */
  lock(id: TransactionId, { writes, preconditions }: Body): void {
    for (const key of writes.keys()) this.#exclusiveLocks.set(key, id)
    if (!this.#context.rules.sharedLocks) return
    for (const key of preconditions.keys()) {
      if (writes.has(key)) continue
      const holders = this.#sharedLocks.get(key) ?? new Set()
      this.#sharedLocks.set(key, holders.add(id))
    }
  }

  unlock(id: TransactionId): void {
    for (const [key, holder] of this.#exclusiveLocks) {
      if (holder === id) this.#exclusiveLocks.delete(key)
    }
    for (const holders of this.#sharedLocks.values()) holders.delete(id)
  }

  /** Another transaction with a lock that conflicts with those which this one needs. */
  blockerOf(id: TransactionId, { writes, preconditions }: Body): TransactionId | undefined {
    for (const key of preconditions.keys()) {
      const holder = this.#exclusiveLocks.get(key)
      if (holder && holder !== id && this.#isInTheWay(holder, writes.has(key))) return holder
      if (!writes.has(key)) continue
      for (const sharer of this.#sharedLocks.get(key) ?? []) if (sharer !== id) return sharer
    }
    return undefined
  }

  /** Without shared locks, a key that is only a precondition is blocked by a yes alone. */
  #isInTheWay(holder: TransactionId, isWritten: boolean): boolean {
    return this.#context.rules.sharedLocks || isWritten || this.records.get(holder)?.yes === true
  }

  /** Another transaction that keeps this one from being accepted as committed. */
  blockerOfAccept(id: TransactionId, body: Body): TransactionId | undefined {
    if (this.#context.rules.sharedLocks) return this.blockerOf(id, body)
    for (const key of body.writes.keys()) {
      const holder = this.#exclusiveLocks.get(key)
      if (holder && holder !== id) return holder
    }
    return undefined
  }

  /** Takes a decision, the first of which wins, and applies what a commit writes. */
  decide(message: Omit<DecideMessage, 'kind' | 'knownBy'>): Answer {
    const { id, decision, body } = message
    const isCommit = decision === 'commit'
    if (this.isForgotten(id)) return { isForgotten: true }
    if (isCommit && !this.records.has(id) && this.isAhead(id, this.highestVersion)) {
      return { refusal: 'clock' }
    }
    const record = this.recordOf(id)
    if (record.decision) return this.#decideAgain(record, record.decision, decision)
    if (isCommit && !record.body && !body && !message.isInstalled) {
      if (record.promisedTo === 0) this.records.delete(id)
      return { refusal: 'refused' }
    }
    this.unlock(id)
    record.decision = decision
    record.body ??= body
    if (isCommit) this.#applyCommit(record)
    if (this.#context.rules.bodilessRecords) record.body = undefined
    return { isDone: true, decision }
  }

  #decideAgain(record: TransactionRecord, known: Decision, told: Decision): Answer {
    const { rules, liar, areVotesLies } = this.#context
    const isOurs = liar !== this.serverIndex && !areVotesLies
    if (known !== told && rules.ballots && isOurs) {
      const text = `split: server ${this.serverIndex} has ${record.id}=${known}, told ${told}`
      this.#context.history.noteViolation(text)
    }
    return { isDone: true, decision: known }
  }

  #applyCommit({ id, body }: TransactionRecord): void {
    this.#context.history.noteDecided(id)
    for (const [key, value] of body?.writes ?? []) this.write(key, id, value)
  }

  /** Without the floor: drops a record, and the tombstones that it wrote, once all servers have it. */
  noteKnownBy(id: TransactionId, servers: number): void {
    const record = this.records.get(id)
    if (!record) return
    record.knownBy |= servers
    if (record.knownBy !== knownByAll || record.decision !== 'commit') return
    for (const key of record.body?.writes.keys() ?? []) {
      const { value, version } = this.register(key)
      if (value === null && version === id) this.registers.delete(key)
    }
    this.records.delete(id)
  }

  /** Drops the records and the tombstones up to the floor. */
  raiseFloor(floor: Version): void {
    this.floor = Math.max(this.floor, floor)
    this.fence = Math.max(this.fence, floor)
    for (const [id, record] of this.records) if (id <= floor) this.#forget(record)
    for (const [key, { value, version }] of this.registers) {
      if (value === null && version <= floor) this.registers.delete(key)
    }
  }

  #forget({ id, decision, yes }: TransactionRecord): void {
    const { liar, areVotesLies } = this.#context
    if (!decision && yes && liar !== this.serverIndex && !areVotesLies) {
      this.#context.history.noteViolation(`floor drops undecided ${id} on ${this.serverIndex}`)
    }
    this.unlock(id)
    this.records.delete(id)
  }
}
