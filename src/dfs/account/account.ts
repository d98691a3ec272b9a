/**
 * One user on this server: the index with its registers, the acceptor that rules them, the lease, and the
 * pieces. Here are the verbs that need several of them; connections of the user share it.
 */
import { AssertionError } from 'node:assert'
import assert from 'node:assert/strict'
import type { Clock, Random, Timer } from '../../clock.js'
import { asDfsError, type DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfs, notice } from '../../log.js'
import { Reader } from '../../wire/codec.js'
import { type InlinePiece, messages, type Reply, type Request } from '../../wire/messages.js'
import { DiskErrors } from '../disk/disk-errors.js'
import type { Membership } from '../disk/membership.js'
import { storageError } from '../disk/storage-error.js'
import type { AccountIndex } from '../index/account-index.js'
import { Acceptor } from '../quorum/acceptor.js'
import type { BufferedVote } from '../quorum/vote-buffer.js'
import type { VoteLog } from '../quorum/vote-log.js'
import { AccountPieces, checkInline } from './account-pieces.js'
import { Collector } from './collector.js'
import { Lease } from './lease.js'
import { Quota } from './quota.js'
import type { AccountStorage } from './storage.js'
import { Strays } from './strays.js'

const lostAccount =
  'the index of this account is gone; waiting for repair to fill it from the other servers. ' +
  'To start over without its files, remove its folder on all four servers'

/** Settings of one user. */
interface AccountSettings {
  readonly quotaBytes: () => number | undefined
  readonly trashMs: () => number
}

const noSettings: AccountSettings = { quotaBytes: () => undefined, trashMs: () => 0 }

/** Counters of an account: how much one server keeps for one user. */
export interface AccountFigures {
  readonly user: string
  readonly state: Reply<'status'>['state']
  readonly registers: number
  readonly pieces: number
  readonly pieceBytes: number
  /** Transactions that are not decided here. */
  readonly undecided: number
  /** Segments of which another server than its home has a piece, or of which one is lost for good. */
  readonly misplaced: number
  readonly lost: number
  readonly quotaBytes: number | undefined
}

export class Account {
  readonly user: string
  readonly index: AccountIndex
  readonly acceptor: Acceptor
  readonly pieces: AccountPieces
  readonly strays: Strays
  readonly membership: Membership
  readonly lease: Lease
  readonly quota: Quota
  readonly diskErrors: DiskErrors
  readonly #trashMs: () => number
  readonly #clock: Clock
  readonly #lateCountAtOnce: number
  readonly #close: () => void
  readonly #collector: Collector
  readonly #onDamage: (account: Account, error: DfsError) => void
  #isGivenUp = false
  /** True since a failure of work in the background was logged, until such work succeeds: it is logged once. */
  #isTold = false
  #late: Timer | undefined
  #lateBytes = 0

