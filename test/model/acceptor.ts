/** The server's side of the rules: what a server answers to each message, and what it records before. */
import type { Context } from './context.js'
import type {
  AcceptMessage,
  Answer,
  CommitMessage,
  FillMessage,
  Message,
  PrepareMessage,
  RaiseFenceMessage,
  RestoreMessage,
} from './messages.js'
import type { ServerState, TransactionRecord } from './server-state.js'
import {
  aheadMax,
  type Key,
  type Precondition,
  type Register,
  type TransactionId,
  timeOf,
  type Version,
} from './vocabulary.js'

export class Acceptor {
  readonly #context: Context
  readonly #state: ServerState

  constructor(context: Context, state: ServerState) {
    this.#context = context
    this.#state = state
  }

  /** A blank server takes part in nothing but its fill. */
  answer(message: Message): Answer {
    if (message.kind === 'fillStart') return this.#fillStart(message.epoch)
    if (message.kind === 'fill') return this.#fill(message)
    return this.#state.isBlank ? {} : this.#answerVoting(message)
  }

  #answerVoting(message: Exclude<Message, FillMessage | { kind: 'fillStart' }>): Answer {
    switch (message.kind) {
      case 'read':
        return this.#read(message.key)
      case 'commit':
        return this.#commit(message)
      case 'prepare':
        return this.#prepare(message)
      case 'accept':
        return this.#accept(message)
      case 'decide': {
        const answer = this.#state.decide(message)
        if (!this.#context.rules.floor && message.knownBy) {
          this.#state.noteKnownBy(message.id, message.knownBy)
        }
        return answer
      }
      case 'vote':
        return this.#vote(message.id)
      case 'install':
        return this.#install(message.key, message)
      case 'rotten':
        return { keys: this.#restorable(), mark: this.#state.changesSkipped }
      case 'restore':
        return this.#restore(message)
      case 'survey':
        return this.#survey(message.withRegisters)
      case 'raiseEpoch':
        this.#state.epoch = Math.max(this.#state.epoch, message.epoch)
        return { isDone: true }
      case 'raiseFence':
        return this.#raiseFence(message)
      case 'raiseFloor':
        return this.#raiseFloor(message.floor, message.incarnation)
    }
  }

  #read(key: Key): Answer {
    if (this.#state.rotten.has(key)) return { isRotten: true }
    const lockedBy = this.#state.locks.get(key)
    const body = lockedBy && this.#state.records.get(lockedBy)?.body
    return {
      ...this.#state.register(key),
      lockedBy,
      body: body || undefined,
      fence: this.#state.fence,
    }
  }

