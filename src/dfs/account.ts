/**
 * One user on this server: the index with its registers, the acceptor that rules them, and the
 * pieces. Here are the verbs about pieces that need all three; connections of the user share it.
 */
import type { Clock, Random } from '../clock.js'
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import { debugDfs, notice } from '../log.js'
import { matchesChecksums } from '../wire/checksum.js'
import type { InlinePiece, Reply, Request } from '../wire/messages.js'
import { Acceptor } from './acceptor.js'
import { Collector } from './collector.js'
import type { AccountIndex } from './index.js'
import type { PieceName, PieceStore } from './piece-store.js'
import type { AccountStorage } from './storage.js'

const { blockBytes, framePayloadBytesMax, pieceCount } = limits

export interface PieceAnswer {
  readonly reply: Reply<'getPiece'>
  readonly payload: Buffer
}

export class Account {
  readonly user: string
  readonly index: AccountIndex
  readonly acceptor: Acceptor
  readonly pieces: PieceStore
  readonly #close: () => void
  readonly #collector: Collector

  constructor(user: string, storage: AccountStorage, random: Random, clock: Clock) {
    this.user = user
    this.index = storage.index
    this.pieces = storage.pieces
    this.#close = () => storage.close()
    this.acceptor = new Acceptor(storage.index, random)
    if (storage.index.openedUnclean(storage.boot)) {
      this.acceptor.becomeUnsure(random)
      notice(`${user}: the machine stopped without notice: repair has to confirm what is here`)
    }
    this.#collector = new Collector(storage.index, clock, (segment) => {
      for (const name of this.#piecesOf(segment)) this.#remove(name)
    })
  }

  /**
   * Stores the pieces that travel inside a commit, before the commit is looked at: a yes says that
   * they are here. Throws `corrupt` when one does not match its checksums.
   */
  putInline(inline: readonly InlinePiece[], payload: Buffer): void {
    let at = 0
    for (const { segment, piece, length, checksums } of inline) {
      const bytes = payload.subarray(at, at + length)
      at += length
      if (bytes.length !== length) throw new DfsError('protocol', 'inline pieces are truncated')
      checkPiece(piece, length)
      if (!matchesChecksums(bytes, checksums)) throw new DfsError('corrupt')
      if (this.isHeld({ segment, piece }, length, checksums)) continue
      if (length <= limits.smallPieceBytesMax) {
        this.index.addPiece(segment, piece, length, checksums, bytes)
        continue
      }
      this.pieces.put({ segment, piece }, bytes)
      this.index.addPiece(segment, piece, length, checksums)
    }
    if (at !== payload.length) throw new DfsError('protocol', 'bytes of no inline piece')
  }

  /** Whether just this piece is here already. Throws `invalid` when it is another of this name. */
  isHeld({ segment, piece }: PieceName, length: number, checksums: readonly number[]): boolean {
    const known = this.index.pieceOf(segment, piece)
    if (known === undefined) return false
    const equal = known.checksums.every((checksum, block) => checksum === checksums[block])
    if (known.length === length && equal) return true
    throw new DfsError('invalid', 'Another piece of this name is here: pieces never change')
  }

  /** Whole blocks around the wanted bytes, at most framePayloadBytesMax of them. */
  async getPiece({ segment, piece, ...wanted }: Request<'getPiece'>): Promise<PieceAnswer> {
    const known = this.index.pieceOf(segment, piece)
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
        : this.index.contentOf(known.content).subarray(offset, offset + length)
    if (!matchesChecksums(payload, checksums)) {
      notice(`${this.user}: piece ${piece} of ${segment} has rotted on the disk`)
      throw new DfsError('corrupt')
    }
    return { reply: { pieceLength: known.length, offset, checksums }, payload }
  }

  held({ segments }: Request<'held'>): Reply<'held'> {
    return { held: segments.map((segment) => ({ pieces: this.index.heldPieces(segment) })) }
  }

  segments({ after, misplacedOnly, limit }: Request<'segments'>): Reply<'segments'> {
    const wanted = Math.min(limit, limits.surveyEntriesMax)
    const found = this.index.segments(after, misplacedOnly, wanted)
    const segments = found.map(({ segment, referred }) => ({
      segment,
      referred,
      pieces: this.index.heldPieces(segment.id),
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
    const reply = this.acceptor.raiseFloor(request)
    if (reply.raised) this.#collector.collect(this.acceptor.floor)
    return reply
  }

  /** Resolves when these segments' pieces, and then all that the index says, are on the disk. */
  async sync({ segments }: Request<'sync'>): Promise<Reply<'sync'>> {
    await this.pieces.sync(segments.flatMap((segment) => this.#filesOf(segment)))
    await this.index.sync()
    return { stamp: this.acceptor.stamp() }
  }

  async status(): Promise<Reply<'status'>> {
    const space = await this.pieces.space()
    const { registers, undecided } = this.acceptor.counts()
    const totals = this.index.pieceTotals()
    return {
      stamp: this.acceptor.stamp(),
      state: this.acceptor.state,
      floor: this.acceptor.floor,
      registers,
      undecided,
      misplaced: this.index.misplacedTotal(),
      pieces: totals.pieces,
      pieceBytes: totals.bytes,
      diskBytes: space.bytes,
      diskFreeBytes: space.freeBytes,
      disk: space.disk,
    }
  }

  close(): void {
    this.#collector.stop()
    this.#close()
    debugDfs('%s: account closed', this.user)
  }

  /** The index first: a file without its row is garbage, a row without its file would be a lie. */
  #remove(name: PieceName): void {
    const isFile = this.index.pieceOf(name.segment, name.piece)?.content === null
    this.index.removePiece(name.segment, name.piece)
    if (isFile) this.pieces.remove(name)
  }

  #filesOf(segment: string): readonly PieceName[] {
    return this.#piecesOf(segment).filter(
      ({ piece }) => this.index.pieceOf(segment, piece)?.content === null,
    )
  }

  #piecesOf(segment: string): readonly PieceName[] {
    const held = this.index.heldPieces(segment)
    const names = Array.from({ length: pieceCount }, (_, index) => ({ segment, piece: index + 1 }))
    return names.filter(({ piece }) => (held & (1 << (piece - 1))) !== 0)
  }

  /** A file that is gone is no longer claimed to be here, so that repair brings it back. */
  async #readPiece(name: PieceName, offset: number, length: number): Promise<Buffer> {
    if (length === 0) return Buffer.alloc(0)
    try {
      return await this.pieces.read(name, offset, length)
    } catch (thrown) {
      if (thrown instanceof DfsError && thrown.code === 'noPiece') {
        notice(`${this.user}: piece ${name.piece} of ${name.segment} has vanished from the disk`)
        this.index.removePiece(name.segment, name.piece)
      }
      throw thrown
    }
  }
}

/** Throws `invalid` for a piece that no segment can have. */
export function checkPiece(piece: number, length: number): void {
  if (piece >= 1 && piece <= pieceCount && length <= limits.segmentBytesMax / pieceCount) return
  throw new DfsError('invalid', `no segment has a piece ${piece} of ${length} bytes`)
}