  /**
   * `onDamage`: the index turned out to be broken; the account must be closed and begun anew. `settings`: those of
   * the user, as they are now.
   */
  constructor(
    user: string,
    storage: AccountStorage,
    random: Random,
    clock: Clock,
    onDamage: (account: Account, error: DfsError) => void = () => {},
    settings: AccountSettings = noSettings,
    diskErrors = new DiskErrors(),
  ) {
    this.diskErrors = diskErrors
    this.user = user
    this.#onDamage = onDamage
    this.index = storage.index
    this.pieces = new AccountPieces(user, storage.index, storage.pieces, () => this.applyLate())
    this.quota = new Quota(
      settings.quotaBytes,
      () => storage.index.totals.now.pieceBytes + storage.pieces.asideBytes,
    )
    this.#trashMs = settings.trashMs
    this.membership = storage.membership
    this.#clock = clock
    this.#lateCountAtOnce = storage.lateCountAtOnce ?? limits.lateCountAtOnce
    this.#close = () => storage.close()
    const now = (): number => clock.now()
    this.acceptor = new Acceptor(storage.index, random, storage.votes, storage.history, now)
    this.strays = new Strays(user, storage.index, this.acceptor, this.pieces, clock)
    this.#restoreVotes(storage.votes)
    this.lease = new Lease(storage.index, clock, random)
    const isCopy = storage.index.isCopy(storage.file)
    if (storage.index.openedUnclean(storage.boot)) {
      storage.index.assertWhole()
      this.acceptor.becomeUnsure(random)
      notice(
        `${user}: the machine stopped without a clean shutdown; waiting for repair to validate this data`,
        'warning',
      )
    } else if (storage.votes.hasRotted) {
      this.acceptor.becomeUnsure(random)
      notice(
        `${user}: votes on the disk are corrupt; waiting for repair to validate this data`,
        'warning',
      )
    } else if (isCopy) {
      this.acceptor.becomeUnsure(random)
      notice(`${user}: this data looks like a copy; waiting for repair to validate it`, 'warning')
    } else if (storage.history.isDistrusted) {
      this.acceptor.becomeUnsure(random)
      notice(
        `${user}: the disk may have dropped recent writes; waiting for repair to validate this data`,
        'warning',
      )
    }
    if (storage.history.isDistrusted) storage.history.trust()
    if (this.acceptor.state === 'voting') storage.history.markFounded()
    if (this.acceptor.state === 'lost') notice(`${user}: ${lostAccount}`, 'warning')
    this.#collector = new Collector(
      storage.index,
      clock,
      (segment) => this.pieces.removeAll(segment),
      (thrown) => this.#failed('what is no longer needed could not be removed', thrown),
    )
  }

  /** Takes in the votes that perhaps only the log has, because the process that gave them was killed. */
  #restoreVotes(log: VoteLog): void {
    const entries = log.read()
    this.index.group(() => {
      if (log.dropsSynced) this.index.syncBeforeReply()
      for (const entry of entries) {
        const reader = new Reader(entry)
        const request = messages.commit.request.read(reader)
        // Of pieces that came to the index, some may be gone since for good reason.
        if (!this.acceptor.knows(request.id)) this.pieces.putInline(request.pieces, reader.rest())
        this.acceptor.restoreVote(request)
      }
    })
    log.clear()
    if (entries.length > 0) debugDfs('%s: %d votes in the log', this.user, entries.length)
  }

  /**
   * Votes on a transaction, and stores the pieces that travel with it, whatever the vote: a yes says
   * that they are here. Only one that comes so late that repair has put its content in place, or that
   * all four know what became of it, brings nothing: its spare piece would be one too many. `entry` is
   * the request as it came, for the log of votes. Throws `corrupt` when a piece does not match its
   * checksums, and `quota` when there is no room for the pieces.
   */
  commit(request: Request<'commit'>, payload: Buffer, entry: Buffer): Reply<'commit'> {
    const { pieces, ...transaction } = request
    checkInline(pieces, payload)
    assert(entry.length > payload.length, 'the log gets the whole request')
    this.#assertRoomFor(request)
    const isForgotten = transaction.id <= this.acceptor.floor
    if (isForgotten || pieces.some(({ segment }) => this.index.segments.knows(segment))) {
      this.acceptor.applyLate()
      if (isForgotten) return this.acceptor.commit(transaction)
      const beyondPlacement = pieces.filter(
        ({ segment, piece }) =>
          this.index.segments.isPlaced(segment) &&
          this.index.pieces.get(segment, piece) === undefined,
      )
      this.pieces.putInline(pieces, payload)
      const reply = this.acceptor.commit(transaction)
      if (reply.outcome !== 'yes') for (const piece of beyondPlacement) this.pieces.remove(piece)
      return reply
    }
    // Perhaps more than once: a group that is undone takes what it stored with it.
    const store: BufferedVote['store'] = (without) =>
      this.pieces.putInline(pieces, payload, without)
    const reply = this.acceptor.commit(transaction, { entry, store })
    if (reply.outcome !== 'yes') store([])
    this.#lateBytes += entry.length
    const isMuch =
      this.#lateBytes > limits.lateBytesMax || this.acceptor.lateCount > limits.lateCountMax
    if (isMuch) this.acceptor.applyLate()
    else this.#applyLateSoon()
    if (isMuch) this.#lateBytes = 0
    return reply
  }

  /** A vote that was given is not taken back, however little room there is by now. */
  #assertRoomFor({ id, pieces }: Request<'commit'>): void {
    const isNew = ({ segment, piece }: InlinePiece): boolean =>
      this.index.pieces.get(segment, piece) === undefined
    const bytes = pieces.reduce((sum, piece) => sum + (isNew(piece) ? piece.length : 0), 0)
    if (bytes + this.#lateBytes <= this.quota.freeBytes || this.acceptor.knows(id)) return
    // The pieces that came with votes which wait are counted when they are written.
    this.acceptor.applyLate()
    this.quota.assertRoomFor(bytes)
  }

  #applyLateSoon(): void {
    this.#late ??= this.#clock.after(limits.lateMs, () => this.#applyLateInTurns())
  }

  /**
   * Writes what was only logged, a part at a time, so that no vote waits for all of it; then the rest, with what
   * has come meanwhile.
   */
  #applyLateInTurns(): void {
    this.#late = undefined
    const { lateCount } = this.acceptor
    if (lateCount > this.#lateCountAtOnce) {
      const some = (): void => this.acceptor.applySomeLate(this.#lateCountAtOnce)
      if (!this.#write(() => this.index.group(some, true))) return
      assert(this.acceptor.lateCount <= lateCount, 'more waits than before some was written')
    }
    if (this.acceptor.lateCount < lateCount) {
      this.#late = this.#clock.after(limits.lateTurnMs, () => this.#applyLateInTurns())
      return
    }
    this.#lateBytes = 0
    this.applyLate()
  }

  /** Writes to the index what was only logged; where that fails it is said once, and tried again later. */
  applyLate(): void {
    this.#write(() => this.index.group(() => this.acceptor.applyLate()))
  }

  /** Whether it could be written; what cannot be now is tried again. */
  #write(work: () => void): boolean {
    try {
      work()
      this.#isTold = false
      return true
    } catch (thrown) {
      this.#failed('votes could not be written', thrown)
      return false
    }
  }

  /**
   * Reports that work in the background has failed: it is logged once, and a disk that does not work ends the
   * account.
   */
  #failed(what: string, thrown: unknown): void {
    if (thrown instanceof AssertionError) throw thrown
    const error = asDfsError(storageError(thrown))
    if (error.code === 'damaged' || error.code === 'disk') this.giveUp(error)
    else {
      this.diskErrors.note(error)
      if (!this.#isTold) notice(`${this.user}: ${what}: ${error.message}`, 'error')
    }
    this.#isTold = true
  }

  /** Remembers which pieces no server has, so that files are listed as what they are. */
  markLost({ marks }: Request<'markLost'>): Reply<'markLost'> {
    for (const { segment, pieces } of marks) this.index.segments.markLost(segment, pieces)
    return { stamp: this.acceptor.stamp() }
  }

  segments({ after, misplacedOnly, limit }: Request<'segments'>): Reply<'segments'> {
    const wanted = Math.min(limit, limits.surveyEntriesMax)
    const found = this.index.segments.after(after, misplacedOnly, wanted)
    const segments = found.map(({ segment, referred }) => ({
      segment,
      referred,
      pieces: this.index.pieces.held(segment.id),
    }))
    return { stamp: this.acceptor.stamp(), segments, more: segments.length === wanted }
  }

  /** Removes the pieces whose bits are set, where they are here. */
  dropPieces(request: Request<'dropPieces'>): Reply<'dropPieces'> {
    this.pieces.drop(request)
    return { stamp: this.acceptor.stamp() }
  }

  /**
   * Raises the floor, behind which segments that nothing refers to are garbage for good, and begins to collect
   * them.
   */
  raiseFloor(request: Request<'floor'>): Reply<'floor'> {
    const reply = this.acceptor.repair.raiseFloor(request)
    if (reply.raised) {
      this.#collector.collect(this.acceptor.floor)
      // Takes its time, and says itself what it found.
      void this.strays.removeOnce()
    }
    return reply
  }

  /** True when the account cannot go on: its owner closes it, and what it has is not relied on. */
  get isGivenUp(): boolean {
    return this.#isGivenUp
  }

  /** Ends the account, because its index or the disk of its index is broken. */
  giveUp(error: DfsError): void {
    if (this.#isGivenUp) return
    this.#isGivenUp = true
    this.strays.stop()
    this.#onDamage(this, error)
  }

  /** Resolves when these segments' pieces, and then all that was voted and written, are on the disk. */
  async sync({ segments }: Request<'sync'>): Promise<Reply<'sync'>> {
    await this.pieces.sync(segments)
    await this.#syncIndex()
    return { stamp: this.acceptor.stamp() }
  }

  /** Votes on a transaction, and resolves when the vote is on the disk, with all that was answered before. */
  async commitSynced(
    request: Request<'commit'>,
    payload: Buffer,
    entry: Buffer,
  ): Promise<Reply<'commit'>> {
    const reply = this.index.group(() => this.commit(request, payload, entry))
    await this.#syncIndex()
    return reply
  }

  /**
   * Resolves when votes and index are on the disk. Votes that are only logged need not be written to the index
   * for it.
   */
  async #syncIndex(): Promise<void> {
    try {
      await Promise.all([this.acceptor.syncVotes(), this.index.sync()])
    } catch (thrown) {
      throw storageError(thrown)
    }
  }

  /** Throws `wrongServer` when the account is not blank and belongs elsewhere. */
  claim(place: Request<'claim'>): Reply<'claim'> {
    this.membership.claim(place, this.acceptor.state !== 'blank')
    return {}
  }

  /** How much there is, from what is counted all the time. */
  get figures(): AccountFigures {
    const { registers, pieces, pieceBytes } = this.index.totals.now
    return {
      user: this.user,
      state: this.acceptor.state,
      registers,
      pieces,
      pieceBytes,
      undecided: this.acceptor.counts().undecided,
      misplaced: this.index.segments.misplacedTotal(),
      lost: this.index.segments.lostTotal(),
      quotaBytes: this.quota.allowedBytes,
    }
  }

  async status(): Promise<Reply<'status'>> {
    const space = await this.pieces.store.space()
    const { registers, undecided } = this.acceptor.counts()
    const { pieces, pieceBytes } = this.index.totals.now
    return {
      stamp: this.acceptor.stamp(),
      cluster: this.membership.cluster,
      position: this.membership.position ?? 0,
      state: this.acceptor.state,
      floor: this.acceptor.floor,
      timeMs: Math.max(0, Math.floor(this.#clock.now())),
      registers,
      undecided,
      misplaced: this.index.segments.misplacedTotal(),
      lost: this.index.segments.lostTotal(),
      pieces,
      pieceBytes,
      quota: this.#quotaStatus(),
      diskBytes: space.bytes,
      diskFreeBytes: space.freeBytes,
      disk: space.disk,
      trashMs: this.#trashMs(),
    }
  }

  #quotaStatus(): Reply<'status'>['quota'] {
    const { allowedBytes, freeBytes } = this.quota
    return allowedBytes === undefined ? null : { bytes: allowedBytes, freeBytes }
  }

  close(): void {
    this.#collector.stop()
    this.lease.close()
    this.#late?.cancel()
    if (!this.#isGivenUp) this.applyLate()
    this.#isGivenUp = true
    this.strays.stop()
    try {
      this.#close()
    } catch (thrown) {
      // As after a kill: what is open is taken in when the account is opened again.
      debugDfs('%s: not closed: %o', this.user, thrown)
    }
    debugDfs('%s: account closed', this.user)
  }
}