  /** The first case that fits, in the order of decision 0001. */
  #commit(message: CommitMessage): Answer {
    for (const { id, body } of message.decided) this.#state.decide({ id, decision: 'commit', body })
    const refused =
      this.#knownVote(this.#state.records.get(message.id)) ??
      this.#refusalByAge(message) ??
      this.#refusalByLocks(message) ??
      this.#refusalByPreconditions(message) ??
      this.#refusalByClock(message) ??
      this.#refusalByEntries(message)
    if (refused) return refused
    const record = this.#state.recordOf(message.id)
    record.yes = true
    record.body = message.body
    this.#state.lock(message.id, message.body)
    return { yes: true }
  }

  #knownVote(record: TransactionRecord | undefined): Answer | undefined {
    if (record?.decision) return { decision: record.decision }
    if (record?.yes) return { yes: true }
    return record && record.promisedTo > 0 ? { refusal: 'promised' } : undefined
  }

  #refusalByAge({ id, epoch }: CommitMessage): Answer | undefined {
    const { rules } = this.#context
    if (rules.epochBeforeFill && epoch < this.#state.epoch) return { refusal: 'epoch' }
    const { fence } = this.#state
    return rules.floor && id <= fence ? { refusal: 'fence', above: fence } : undefined
  }

  #refusalByLocks({ id, body }: CommitMessage): Answer | undefined {
    const lockedBy = this.#state.blockerOf(id, body)
    return lockedBy ? { refusal: 'locked', lockedBy } : undefined
  }

  #refusalByPreconditions({ id, body }: CommitMessage): Answer | undefined {
    for (const [key, precondition] of body.preconditions) {
      if (this.#state.rotten.has(key)) return { isRotten: true }
      const { version } = this.#state.register(key)
      const refused = precondition.isAbsent
        ? this.#refusalOfAbsent(key, precondition)
        : this.#refusalOfVersion(key, precondition)
      if (refused) return refused
      if (this.#context.rules.idAboveReplaced && id <= version) return conflict(version)
    }
    return undefined
  }

  /** "Absent" matches no live value, with a tombstone not newer than the one read, or than the fence. */
  #refusalOfAbsent(key: Key, { version: read }: Precondition): Answer | undefined {
    const { version, value } = this.#state.register(key)
    if (value !== null) return version < read ? { refusal: 'stale', key } : { refusal: 'conflict' }
    const isNewer = version > read && version > this.#state.fence
    return isNewer && this.#context.rules.idAboveReplaced ? conflict(version) : undefined
  }

  #refusalOfVersion(key: Key, { version: read }: Precondition): Answer | undefined {
    const { version } = this.#state.register(key)
    if (version === read) return undefined
    return version < read ? { refusal: 'stale', key } : conflict(version)
  }

  #refusalByClock({ id, body }: CommitMessage): Answer | undefined {
    const read = [...body.preconditions.keys()].map((key) => this.#state.register(key).version)
    return this.#state.isAhead(id, Math.max(0, ...read)) ? { refusal: 'clock' } : undefined
  }

  #refusalByEntries({ body: { mustBeEmpty, writes } }: CommitMessage): Answer | undefined {
    for (const key of mustBeEmpty) {
      if (this.#state.rotten.has(key)) return { isRotten: true }
      const isLeftAlive = this.#state.register(key).value !== null && writes.get(key) !== null
      if (isLeftAlive && this.#context.rules.emptyFolderChecked) return { refusal: 'notEmpty', key }
    }
    return undefined
  }

  /** A promise also makes the record that keeps a late commit out. */
  #prepare({ id, ballot }: PrepareMessage): Answer {
    if (this.#state.isForgotten(id)) return { isForgotten: true }
    const record = this.#state.recordOf(id)
    const { yes, body, decision, accepted, everAcceptedCommit } = record
    if (decision) return { decision, body }
    if (ballot <= record.promisedTo) return { promisedTo: record.promisedTo }
    record.promisedTo = ballot
    return { isPromised: true, yes, everAcceptedCommit, accepted, body }
  }

  #accept({ id, ballot, decision, body }: AcceptMessage): Answer {
    if (this.#state.isForgotten(id)) return { isForgotten: true }
    const record = this.#state.recordOf(id)
    if (record.decision) return { decision: record.decision, body: record.body }
    if (ballot < record.promisedTo) return { promisedTo: record.promisedTo }
    const committed = decision === 'commit' ? (record.body ?? body) : undefined
    if (decision === 'commit' && !committed) return { refusal: 'refused' }
    const lockedBy = committed && this.#state.blockerOfAccept(id, committed)
    if (lockedBy && this.#context.rules.acceptMeetsLocks) return { refusal: 'locked', lockedBy }
    record.promisedTo = ballot
    record.accepted = { ballot, decision }
    record.body ??= body
    if (committed) {
      record.everAcceptedCommit = true
      this.#state.lock(id, committed)
    }
    return { isAccepted: true }
  }

  #vote(id: TransactionId): Answer {
    const record = this.#state.records.get(id)
    if (!record) return { yes: false }
    const { yes, decision, body } = record
    return { yes: yes && decision !== 'abort', decision, body }
  }

  #install(key: Key, { version, value }: Register): Answer {
    if (this.#state.isAhead(version, this.#state.highestVersion)) return { refusal: 'clock' }
    this.#state.write(key, version, value)
    return { isDone: true }
  }

  /** The rotten registers about which nothing is being decided. */
  #restorable(): readonly Key[] {
    return [...this.#state.rotten].filter((key) => !this.#isHeldByLock(key))
  }

  #isHeldByLock(key: Key): boolean {
    return this.#context.rules.restoreMeetsLocks && this.#state.locks.has(key)
  }

  /** What was restored is what the others had when this server was asked: it must still be so. */
  #restore({ key, version, value, mark }: RestoreMessage): Answer {
    const isOld = this.#context.rules.restoreMarked && mark !== this.#state.changesSkipped
    if (!this.#state.rotten.has(key) || isOld || this.#isHeldByLock(key)) {
      return { refusal: 'refused' }
    }
    this.#state.rotten.delete(key)
    this.#state.registers.delete(key)
    if (version > 0) this.#state.registers.set(key, { version, value })
    this.#context.counts.restored += 1
    return { isDone: true }
  }

  #survey(withRegisters: boolean): Answer {
    const { records, registers, rotten, floor, fence } = this.#state
    const surveyed = [...records.values()].map(({ id, decision, body, createdAt }) => {
      return { id, decision, body, createdAt }
    })
    if (!withRegisters) return { records: surveyed, floor, fence }
    const readable = new Map([...registers].filter(([key]) => !rotten.has(key)))
    return { records: surveyed, registers: readable, floor, fence }
  }

  #raiseFence({ fence, isAgreed = false }: RaiseFenceMessage): Answer {
    const { behindOutvoted, loneFenceTakenBack } = this.#context.rules
    const isOutvoted = behindOutvoted && isAgreed
    if (this.#state.isAhead(fence) && !isOutvoted) return { refusal: 'clock' }
    if (loneFenceTakenBack && isAgreed && this.#isFenceWrong(fence)) this.#state.lowerFence(fence)
    else this.#state.fence = Math.max(this.#state.fence, fence)
    return { isDone: true }
  }

  /** Whether the fence here is far above one of now, by this clock as well. */
  #isFenceWrong(fence: Version): boolean {
    const isFar = timeOf(this.#state.fence) > timeOf(fence) + aheadMax
    return isFar && this.#state.isPresent(fence)
  }

  #raiseFloor(floor: Version, incarnation: number): Answer {
    const isOther = incarnation !== this.#state.incarnation
    if (isOther || this.#state.isAhead(floor)) return { refusal: 'refused' }
    this.#state.raiseFloor(floor)
    return { isDone: true }
  }

  #fillStart(epoch: number): Answer {
    if (!this.#state.isBlank) return { refusal: 'refused' }
    const { fillEpoch } = this.#state
    if (this.#context.rules.fillEpochs && epoch <= fillEpoch)
      return { refusal: 'refused', fillEpoch }
    this.#state.fillEpoch = epoch
    return { isDone: true }
  }

  #fill({ epoch, registers, end }: FillMessage): Answer {
    const isCurrent = this.#state.isBlank && epoch === this.#state.fillEpoch
    if (this.#context.rules.fillEpochs && !isCurrent) return { refusal: 'refused' }
    for (const [key, { version, value }] of registers) this.#state.write(key, version, value)
    if (!end) return { isDone: true }
    if (!this.#state.isBlank) return { refusal: 'refused' }
    this.#endFill(epoch, end)
    return { isDone: true }
  }

  #endFill(epoch: number, { records, floor, fence }: NonNullable<FillMessage['end']>): void {
    for (const { id, body, decision } of records) {
      const record = this.#state.recordOf(id)
      if (record.decision || !decision) continue
      record.body = body
      record.decision = decision
    }
    this.#state.floor = Math.max(this.#state.floor, floor)
    this.#state.fence = Math.max(this.#state.fence, fence)
    this.#state.epoch = Math.max(this.#state.epoch, epoch)
    this.#state.isBlank = false
    this.#context.trace?.(`server ${this.#state.serverIndex} is filled, epoch ${epoch}`)
  }
}

function conflict(above: Version): Answer {
  return { refusal: 'conflict', above }
}
