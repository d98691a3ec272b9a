/**
 * One user on this server: the index with its registers, the acceptor that rules them, and the
 * pieces. Here are the verbs about pieces that need all three; connections of the user share it.
 */
import { AssertionError } from 'node:assert'
import assert from 'node:assert/strict'
import { type Clock, type Random, sleep, type Timer } from '../../clock.js'
import { asDfsError, DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfs, notice } from '../../log.js'
import { checksumsOf, matchesChecksums } from '../../wire/checksum.js'
import { Reader } from '../../wire/codec.js'
import {
  type Decision,
  type InlinePiece,
  messages,
  type Reply,
  type Request,
} from '../../wire/messages.js'
import { pieceRange } from '../../wire/placement.js'
import type { Segment } from '../../wire/records.js'
import { storageError } from '../disk/storage-error.js'
import type { AccountIndex } from '../index/account-index.js'
import type { Pause } from '../index/pages.js'
import type { StoredPieceRow } from '../index/pieces.js'
import type { LentBytes, PieceName, PieceStore } from '../pieces/piece-store.js'
import { Acceptor } from '../quorum/acceptor.js'
import type { BufferedVote } from '../quorum/vote-buffer.js'
import type { VoteLog } from '../quorum/vote-log.js'
import { Collector } from './collector.js'
import { Lease } from './lease.js'
import type { AccountStorage } from './storage.js'

const { blockBytes, framePayloadBytesMax, pieceCount, smallPieceBytesMax } = limits

const lostAccount =
  'the index of this account is gone; waiting for repair to fill it from the other servers. ' +
  'To start over without its files, remove its folder on all four servers'

export interface PieceAnswer {
  readonly reply: Reply<'getPiece'>
  readonly payload: LentBytes
}

export class Account {
  readonly user: string
  readonly index: AccountIndex
  readonly acceptor: Acceptor
  readonly pieces: PieceStore
  readonly lease: Lease
  readonly #clock: Clock
  readonly #lateCountAtOnce: number
  readonly #close: () => void
  readonly #collector: Collector
  /** Pieces whose files may be there before their rows. */
  readonly #arriving = new Set<string>()
  /** Pieces of which the log says that they have rotted. */
  readonly #toldRotten = new Set<string>()
  readonly #onDamage: (account: Account, error: DfsError) => void
  #isGivenUp = false
  /** Somebody has been told that the disk is full, or the like, and it has been so since. */
  #isTold = false
  #mayHaveStrays = true
  #late: Timer | undefined
  #lateBytes = 0

  /** `onDamage`: the index turned out to be broken; the account must be closed and begun anew. */
  constructor(
    user: string,
    storage: AccountStorage,
    random: Random,
    clock: Clock,
    onDamage: (account: Account, error: DfsError) => void = () => {},
  ) {
    this.user = user
    this.#onDamage = onDamage
    this.index = storage.index
    this.pieces = storage.pieces
    this.#clock = clock
    this.#lateCountAtOnce = storage.lateCountAtOnce ?? limits.lateCountAtOnce
    this.#close = () => storage.close()
    const now = (): number => clock.now()
    this.acceptor = new Acceptor(storage.index, random, storage.votes, storage.history, now)
    this.#restoreVotes(storage.votes)
    this.lease = new Lease(storage.index, clock, random)
    const isCopy = storage.index.isCopy(storage.file)
    if (storage.index.openedUnclean(storage.boot)) {
      storage.index.assertWhole()
      this.acceptor.becomeUnsure(random)
      notice(
        `${user}: the machine stopped without a clean shutdown; waiting for repair to validate this data`,
      )
    } else if (storage.votes.hasRotted) {
      this.acceptor.becomeUnsure(random)
      notice(`${user}: votes on the disk are corrupt; waiting for repair to validate this data`)
    } else if (isCopy) {
      this.acceptor.becomeUnsure(random)
      notice(`${user}: this data looks like a copy; waiting for repair to validate it`)
    } else if (storage.history.isDistrusted) {
      this.acceptor.becomeUnsure(random)
      notice(
        `${user}: the disk may have dropped recent writes; waiting for repair to validate this data`,
      )
    }
    if (storage.history.isDistrusted) storage.history.trust()
    if (this.acceptor.state === 'voting') storage.history.markFounded()
    if (this.acceptor.state === 'lost') notice(`${user}: ${lostAccount}`)
    this.#collector = new Collector(
      storage.index,
      clock,
      (segment) => {
        for (const name of this.#piecesOf(segment)) this.#remove(name)
      },
      (thrown) => this.#failed('what is no longer needed could not be removed', thrown),
    )
  }

