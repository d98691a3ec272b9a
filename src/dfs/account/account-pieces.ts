/**
 * The pieces of one user on this server: rows of the index with the bytes of small ones, files for the
 * others, and what is told of both. A piece never changes; one that has rotted may be replaced.
 */
import assert from 'node:assert/strict'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { notice } from '../../log.js'
import { matchesChecksums } from '../../wire/checksum.js'
import type { Decision, InlinePiece, Reply, Request } from '../../wire/messages.js'
import type { AccountIndex } from '../index/account-index.js'
import type { Pause } from '../index/pages.js'
import type { StoredPieceRow } from '../index/pieces.js'
import type { LentBytes, PieceName, PieceStore } from '../pieces/piece-store.js'

const { blockBytes, framePayloadBytesMax, pieceCount, smallPieceBytesMax } = limits

/** A reply to `getPiece`, with the bytes behind it. */
export interface PieceAnswer {
  readonly reply: Reply<'getPiece'>
  readonly payload: LentBytes
}

export class AccountPieces {
  /** Where the files of pieces are. */
  readonly store: PieceStore
  readonly #user: string
  readonly #index: AccountIndex
  readonly #applyLate: () => void
  /** Pieces whose files may be there before their rows. */
  readonly #arriving = new Set<string>()
  /** Pieces of which the log says that they have rotted. */
  readonly #toldRotten = new Set<string>()

  /** `applyLate` writes the votes that wait, with the pieces that came with them, to the index. */
  constructor(user: string, index: AccountIndex, store: PieceStore, applyLate: () => void) {
    this.#user = user
    this.#index = index
    this.store = store
    this.#applyLate = applyLate
  }

  // -- coming ------------------------------------------------------------------------------------

  /**
   * Stores pieces that came with a commit, but for the spare ones of `without`, which are not needed any more. Throws `invalid` when
   * another piece of such a name is here.
   */
  putInline(
    inline: readonly InlinePiece[],
    payload: Buffer,
    without: Decision['spares'] = [],
  ): void {
    this.#index.assertInGroup()
    const isSpare = (one: PieceName): boolean =>
      without.some(({ segment, piece }) => segment === one.segment && piece === one.piece)
    const pieces = inlineBytes(inline, payload).filter((piece) => !isSpare(piece))
    const [first] = pieces
    if (first === undefined) return
    const { segment } = first
    const areNew =
      pieces.every((one) => one.segment === segment && one.bytes.length <= smallPieceBytesMax) &&
      !this.#index.segments.knows(segment)
    if (areNew) this.#index.pieces.addSmall(segment, pieces)
    else for (const piece of pieces) this.#putInlinePiece(piece)
  }

