/**
 * The server's side of the quorum for one account: votes on transactions, takes part in ballots,
 * applies decisions, and answers reads. Each rule here has its reason in the table of the decision
 * record "replication rules"; change one only after the model has been changed and run.
 */
import type { Random } from '../clock.js'
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import { notice } from '../log.js'
import { decode, encode } from '../wire/codec.js'
import type { Decision, Listed, Reply, Request, Seen, SeenInode, Stamp } from '../wire/messages.js'
import {
  decodeEntry,
  decodeInode,
  encodeEntry,
  entryKey,
  fileType,
  inodeKey,
  type Key,
  modeOfInode,
  parseKey,
  type Transaction,
  transactionCodec,
  typeOf,
} from '../wire/records.js'
import { laterOf, noVersion, type Version } from '../wire/version.js'
import type { AccountIndex } from './index.js'
import { Locks } from './locks.js'
import type { StoredRegister } from './recent-registers.js'
import { type Undecided, UndecidedRecords } from './undecided-records.js'
import { MemoryVoteLog, type VoteLog } from './vote-log.js'

export type AccountState = Reply<'status'>['state']

/** What a vote needs to be logged now and written to the index later. */
export interface LateVote {
  /** The request, for the log. */
  readonly entry: Buffer
  /** Writes the pieces that came with it to the index, but for those that need not be there. */
  readonly store: (without: Decision['spares']) => void
}

interface Vote extends LateVote {
  readonly id: Version
  readonly body: Transaction
  readonly isLogged: boolean
}

type CommitReply = Reply<'commit'>
type Refusal = Partial<Pick<CommitReply, 'by' | 'key' | 'hint'>>

const folderType = fileType.folder >> 12

export class Acceptor {
  readonly #index: AccountIndex
  readonly #locks = new Locks()
  readonly #undecided = new UndecidedRecords()
  readonly #log: VoteLog
  /** Votes that are in the log and not in the index yet, and those that the running group gave. */
  #votes: Vote[] = []
  #newVotes: Vote[] = []
  /** Decisions that came with commits and are not in the index yet. */
  #decisions = new Map<Version, Decision>()
  /** What they make of registers. */
  readonly #ahead = new Map<Key, StoredRegister>()
  /** Those of them that came in the running group: they are not in the log yet. */
  #newDecisions: Version[] = []
  /** Some are not in the log and will not be: nothing may be voted for that relies on them. */
  #mustApply = false
  /** What the running group has written to the index, in case it is undone. */
  #applied: { readonly votes: Vote[]; readonly decisions: Decision[] } | undefined
  #state: AccountState = 'blank'
  #epoch = 0
  /** The epoch of the fill that may go on. */
  #session = 0
  #incarnation = 0
  #fence = noVersion
  #floor = noVersion
  /** Changes whenever something is decided about a register that has rotted. */
  #rotMark: number