  /** Votes that perhaps only the log has, because the process that gave them was killed. */
  #restoreVotes(log: VoteLog): void {
    const entries = log.read()
    this.index.group(() => {
      if (log.dropsSynced) this.index.syncBeforeReply()
      for (const entry of entries) {
        const reader = new Reader(entry)
        const request = messages.commit.request.read(reader)
        // Of pieces that came to the index, some may be gone since for good reason.
        if (!this.acceptor.knows(request.id)) this.#putInline(request.pieces, reader.rest())
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
   * checksums.
   */
  commit(request: Request<'commit'>, payload: Buffer, entry: Buffer): Reply<'commit'> {
    const { pieces, ...transaction } = request
    checkInline(pieces, payload)
    const isForgotten = transaction.id <= this.acceptor.floor
    if (isForgotten || pieces.some(({ segment }) => this.index.segments.knows(segment))) {
      this.acceptor.applyLate()
      if (isForgotten) return this.acceptor.commit(transaction)
      const beyondPlacement = pieces.filter(
        ({ segment, piece }) =>
          this.index.segments.isPlaced(segment) &&
          this.index.pieces.get(segment, piece) === undefined,
      )
      this.#putInline(pieces, payload)
      const reply = this.acceptor.commit(transaction)
      if (reply.outcome !== 'yes') for (const piece of beyondPlacement) this.#remove(piece)
      return reply
    }
    // Perhaps more than once: a group that is undone takes what it stored with it.
    const store: BufferedVote['store'] = (without) => this.#putInline(pieces, payload, without)
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

  #applyLateSoon(): void {
    this.#late ??= this.#clock.after(limits.lateMs, () => this.#applyLateInTurns())
  }

  /** A part at a time, so that no vote waits for all of it; then the rest, with what has come meanwhile. */
  #applyLateInTurns(): void {
    this.#late = undefined
    const { lateCount } = this.acceptor
    if (lateCount > this.#lateCountAtOnce) {
      const some = (): void => this.acceptor.applySomeLate(this.#lateCountAtOnce)
      if (!this.#write(() => this.index.group(some, true))) return
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

  /** Work that nobody waits for has failed: it is said once, and a disk that does not work ends the account. */
  #failed(what: string, thrown: unknown): void {
    if (thrown instanceof AssertionError) throw thrown
    const error = asDfsError(storageError(thrown))
    if (error.code === 'damaged' || error.code === 'disk') this.giveUp(error)
    else if (!this.#isTold) notice(`${this.user}: ${what}: ${error.message}`)
    this.#isTold = true
  }

  #putInline(
    inline: readonly InlinePiece[],
    payload: Buffer,
    without: Decision['spares'] = [],
  ): void {
    const isSpare = (one: PieceName): boolean =>
      without.some(({ segment, piece }) => segment === one.segment && piece === one.piece)
    const pieces = inlineBytes(inline, payload).filter((piece) => !isSpare(piece))
    const [first] = pieces
    if (first === undefined) return
    const { segment } = first
    const areNew =
      pieces.every((one) => one.segment === segment && one.bytes.length <= smallPieceBytesMax) &&
      !this.index.segments.knows(segment)
    if (areNew) this.index.pieces.addSmall(segment, pieces)
    else for (const piece of pieces) this.#putInlinePiece(piece)
  }

  #putInlinePiece({ segment, piece, checksums, bytes }: InlineBytes): void {
    const { length } = bytes
    const isSame = this.isSame({ segment, piece }, length, checksums)
    if (isSame === false) throw anotherPiece()
    if (isSame === true) return
    if (length <= smallPieceBytesMax) {
      this.index.pieces.add(segment, piece, length, checksums, bytes)
      return
    }
    this.pieces.put({ segment, piece }, bytes)
    this.index.pieces.add(segment, piece, length, checksums)
  }

  /** Whether it is this piece that is here by this name; undefined when there is none. */
  isSame(
    { segment, piece }: PieceName,
    length: number,
    checksums: readonly number[],
  ): boolean | undefined {
    const known = this.index.pieces.get(segment, piece)
    if (known === undefined) return undefined
    return (
      known.length === length &&
      known.checksums.length === checksums.length &&
      known.checksums.every((checksum, block) => checksum === checksums[block])
    )
  }

  /** Throws `invalid` when another piece of this name is here, and has not rotted. */
  async assertReplaceable(
    name: PieceName,
    length: number,
    checksums: readonly number[],
  ): Promise<void> {
    const isOther = this.isSame(name, length, checksums) === false
    if (isOther && (await this.#isWhole(name))) throw anotherPiece()
  }

  /** Whether what is here of a piece is what the index says. */
  async #isWhole({ segment, piece }: PieceName): Promise<boolean> {
    try {
      for (let offset = 0; ; ) {
        const wanted = { segment, piece, offset, length: framePayloadBytesMax }
        const { reply, payload } = await this.getPiece(wanted)
        payload.release()
        offset += framePayloadBytesMax
        if (offset >= reply.pieceLength) return reply.pieceLength > 0
      }
    } catch (thrown) {
      if (isError(thrown, 'corrupt', 'noPiece')) return false
      throw thrown
    }
  }

  /** Whole blocks around the wanted bytes, at most framePayloadBytesMax of them. */
  async getPiece({ segment, piece, ...wanted }: Request<'getPiece'>): Promise<PieceAnswer> {
    const known = this.#pieceOf(segment, piece)
    if (known === undefined) throw new DfsError('noPiece')
    const first = Math.floor(Math.min(wanted.offset, known.length) / blockBytes)
    const offset = first * blockBytes
    const wantedEnd = Math.min(wanted.offset + wanted.length, known.length)
    const end = Math.min(Math.ceil(wantedEnd / blockBytes) * blockBytes, known.length)
    const length = Math.max(0, Math.min(end - offset, framePayloadBytesMax))
    const checksums = known.checksums.slice(first, first + Math.ceil(length / blockBytes))
    const payload =
      known.content === null
        ? await this.#readPiece({ segment, piece }, offset, length)
        : kept(this.index.pieces.content(known.content).subarray(offset, offset + length))
    if (!matchesChecksums(payload.bytes, checksums)) {
      payload.release()
      this.#tellRotten(segment, piece)
      throw new DfsError('corrupt')
    }
    return { reply: { pieceLength: known.length, offset, checksums }, payload }
  }

  /** Once: whoever reads a file that is lost reads it again and again. */
  #tellRotten(segment: string, piece: number): void {
    const name = `${segment}.${piece}`
    if (this.#toldRotten.has(name) || this.#toldRotten.size >= limits.badCopiesMax) return
    this.#toldRotten.add(name)
    notice(
      `${this.user}: piece ${piece} of ${segment} is corrupt on the disk; repair will replace it`,
    )
  }

  /** What of these pieces the index keeps. */
  getSmallPieces({ pieces }: Request<'getSmallPieces'>): Reply<'getSmallPieces'> {
    return {
      pieces: pieces.map(({ segment, piece }) => {
        const known = this.index.pieces.get(segment, piece)
        if (known === undefined || known.content === null) return null
        const { checksums } = known
        const bytes = this.index.pieces.content(known.content)
        return matchesChecksums(bytes, checksums) ? { checksums: [...checksums], bytes } : null
      }),
    }
  }

  /** Also of one that came with a vote which is not in the index yet. */
  #pieceOf(segment: string, piece: number): StoredPieceRow | undefined {
    const known = this.index.pieces.get(segment, piece)
    if (known !== undefined || this.index.segments.knows(segment)) return known
    this.applyLate()
    return this.index.pieces.get(segment, piece)
  }

  held({ segments }: Request<'held'>): Reply<'held'> {
    return {
      held: segments.map((segment) => ({
        pieces: this.index.pieces.held(segment),
        ...this.index.segments.marksOf(segment),
      })),
    }
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
  dropPieces({ segment, pieces }: Request<'dropPieces'>): Reply<'dropPieces'> {
    for (const name of this.#piecesOf(segment)) {
      if ((pieces & (1 << (name.piece - 1))) !== 0) this.#remove(name)
    }
    return { stamp: this.acceptor.stamp() }
  }

  /** Where all four agree, segments that nothing refers to are garbage for good. */
  raiseFloor(request: Request<'floor'>): Reply<'floor'> {
    const reply = this.acceptor.repair.raiseFloor(request)
    if (reply.raised) {
      this.#collector.collect(this.acceptor.floor)
      // What crashes left behind is looked for once after each start.
      if (this.#mayHaveStrays) void this.#removeStrays()
      this.#mayHaveStrays = false
    }
    return reply
  }

  /** The caller has a file of this piece in the making, until the function returned is called. */
  arriving({ segment, piece }: PieceName): () => void {
    const key = `${segment}.${piece}`
    this.#arriving.add(key)
    return () => this.#arriving.delete(key)
  }

  /**
   * Files that a crash between the file and its row has left, in what the store has of pieces. None is
   * deleted because the index does not know it: with `remove` they are moved aside, for 30 days.
   */
  async findStrays({ remove }: Request<'strays'>, pause?: Pause): Promise<Reply<'strays'>> {
    // What an index does not know that has not been filled may be all that there is.
    assert.equal(this.acceptor.state, 'voting')
    await this.index.registers.assertListed(pause)
    await this.index.checkSums(pause)
    let found = 0
    for await (const { segment, piece } of this.pieces.list()) {
      if (this.#isGivenUp) throw new DfsError('damaged')
      if (this.#arriving.has(`${segment}.${piece}`)) continue
      if (this.index.pieces.get(segment, piece)?.content === null) continue
      // It may have been collected, with its row, since it was listed.
      if (!this.pieces.holds({ segment, piece })) continue
      found += 1
      if (remove) this.pieces.moveAside({ segment, piece })
    }
    if (remove) await this.pieces.forgetAside(this.#clock.now() - limits.strayKeptMs)
    return { stamp: this.acceptor.stamp(), found }
  }

  /** See the message. Whether they are right shows only in the whole segment, which the client looks at. */
  async reclaim({ segment, giveBack }: Request<'reclaim'>): Promise<Reply<'reclaim'>> {
    assert.equal(this.acceptor.state, 'voting')
    let pieces = 0
    for (let piece = 1; piece <= pieceCount; piece += 1) {
      const name = { segment: segment.id, piece }
      const known = this.index.pieces.get(segment.id, piece)
      if ((giveBack & (1 << (piece - 1))) !== 0 && known?.content === null) {
        this.index.pieces.remove(segment.id, piece)
        this.pieces.moveAside(name)
      } else if (giveBack === 0 && known === undefined && (await this.#adopt(name, segment))) {
        pieces |= 1 << (piece - 1)
      }
    }
    return { stamp: this.acceptor.stamp(), pieces }
  }

  /** Takes a file that no row knows for a piece of this segment, if it is as long. */
  async #adopt(name: PieceName, segment: Segment): Promise<boolean> {
    const { length } = pieceRange(segment.length, name.piece)
    if (length === 0 || this.#arriving.has(`${name.segment}.${name.piece}`)) return false
    const bytes = await this.pieces.bringBack(name)
    if (bytes !== length) return false
    const checksums: number[] = []
    for (let offset = 0; offset < length; offset += framePayloadBytesMax) {
      const part = await this.pieces.read(
        name,
        offset,
        Math.min(framePayloadBytesMax, length - offset),
      )
      checksums.push(...checksumsOf(part.bytes))
      part.release()
    }
    // It may have arrived meanwhile.
    if (this.index.pieces.get(name.segment, name.piece) !== undefined) return false
    this.index.pieces.add(name.segment, name.piece, length, checksums)
    notice(
      `${this.user}: piece ${name.piece} of ${name.segment} was found on the disk and is in the index again`,
    )
    return true
  }

  async #removeStrays(): Promise<void> {
    try {
      const giveWay = (): Promise<void> => sleep(this.#clock, limits.checkPauseMs)
      const { found } = await this.findStrays({ remove: true }, giveWay)
      if (found > 0) notice(`${this.user}: ${found} files that belong to no piece were moved aside`)
    } catch (thrown) {
      debugDfs('%s: strays: %o', this.user, thrown)
    }
  }

  /** It cannot go on: its owner closes it, and nobody believes what it has. */
  get isGivenUp(): boolean {
    return this.#isGivenUp
  }

  /** To be called when the index is broken, or its disk: see `isGivenUp`. */
  giveUp(error: DfsError): void {
    if (this.#isGivenUp) return
    this.#isGivenUp = true
    this.#onDamage(this, error)
  }

  /** Resolves when these segments' pieces, and then all that was voted and written, are on the disk. */
  async sync({ segments }: Request<'sync'>): Promise<Reply<'sync'>> {
    await this.pieces.sync(segments.flatMap((segment) => this.#filesOf(segment)))
    await this.#syncIndex()
    return { stamp: this.acceptor.stamp() }
  }

  /** As `commit`; resolves when the vote is on the disk, with all that was answered before. */
  async commitSynced(
    request: Request<'commit'>,
    payload: Buffer,
    entry: Buffer,
  ): Promise<Reply<'commit'>> {
    const reply = this.index.group(() => this.commit(request, payload, entry))
    await this.#syncIndex()
    return reply
  }

  /** Votes that are only logged need not be written to the index for it. */
  async #syncIndex(): Promise<void> {
    try {
      await Promise.all([this.acceptor.syncVotes(), this.index.sync()])
    } catch (thrown) {
      throw storageError(thrown)
    }
  }

  async status(): Promise<Reply<'status'>> {
    const space = await this.pieces.space()
    const { registers, undecided } = this.acceptor.counts()
    const { pieces, pieceBytes } = this.index.totals.now
    return {
      stamp: this.acceptor.stamp(),
      state: this.acceptor.state,
      floor: this.acceptor.floor,
      timeMs: Math.max(0, Math.floor(this.#clock.now())),
      registers,
      undecided,
      misplaced: this.index.segments.misplacedTotal(),
      lost: this.index.segments.lostTotal(),
      pieces,
      pieceBytes,
      diskBytes: space.bytes,
      diskFreeBytes: space.freeBytes,
      disk: space.disk,
    }
  }

  close(): void {
    this.#collector.stop()
    this.lease.close()
    this.#late?.cancel()
    if (!this.#isGivenUp) this.applyLate()
    this.#isGivenUp = true
    try {
      this.#close()
    } catch (thrown) {
      // As after a kill: what is open is taken in when the account is opened again.
      debugDfs('%s: not closed: %o', this.user, thrown)
    }
    debugDfs('%s: account closed', this.user)
  }

  /** The index first: a file without its row is garbage, a row without its file would be a lie. */
  #remove(name: PieceName): void {
    const isFile = this.index.pieces.get(name.segment, name.piece)?.content === null
    this.index.pieces.remove(name.segment, name.piece)
    if (isFile) this.pieces.remove(name)
  }

  #filesOf(segment: string): readonly PieceName[] {
    return this.#piecesOf(segment).filter(
      ({ piece }) => this.index.pieces.get(segment, piece)?.content === null,
    )
  }

  #piecesOf(segment: string): readonly PieceName[] {
    const held = this.index.pieces.held(segment)
    const names = Array.from({ length: pieceCount }, (_, index) => ({ segment, piece: index + 1 }))
    return names.filter(({ piece }) => (held & (1 << (piece - 1))) !== 0)
  }

  /** A file that is gone is no longer claimed to be here, so that repair brings it back. */
  async #readPiece(name: PieceName, offset: number, length: number): Promise<LentBytes> {
    if (length === 0) return kept(Buffer.alloc(0))
    try {
      return await this.pieces.read(name, offset, length)
    } catch (thrown) {
      if (thrown instanceof DfsError && thrown.code === 'noPiece') {
        // It may have come again since it was looked for.
        if (this.pieces.holds(name)) throw thrown
        notice(
          `${this.user}: piece ${name.piece} of ${name.segment} is gone from the disk; repair will replace it`,
        )
        this.index.pieces.remove(name.segment, name.piece)
      }
      throw thrown
    }
  }
}

function anotherPiece(): DfsError {
  return new DfsError('invalid', 'Another piece of this name is here: pieces never change')
}

/** Bytes that are nobody's to give back. */
function kept(bytes: Buffer): LentBytes {
  return { bytes, release() {} }
}

interface InlineBytes {
  readonly segment: string
  readonly piece: number
  readonly checksums: readonly number[]
  readonly bytes: Buffer
}

/** The pieces with their bytes. Throws `protocol` when there are too few or too many of these. */
function inlineBytes(inline: readonly InlinePiece[], payload: Buffer): InlineBytes[] {
  let at = 0
  const pieces = inline.map(({ segment, piece, length, checksums }) => {
    const bytes = payload.subarray(at, at + length)
    at += length
    if (bytes.length !== length) throw new DfsError('protocol', 'inline pieces are truncated')
    return { segment, piece, checksums, bytes }
  })
  if (at !== payload.length) throw new DfsError('protocol', 'bytes of no inline piece')
  return pieces
}

function checkInline(inline: readonly InlinePiece[], payload: Buffer): void {
  for (const { piece, checksums, bytes } of inlineBytes(inline, payload)) {
    checkPiece(piece, bytes.length)
    if (!matchesChecksums(bytes, checksums)) throw new DfsError('corrupt')
  }
}

/** Throws `invalid` for a piece that no segment can have. */
export function checkPiece(piece: number, length: number): void {
  if (piece >= 1 && piece <= pieceCount && length <= limits.segmentBytesMax / pieceCount) return
  throw new DfsError('invalid', `no segment has a piece ${piece} of ${length} bytes`)
}