  #putInlinePiece({ segment, piece, checksums, bytes }: InlineBytes): void {
    const { length } = bytes
    const isSame = this.isSame({ segment, piece }, length, checksums)
    if (isSame === false) throw anotherPiece()
    if (isSame === true) return
    if (length <= smallPieceBytesMax) {
      this.#index.pieces.add(segment, piece, length, checksums, bytes)
      return
    }
    this.store.put({ segment, piece }, bytes)
    this.#index.pieces.add(segment, piece, length, checksums)
  }

  /** Whether it is this piece that is here by this name; undefined when there is none. */
  isSame(
    { segment, piece }: PieceName,
    length: number,
    checksums: readonly number[],
  ): boolean | undefined {
    const known = this.#index.pieces.get(segment, piece)
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

  /** Notes that a file of this piece is in the making, until the function returned is called. */
  arriving({ segment, piece }: PieceName): () => void {
    const key = `${segment}.${piece}`
    this.#arriving.add(key)
    return () => this.#arriving.delete(key)
  }

  /** Whether a file of this piece is in the making. */
  isArriving({ segment, piece }: PieceName): boolean {
    return this.#arriving.has(`${segment}.${piece}`)
  }

  // -- telling -----------------------------------------------------------------------------------

  /** Reads whole blocks around the wanted bytes, at most framePayloadBytesMax of them. */
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
        : kept(this.#index.pieces.content(known.content).subarray(offset, offset + length))
    if (!matchesChecksums(payload.bytes, checksums)) {
      payload.release()
      this.#tellRotten(segment, piece)
      throw new DfsError('corrupt')
    }
    return { reply: { pieceLength: known.length, offset, checksums }, payload }
  }

  /** Logs a rotten piece once, because a program that reads a lost file reads it again and again. */
  #tellRotten(segment: string, piece: number): void {
    const name = `${segment}.${piece}`
    if (this.#toldRotten.has(name) || this.#toldRotten.size >= limits.badCopiesMax) return
    this.#toldRotten.add(name)
    notice(
      `${this.#user}: piece ${piece} of ${segment} is corrupt on the disk; repair will replace it`,
      'warning',
      `${this.#user}: pieces that are corrupt on the disk`,
    )
  }

  /**
   * Reads those of these pieces that the index keeps: null for one that is in a file, has rotted, or is not
   * here.
   */
  getSmallPieces({ pieces }: Request<'getSmallPieces'>): Reply<'getSmallPieces'> {
    return {
      pieces: pieces.map(({ segment, piece }) => {
        const known = this.#index.pieces.get(segment, piece)
        if (known === undefined || known.content === null) return null
        const { checksums } = known
        const bytes = this.#index.pieces.content(known.content)
        return matchesChecksums(bytes, checksums) ? { checksums: [...checksums], bytes } : null
      }),
    }
  }

  /** Finds the row of a piece, also of one that came with a vote which is not in the index yet. */
  #pieceOf(segment: string, piece: number): StoredPieceRow | undefined {
    const known = this.#index.pieces.get(segment, piece)
    if (known !== undefined || this.#index.segments.knows(segment)) return known
    this.#applyLate()
    return this.#index.pieces.get(segment, piece)
  }

  /** The pieces that are here of each segment, whether it is referred to, and which of its pieces are lost. */
  held({ segments }: Request<'held'>): Reply<'held'> {
    return {
      held: segments.map((segment) => ({
        pieces: this.#index.pieces.held(segment),
        ...this.#index.segments.marksOf(segment),
      })),
    }
  }

  /**
   * Reads from the file of a piece. A file that is gone is no longer claimed to be here, so that repair brings
   * it back.
   */
  async #readPiece(name: PieceName, offset: number, length: number): Promise<LentBytes> {
    if (length === 0) return kept(Buffer.alloc(0))
    try {
      return await this.store.read(name, offset, length)
    } catch (thrown) {
      if (isError(thrown, 'noPiece')) this.#forgetIfGone(name)
      throw thrown
    }
  }

  /**
   * Looks for the files of all pieces. Those that are gone, as after a repair of the disk's file system, are no longer
   * claimed to be here. Throws what the disk says when it cannot tell.
   */
  async forgetGone(pause?: Pause): Promise<void> {
    for await (const name of this.#index.pieces.inFiles(pause)) this.#forgetIfGone(name)
  }

  #forgetIfGone(name: PieceName): void {
    // It may have come again since it was looked for, or have been collected.
    if (this.store.holds(name)) return
    if (this.#index.pieces.get(name.segment, name.piece)?.content !== null) return
    notice(
      `${this.#user}: piece ${name.piece} of ${name.segment} is gone from the disk; repair will replace it`,
      'warning',
      `${this.#user}: pieces that are gone from the disk`,
    )
    this.#index.pieces.remove(name.segment, name.piece)
  }

  // -- going -------------------------------------------------------------------------------------

  /**
   * Removes a piece, the row first: a file without its row is garbage, a row without its file would be a lie.
   */
  remove(name: PieceName): void {
    const isFile = this.#index.pieces.get(name.segment, name.piece)?.content === null
    this.#index.pieces.remove(name.segment, name.piece)
    if (!isFile) return
    assert.equal(this.#index.pieces.get(name.segment, name.piece), undefined)
    this.store.remove(name)
  }

  /** Removes all that is here of a segment. */
  removeAll(segment: string): void {
    for (const name of this.#piecesOf(segment)) this.remove(name)
  }

  /** Removes the pieces whose bits are set, where they are here. */
  drop({ segment, pieces }: Request<'dropPieces'>): void {
    for (const name of this.#piecesOf(segment)) {
      if ((pieces & (1 << (name.piece - 1))) !== 0) this.remove(name)
    }
  }

  /** Resolves when the files of these segments' pieces are on the disk. */
  sync(segments: readonly string[]): Promise<void> {
    return this.store.sync(segments.flatMap((segment) => this.#filesOf(segment)))
  }

  #filesOf(segment: string): readonly PieceName[] {
    return this.#piecesOf(segment).filter(
      ({ piece }) => this.#index.pieces.get(segment, piece)?.content === null,
    )
  }

  #piecesOf(segment: string): readonly PieceName[] {
    const held = this.#index.pieces.held(segment)
    const names = Array.from({ length: pieceCount }, (_, index) => ({ segment, piece: index + 1 }))
    return names.filter(({ piece }) => (held & (1 << (piece - 1))) !== 0)
  }
}

function anotherPiece(): DfsError {
  return new DfsError('invalid', 'Another piece of this name is here: pieces never change')
}

/** Wraps bytes that need not be given back. */
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

/** Throws `invalid` or `corrupt` for pieces that no segment can have, or whose bytes are others. */
export function checkInline(inline: readonly InlinePiece[], payload: Buffer): void {
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