  constructor(index: AccountIndex, random: Random, log: VoteLog = new MemoryVoteLog()) {
    this.#index = index
    this.#log = log
    // So that none from before a restart is taken for one of now.
    this.#rotMark = index.now() % 2 ** 32
    index.onRollback(() => this.#undo())
    index.onCommit(() => this.#logVotes())
    if (index.state('incarnation') === undefined) {
      index.group(() => {
        index.setState('incarnation', random.bytes(6).readUIntBE(0, 6))
        index.setState('state', 'blank')
        index.setState('epoch', 0)
        index.setState('session', 0)
        index.setState('fence', noVersion)
        index.setState('floor', noVersion)
        index.syncBeforeReply()
      })
    }
    this.#load()
  }

  /** Only an account that is `voting` votes, counts and answers reads. */
  get state(): AccountState {
    return this.#state
  }

  /** Up to this version all four servers are known to agree. */
  get floor(): Version {
    return this.#floor
  }

  stamp(): Stamp {
    return { epoch: this.#epoch, incarnation: this.#incarnation, fence: this.#fence }
  }

  counts(): { readonly registers: number; readonly undecided: number } {
    return { registers: this.#index.registerTotal(), undecided: this.#undecided.size }
  }

  // -- the account's beginning -------------------------------------------------------------------

  /**
   * Begins a new account. The incarnations are those of all four servers, all blank when they were
   * read, so a server that was wiped since then is not meant and stays blank.
   */
  found({ incarnations }: Request<'found'>): Reply<'found'> {
    if (!incarnations.includes(this.#incarnation) || incarnations.length !== limits.serverCount) {
      throw new DfsError('blank', 'this account has begun anew since then')
    }
    if (this.#state === 'blank') this.#become('voting')
    return { stamp: this.stamp() }
  }

  // -- reads -------------------------------------------------------------------------------------

  lookup({ parent, names }: Request<'lookup'>): Reply<'lookup'> {
    this.#assertFilled()
    const steps: { entry: Seen; inode: SeenInode | null }[] = []
    let folder = parent
    for (const name of names) {
      const entry = this.#seen(entryKey(folder, name), this.#index.entry(folder, name))
      if (entry.value === null) {
        steps.push({ entry, inode: null })
        break
      }
      const { ino, type } = decodeEntry(entry.value)
      steps.push({ entry, inode: this.#seenInode(ino) })
      if (type !== folderType) break
      folder = ino
    }
    return { stamp: this.stamp(), steps }
  }

  list({ folder, after, entriesMax, withHeldPieces }: Request<'list'>): Reply<'list'> {
    this.#assertFilled()
    const wanted = Math.min(entriesMax, limits.listEntriesMax)
    const stored = this.#index.entries(folder, after, wanted + 1, limits.listBytesMax)
    const entries: Listed[] = []
    let bytes = 0
    for (const row of stored.slice(0, wanted)) {
      const value = row.ino === null ? null : { ino: row.ino, type: row.type }
      const register = { version: row.version, value: value && encodeEntry(value) }
      const inode = value === null ? null : this.#summarised(value.ino, row.inode)
      const held = withHeldPieces ? this.#heldOf(row.inode.value) : noBytes
      entries.push({
        name: row.name,
        entry: this.#seen(entryKey(folder, row.name), register),
        inode,
        held,
      })
      bytes += row.name.length + (row.inode.value?.length ?? 0) + held.length + 96
      if (bytes > limits.listBytesMax) break
    }
    // A page that is full of bytes may have been read no further than it goes.
    const more = entries.length < stored.length || bytes > limits.listBytesMax
    const listed = this.#withLockedNames(folder, after, entries, more)
    return { stamp: this.stamp(), folder: this.#seenInode(folder), entries: listed, more }
  }

  read({ keys }: Request<'read'>): Reply<'read'> {
    this.#assertFilled()
    let bytes = 0
    const registers = keys.map((key) => {
      const parsed = parseKey(key)
      if (parsed.kind === 'inode') {
        const inode = this.#seenInode(parsed.ino)
        bytes += inode.register.value?.length ?? 0
        // No frame could hold the reply: nothing more is read for it.
        if (bytes > limits.frameBytesMax) throw new DfsError('protocol', 'too much asked at once')
        return inode
      }
      const register = this.#seen(key, this.#index.entry(parsed.parent, parsed.name))
      return { register, folder: null }
    })
    return { stamp: this.stamp(), registers }
  }

  // -- transactions ------------------------------------------------------------------------------

  /** How much waits for `applyLate`. */
  get lateCount(): number {
    return this.#votes.length + this.#decisions.size
  }

  /**
   * Writes to the index what was only logged, and the decisions that came with commits: a moment after
   * the votes that clients wait for, and many at once. To be called, inside a group, before anything
   * that could tell the difference.
   */
  applyLate(): void {
    if (this.#newVotes.length > 0 || this.lateCount > 0) this.#apply()
  }

  /** Resolves when the votes that are not in the index are on the disk. */
  syncVotes(): Promise<void> {
    return this.#log.sync()
  }

  #apply(): void {
    if (this.#log.dropsSynced) this.#index.syncBeforeReply()
    const votes = [...this.#votes, ...this.#newVotes]
    const decisions = [...this.#decisions.values()]
    this.#votes = []
    this.#newVotes = []
    this.#decisions.clear()
    this.#ahead.clear()
    this.#applied ??= { votes: [], decisions: [] }
    this.#applied.votes.push(...votes)
    this.#applied.decisions.push(...decisions)
    const decided = new Map(decisions.map(({ id, spares }) => [id, spares]))
    for (const { id, store } of votes) {
      const spares = decided.get(id)
      store(spares ?? none)
      const record = this.#undecided.get(id)
      if (record !== undefined && spares === undefined) this.#put(record)
    }
    const voted = new Set(votes.map(({ id }) => id))
    for (const decision of decisions) {
      this.#decide(voted.has(decision.id) ? { ...decision, spares: none } : decision)
    }
  }

  /** The running group is stored. */
  #logVotes(): void {
    if (this.#applied !== undefined) {
      this.#applied = undefined
      this.#mustApply = false
      this.#log.clear()
    }
    this.#newDecisions = []
    if (this.#newVotes.length === 0) return
    this.#log.append(this.#newVotes.map(({ entry }) => entry))
    for (const vote of this.#newVotes) this.#votes.push({ ...vote, isLogged: true })
    this.#newVotes = []
  }

  /** The running group is undone: what was logged before is as it was. */
  #undo(): void {
    const { votes, decisions } = this.#applied ?? { votes: [], decisions: [] }
    this.#votes = [...votes.filter(({ isLogged }) => isLogged), ...this.#votes]
    const open = [...decisions, ...this.#decisions.values()]
    this.#newVotes = []
    this.#applied = undefined
    this.#mustApply ||= this.#newDecisions.length > 0
    this.#newDecisions = []
    this.#load()
    for (const { id, body } of this.#votes) this.#hold({ ...unknown, id, body, yes: true })
    this.#decisions.clear()
    this.#ahead.clear()
    for (const decision of open) this.#decideAhead(decision)
  }

  /** Whether what is in the index tells of this transaction, or of what became of it. */
  knows(id: Version): boolean {
    return (
      this.#undecided.get(id) !== undefined ||
      this.#decisionOf(id) !== undefined ||
      id <= this.#floor
    )
  }

  /**
   * A vote from the log of a process that was ended, perhaps before it could write it to the index.
   */
  restoreVote({ id, settles, body }: Pick<Request<'commit'>, 'id' | 'settles' | 'body'>): void {
    // As when it was given: it may rely on them.
    for (const decision of settles) this.#decide(decision)
    if (this.knows(id)) return
    this.#keep({ ...unknown, id, body, yes: true })
    this.#locks.take(id, body)
  }

  /**
   * The vote. A yes is recorded with its locks; a no leaves nothing behind. With `late` a yes is only
   * logged, and written to the index by `applyLate`.
   */
  commit(request: Omit<Request<'commit'>, 'pieces'>, late?: LateVote): CommitReply {
    this.#assertFilled()
    const { id, settles } = request
    assertDecisions(settles)
    if (this.#mustApply) this.applyLate()
    for (const decision of settles) this.#settle(decision, late !== undefined)
    try {
      return this.#vote(request, late)
    } finally {
      // The log has the decisions with this vote. Without it they must not wait.
      if (this.#newDecisions.length > 0 && this.#newVotes.at(-1)?.id !== id) this.applyLate()
    }
  }

  #settle(decision: Decision, isLate: boolean): void {
    const isRepeated = decision.commit && this.#decisions.has(decision.id)
    if (isLate && isRepeated && decision.spares.length === 0) return
    if (isLate && this.#decideAhead(decision)) {
      this.#newDecisions.push(decision.id)
      return
    }
    this.applyLate()
    this.#decide(decision)
  }

  #vote(
    { id, epoch, body }: Omit<Request<'commit'>, 'pieces' | 'settles'>,
    late: LateVote | undefined,
  ): CommitReply {
    const refuse = (outcome: CommitReply['outcome'], why: Refusal = {}): CommitReply => ({
      stamp: this.stamp(),
      outcome,
      by: noVersion,
      key: '',
      hint: noVersion,
      ...why,
    })
    const known = this.#undecided.get(id)
    if (known === undefined) {
      const decided = this.#decisionOf(id)
      if (decided !== undefined) return refuse(decided ? 'committed' : 'aborted')
    } else {
      return refuse(known.yes ? 'yes' : 'promised')
    }
    assertWellFormed(body)
    if (epoch < this.#epoch) return refuse('epoch')
    if (id <= this.#fence) return refuse('fence', { hint: this.#fence })
    const by = this.#locks.blocker(id, body)
    if (by !== undefined) return refuse('locked', { by })
    for (const { key, absent, version } of body.preconditions) {
      const register = this.#ahead.get(key) ?? this.#index.register(key)
      if (absent && register.value === null) {
        if (register.version > version && register.version > this.#fence) {
          return refuse('conflict', { key, hint: register.version })
        }
      } else if (absent || register.version !== version) {
        const stale = register.version < version
        return refuse(stale ? 'stale' : 'conflict', { key, hint: register.version })
      }
      if (id <= register.version) return refuse('conflict', { key, hint: register.version })
    }
    // What is derived from registers is in the index only.
    if (body.emptyFolders.length > 0) this.applyLate()
    for (const folder of body.emptyFolders) {
      if (this.#index.folder(folder).live === 0) continue
      const name = this.#index.someLiveName(folder)
      if (name !== undefined) return refuse('notEmpty', { key: entryKey(folder, name) })
    }
    this.#assertRoom()
    const record = { ...unknown, id, body, yes: true }
    if (late === undefined) {
      this.#keep(record)
      this.#locks.take(id, body)
    } else {
      this.#hold(record)
      this.#newVotes.push({ ...late, id, body, isLogged: false })
    }
    return refuse('yes')
  }

  prepare({ id, ballot }: Request<'prepare'>): Reply<'prepare'> {
    this.#assertNotBlank()
    const known = this.#undecided.get(id)
    const answer = (
      outcome: Reply<'prepare'>['outcome'],
      record: Omit<Undecided, 'id'> = unknown,
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
    if (known === undefined) {
      const decided = this.#decisionOf(id)
      if (decided !== undefined) return answer(decided ? 'committed' : 'aborted')
      if (id <= this.#floor) return answer('forgotten')
    }
    if (known === undefined) this.#assertRoom()
    const record = known ?? { ...unknown, id }
    if (ballot <= record.promised) return answer('refused', record)
    this.#keep({ ...record, promised: ballot })
    this.#index.syncBeforeReply()
    return answer('promised', { ...record, promised: ballot })
  }

  accept({ id, ballot, commit, body: sent }: Request<'accept'>): Reply<'accept'> {
    this.#assertNotBlank()
    const known = this.#undecided.get(id)
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
    if (known === undefined) {
      const decided = this.#decisionOf(id)
      if (decided !== undefined) return answer(decided ? 'committed' : 'aborted')
      if (id <= this.#floor) return answer('forgotten')
    }
    const record = known ?? { ...unknown, id }
    if (ballot < record.promised) return answer('refused')
    const body = record.body ?? sent
    // What is known in full can always be finished: that makes room.
    if (known === undefined || (known.body === null && sent !== null)) this.#assertRoom()
    if (commit) {
      if (body === null) throw new DfsError('protocol', 'a commit needs its transaction')
      assertWellFormed(body)
      const by = this.#locks.blocker(id, body)
      if (by !== undefined) return answer('locked', { by })
    }
    this.#keep({
      ...record,
      body,
      promised: ballot,
      accepted: ballot,
      acceptedCommit: commit,
      everCommit: record.everCommit || commit,
    })
    if (commit && body !== null) this.#locks.take(id, body)
    this.#index.syncBeforeReply()
    return answer('accepted')
  }

  decide({ decisions }: Request<'decide'>): Reply<'decide'> {
    this.#assertNotBlank()
    assertDecisions(decisions)
    const known = decisions.map((decision) => this.#decide(decision))
    return { stamp: this.stamp(), known }
  }

  install({ registers }: Request<'install'>): Reply<'install'> {
    this.#assertNotBlank()
    for (const { key, value } of registers) assertValue(key, value)
    for (const { key, version, value } of registers) this.#set(key, version, value)
    return { stamp: this.stamp() }
  }

  // -- fill, repair and sweep --------------------------------------------------------------------

  epoch({ epoch }: Request<'epoch'>): Reply<'epoch'> {
    this.#assertNotBlank()
    if (epoch > this.#epoch) {
      this.#epoch = epoch
      this.#index.setState('epoch', epoch)
      this.#index.syncBeforeReply()
    }
    return { stamp: this.stamp() }
  }

  fence({ fence }: Request<'fence'>): Reply<'fence'> {
    this.#assertFilled()
    this.#raiseFence(fence)
    return { stamp: this.stamp() }
  }

  /** Refused when the account has begun anew since the incarnation was read. */
  raiseFloor({ floor, incarnation }: Request<'floor'>): Reply<'floor'> {
    this.#assertFilled()
    const open = [...this.#undecided.values()].filter(({ id }) => id <= floor)
    if (
      incarnation !== this.#incarnation ||
      open.some(({ yes, everCommit }) => yes || everCommit)
    ) {
      return { stamp: this.stamp(), raised: false }
    }
    if (floor > this.#floor) {
      this.#raiseFence(floor)
      this.#floor = floor
      this.#index.setState('floor', floor)
      this.#index.dropUpTo(floor)
      for (const { id, body } of open) {
        this.#undecided.delete(id)
        if (body !== null) this.#locks.release(id, body)
      }
      this.#index.syncBeforeReply()
    }
    return { stamp: this.stamp(), raised: true }
  }

  records({ after, undecidedOnly, limit }: Request<'records'>): Reply<'records'> {
    this.#assertNotBlank()
    const wanted = Math.min(limit, limits.surveyEntriesMax)
    const records = this.#index
      .recordsAfter(after, undecidedOnly, wanted)
      .map(({ id, commit }) => ({
        id,
        state: commit === null ? 'undecided' : commit ? 'committed' : 'aborted',
      })) satisfies Reply<'records'>['records']
    return { stamp: this.stamp(), floor: this.#floor, records, more: records.length === wanted }
  }

  changes({ afterVersion, afterKey, withValues, limit }: Request<'changes'>): Reply<'changes'> {
    this.#assertNotBlank()
    const wanted = Math.min(limit, limits.surveyEntriesMax)
    const { registers: changed, more } = this.#index.changes(afterVersion, afterKey, wanted)
    if (!withValues) {
      const registers = changed.map(({ key, version }) => ({ key, version, value: null }))
      const checksums = changed.map(({ checksum }) => checksum)
      return { stamp: this.stamp(), registers, checksums, more }
    }
    let total = 0
    const fitting = changed.findIndex(({ bytes }) => {
      total += bytes + 128
      return total > limits.listBytesMax
    })
    const page = fitting === -1 ? changed : changed.slice(0, Math.max(1, fitting))
    const registers = page.map(({ key, version }) => {
      const { value } = this.#index.register(key)
      return { key, version, value }
    })
    const checksums = page.map(({ checksum }) => checksum)
    return { stamp: this.stamp(), registers, checksums, more: fitting !== -1 || more }
  }

  /** What has rotted here, for a repair to bring it back: see docs/decisions/0011. */
  rotten({ limit }: Request<'rotten'>): Reply<'rotten'> {
    this.#assertFilled()
    const keys: Key[] = []
    for (const key of this.#index.rottenKeys()) {
      if (keys.length >= Math.min(limit, limits.readKeysMax)) break
      if (this.#locks.holder(key) === undefined) keys.push(key)
    }
    return { stamp: this.stamp(), keys, mark: this.#rotMark, floor: this.#floor }
  }

  restore({ register, mark, floor }: Request<'restore'>): Reply<'restore'> {
    this.#assertFilled()
    const { key, version, value } = register
    assertValue(key, value)
    const isUntouched =
      mark === this.#rotMark && floor === this.#floor && this.#locks.holder(key) === undefined
    const here = this.#index.wholeRegister(key)
    const isLost = here === undefined || (here.version === noVersion && version <= floor)
    const restored = isUntouched && isLost
    if (restored) this.#index.restoreRegister(key, version, value)
    return { stamp: this.stamp(), restored }
  }

  orphans({ before, limit }: Request<'orphans'>): Reply<'orphans'> {
    this.#assertFilled()
    const inos = this.#index.orphans(before, Math.min(limit, limits.surveyEntriesMax))
    return { stamp: this.stamp(), inos }
  }

  /** Decisions whose effect was installed before: only the record of them is missing here. */
  mark({ decisions }: Request<'mark'>): Reply<'mark'> {
    this.#assertFilled()
    for (const { id, commit } of decisions) this.#mark(id, commit)
    return { stamp: this.stamp() }
  }

  fillStart({ epoch, incarnation }: Request<'fillStart'>): Reply<'fillStart'> {
    const started =
      this.#state !== 'voting' && incarnation === this.#incarnation && epoch > this.#session
    if (started) {
      this.#session = epoch
      this.#index.setState('session', epoch)
      this.#index.syncBeforeReply()
    }
    return { stamp: { ...this.stamp(), epoch: Math.max(this.#session, this.#epoch) }, started }
  }

  fill({ epoch, registers, decisions }: Request<'fill'>): Reply<'fill'> {
    this.#assertFilling(epoch)
    for (const { key, value } of registers) assertValue(key, value)
    for (const { key, version, value } of registers) this.#set(key, version, value)
    for (const { id, commit } of decisions) this.#mark(id, commit)
    return { stamp: this.stamp() }
  }

  fillEnd({ epoch, floor, fence }: Request<'fillEnd'>): Reply<'fillEnd'> {
    this.#assertFilling(epoch)
    this.#raiseFence(laterOf(fence, floor))
    this.#floor = laterOf(this.#floor, floor)
    this.#index.setState('floor', this.#floor)
    this.#epoch = Math.max(this.#epoch, epoch)
    this.#index.setState('epoch', this.#epoch)
    this.#become('voting')
    return { stamp: this.stamp() }
  }

  /**
   * The machine stopped without notice, so votes that were given may be lost: what is here is kept,
   * but it goes through a fill before the account votes again.
   */
  becomeUnsure(random: Random): void {
    if (this.#state !== 'voting') return
    this.#index.group(() => {
      this.#incarnation = random.bytes(6).readUIntBE(0, 6)
      this.#index.setState('incarnation', this.#incarnation)
      this.#become('unsure')
    })
  }

  // -- inside ------------------------------------------------------------------------------------

  #assertRoom(): void {
    if (!this.#undecided.isFull) return
    throw new DfsError('overloaded', 'too many undecided transactions')
  }

  /** An unsure account may be asked what it has, and take part in finishing what is undecided. */
  #assertNotBlank(): void {
    if (this.#state === 'blank') throw new DfsError('blank')
  }

  #assertFilled(): void {
    if (this.#state !== 'voting') throw new DfsError('blank')
  }

  #assertFilling(epoch: number): void {
    if (this.#state === 'voting' || epoch !== this.#session) {
      throw new DfsError('stale', 'another fill has taken over')
    }
  }

  #become(state: AccountState): void {
    this.#state = state
    this.#index.setState('state', state)
    this.#index.syncBeforeReply()
  }

  #raiseFence(fence: Version): void {
    if (fence <= this.#fence) return
    this.#fence = fence
    this.#index.setState('fence', fence)
    this.#index.syncBeforeReply()
  }

  /** As `#decide`, where the values were installed by other means. */
  #mark(id: Version, commit: boolean): void {
    if (this.#decide({ id, commit, body: null, spares: [] })) return
    this.#index.putRecord({ ...unknown, id, body: null, commit })
    this.#undecided.delete(id)
  }

  #load(): void {
    this.#state = this.#index.state('state') as AccountState
    this.#session = Number(this.#index.state('session'))
    this.#epoch = Number(this.#index.state('epoch'))
    this.#incarnation = Number(this.#index.state('incarnation'))
    this.#fence = String(this.#index.state('fence'))
    this.#floor = String(this.#index.state('floor'))
    this.#undecided.clear()
    this.#locks.clear()
    for (const { commit: _, ...record } of this.#index.undecidedRecords()) {
      const body = record.body === null ? null : decode(transactionCodec, record.body)
      this.#undecided.set(record.id, { ...record, body })
      if (body !== null && (record.yes || record.everCommit)) this.#locks.take(record.id, body)
    }
  }

  #keep(record: Undecided): void {
    this.#put(record)
    this.#undecided.set(record.id, { ...record, body: record.body && ownCopy(record.body) })
  }

  #put(record: Undecided): void {
    const body = record.body === null ? null : encode(transactionCodec, record.body)
    this.#index.putRecord({ ...record, body, commit: null })
  }

  /** As `#keep` for a vote that the index does not know yet. */
  #hold(record: Undecided & { readonly body: Transaction }): void {
    this.#undecided.set(record.id, { ...record, body: ownCopy(record.body) })
    this.#locks.take(record.id, record.body)
  }

  #decisionOf(id: Version): boolean | undefined {
    return this.#index.record(id)?.commit ?? undefined
  }

  /**
   * As `#decide`, but for what is in the index, which `applyLate` sees to. False when it has to be there
   * at once: only where what the decision is about is known here, in full and as it was before, which
   * its locks saw to, may it count without.
   */
  #decideAhead(decision: Decision): boolean {
    const { id, commit } = decision
    const record = this.#undecided.get(id)
    if (!commit || record?.body == null || !(record.yes || record.everCommit)) return false
    const { writes } = record.body
    const before = writes.map(({ key }) => this.#current(key))
    if (before.includes(undefined)) return false
    for (const [index, { key, value }] of writes.entries()) {
      const current = before[index]
      if (current !== undefined && this.#replaces(id, current)) {
        this.#ahead.set(key, { version: id, value })
      }
    }
    this.#locks.release(id, record.body)
    this.#decisions.set(id, decision)
    return true
  }

  /** Undefined when it has rotted. */
  #current(key: Key): StoredRegister | undefined {
    return this.#ahead.get(key) ?? this.#index.recentRegister(key)
  }

  /** Returns whether the decision is known here afterwards. The first decision wins. */
  #decide({ id, commit, body: sent, spares }: Decision): boolean {
    const record = this.#undecided.get(id)
    if (record === undefined) {
      const decided = this.#decisionOf(id)
      if (decided !== undefined) {
        if (decided !== commit) splitDecision(id, decided)
        // A server that was slow has voted as well: they were needed until then.
        this.#dropSpares(spares)
        return true
      }
      if (id <= this.#floor) return true
    }
    const body = record?.body ?? sent
    if (commit && body === null) return false
    this.#index.putRecord({ ...unknown, id, body: null, commit })
    this.#undecided.delete(id)
    if (record?.body) this.#locks.release(id, record.body)
    if (commit && body !== null) {
      for (const { key, value } of body.writes) this.#set(key, id, value)
      this.#dropSpares(spares)
    }
    return true
  }

  /** Spare pieces came inside a commit, so they are in the index; a file is not removed by this. */
  #dropSpares(spares: Decision['spares']): void {
    for (const { segment, piece } of spares) {
      if (this.#index.pieceOf(segment, piece)?.content != null) {
        this.#index.removePiece(segment, piece)
      }
    }
  }

  /**
   * Nothing old replaces something new, and nothing below the floor comes back. Of what has rotted
   * nobody knows how old it is: it waits for a repair, which brings the latest.
   */
  #set(key: Key, version: Version, value: Buffer | null): void {
    const current = this.#index.recentRegister(key)
    if (current === undefined) {
      this.#rotMark = (this.#rotMark + 1) % 2 ** 32
      return
    }
    if (this.#replaces(version, current)) this.#index.setRegister(key, version, value, current)
    else if (value !== null && version < current.version) this.#index.passOver(key, version, value)
  }

  #replaces(version: Version, current: StoredRegister): boolean {
    const exists = current.version !== noVersion
    return version > current.version && (exists || version > this.#floor)
  }

  #seen(key: Key, register: StoredRegister): Seen {
    const { version, value } = register
    return { version, value, lock: this.#locks.holder(key) ?? null }
  }

  #seenInode(ino: number): SeenInode {
    return this.#summarised(ino, this.#index.inode(ino))
  }

  #summarised(ino: number, register: StoredRegister): SeenInode {
    const isFolder =
      register.value !== null && typeOf(modeOfInode(register.value)) === fileType.folder
    const folder = isFolder ? this.#index.folder(ino) : null
    return { register: this.#seen(inodeKey(ino), register), folder }
  }

  #heldOf(value: Buffer | null): Buffer {
    if (value === null) return noBytes
    return Buffer.from(decodeInode(value).segments.map(({ id }) => this.#index.heldPieces(id)))
  }

  /** Adds names that are locked but were never written, in their place. */
  #withLockedNames(folder: number, after: string, entries: Listed[], more: boolean): Listed[] {
    const last = entries.at(-1)?.name
    const present = new Set(entries.map(({ name }) => name))
    const missing = [...this.#locks.lockedNames(folder)].filter(
      (name) =>
        !present.has(name) &&
        compareNames(name, after) > 0 &&
        (!more || (last !== undefined && compareNames(name, last) < 0)),
    )
    if (missing.length === 0) return entries
    for (const name of missing.slice(0, limits.listEntriesMax - entries.length)) {
      const entry = this.#seen(entryKey(folder, name), this.#index.entry(folder, name))
      entries.push({ name, entry, inode: null, held: noBytes })
    }
    return entries.sort((a, b) => compareNames(a.name, b.name))
  }
}

const noBytes = Buffer.alloc(0)
const none: Decision['spares'] = []

const unknown = {
  body: null,
  yes: false,
  promised: 0,
  accepted: 0,
  acceptedCommit: false,
  everCommit: false,
} as const

/** UTF-8 byte order, which JavaScript's order of strings is not beyond the basic plane. */
function compareNames(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** Values are views into a received frame: what is kept must not pin that memory. */
function ownCopy(body: Transaction): Transaction {
  const writes = body.writes.map(({ key, value }) => ({ key, value: value && Buffer.from(value) }))
  return { ...body, writes }
}

/** What was voted for must be possible to apply. */
function assertValue(key: Key, value: Buffer | null): void {
  const { kind } = parseKey(key)
  if (value === null) return
  if (kind === 'inode') decodeInode(value)
  else decodeEntry(value)
}

/** The bodies that came with decisions: nothing of a message is done when a part of it cannot be. */
function assertDecisions(decisions: readonly Decision[]): void {
  for (const { body } of decisions) {
    for (const { key, value } of body?.writes ?? []) assertValue(key, value)
  }
}

/** Every write has a precondition, and every emptied folder is written: the locks rely on both. */
function assertWellFormed(body: Transaction): void {
  const guarded = new Set(body.preconditions.map(({ key }) => key))
  const written = new Set(body.writes.map(({ key }) => key))
  for (const { key } of body.preconditions) parseKey(key)
  for (const { key, value } of body.writes) assertValue(key, value)
  const wellFormed =
    written.size === body.writes.length &&
    guarded.size === body.preconditions.length &&
    [...written].every((key) => guarded.has(key)) &&
    body.emptyFolders.every((ino) => written.has(inodeKey(ino)))
  if (!wellFormed) throw new DfsError('protocol', 'malformed transaction')
}

/** Two decisions of one transaction cannot be: the rules were broken somewhere. */
function splitDecision(id: Version, decided: boolean): never {
  const was = decided ? 'committed' : 'aborted'
  notice(`FAULT: transaction ${id} is ${was} here and somebody decided otherwise`)
  throw new DfsError('protocol', `transaction ${id} is ${was} here`)
}
