/**
 * The pieces that one connection is sending, part by part. A part is checked when it arrives and
 * written in order; the piece is there, and known to the index, when its last part was answered.
 * What is unfinished goes with the connection, or makes room when it has been idle for long.
 */
import assert from 'node:assert/strict'
import type { Clock } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { matchesChecksums } from '../../wire/checksum.js'
import type { Reply, Request } from '../../wire/messages.js'
import type { Account } from '../account/account.js'
import { checkPiece } from '../account/account-pieces.js'
import type { PieceName, PieceWriter } from '../pieces/piece-store.js'
import type { UploadShares } from './shares.js'

interface Upload {
  readonly name: PieceName
  readonly length: number
  readonly writer: PieceWriter
  readonly checksums: number[]
  /** Bytes that have arrived, written or not. */
  arrivedBytes: number
  touchedMs: number
  /** Bytes of it that the user's quota counts as arriving. */
  reservedBytes: number
  /** Settles when all that has arrived is written. */
  written: Promise<void>
}

export class Uploads {
  readonly #account: Account
  readonly #clock: Clock
  readonly #shares: UploadShares
  /** The least recently touched first. */
  readonly #uploads = new Map<string, Upload>()

  constructor(account: Account, clock: Clock, shares: UploadShares) {
    this.#shares = shares
    this.#account = account
    this.#clock = clock
  }

  /** Parts of one piece may be sent without waiting, in order; offset 0 begins the piece anew. */
  async put(request: Request<'putPiece'>, payload: Buffer): Promise<Reply<'putPiece'>> {
    checkPart(request, payload)
    const { segment, piece, pieceLength, checksums } = request
    if (payload.length === pieceLength && pieceLength <= limits.smallPieceBytesMax) {
      const { index } = this.#account
      await this.#account.pieces.assertReplaceable({ segment, piece }, pieceLength, checksums)
      this.#account.quota.assertRoomFor(this.#moreThanNow({ segment, piece }, pieceLength))
      index.pieces.add(segment, piece, pieceLength, checksums, payload)
      return {}
    }
    const key = `${segment}.${piece}`
    const upload = this.#uploadOf(key, request)
    upload.arrivedBytes += payload.length
    upload.checksums.push(...checksums)
    assert(upload.arrivedBytes <= upload.length, 'more has arrived than the piece is long')
    const isLast = upload.arrivedBytes === pieceLength
    upload.written = upload.written.then(async () => {
      await upload.writer.append(payload)
      if (isLast) await this.#finish(upload)
    })
    try {
      await upload.written
    } catch (thrown) {
      this.#giveUp(key, upload)
      throw thrown
    }
    if (isLast) this.#forget(key, upload)
    return {}
  }

  /** Gives up what is unfinished of these pieces. */
  drop({ segment, pieces }: Request<'dropPieces'>): void {
    for (const [key, upload] of this.#uploads) {
      const { name } = upload
      if (name.segment === segment && (pieces & (1 << (name.piece - 1))) !== 0) {
        this.#giveUp(key, upload)
      }
    }
  }

  /** Gives up everything unfinished. */
  abandon(): void {
    for (const [key, upload] of this.#uploads) this.#giveUp(key, upload)
  }

  /** The upload that the part belongs to, now the most recently touched. */
  #uploadOf(key: string, { segment, piece, pieceLength, offset }: Request<'putPiece'>): Upload {
    const begun = this.#uploads.get(key)
    const goesOn = offset > 0 && begun?.arrivedBytes === offset && begun.length === pieceLength
    if (!goesOn && begun !== undefined) this.#giveUp(key, begun)
    if (!goesOn && offset > 0) {
      throw new DfsError('invalid', 'The parts of a piece must come in order')
    }
    const upload = goesOn ? begun : this.#begin({ segment, piece }, pieceLength)
    upload.touchedMs = this.#clock.monotonic()
    this.#uploads.delete(key)
    this.#uploads.set(key, upload)
    return upload
  }

  #begin(name: PieceName, length: number): Upload {
    this.#makeRoom()
    const reservedBytes = this.#moreThanNow(name, length)
    this.#account.quota.reserve(reservedBytes)
    try {
      this.#shares.begin(this.#account.user)
    } catch (thrown) {
      this.#account.quota.release(reservedBytes)
      throw thrown
    }
    const writer = this.#account.pieces.store.writer(name)
    const written = Promise.resolve()
    const begun = { name, length, writer, reservedBytes, written }
    return { ...begun, checksums: [], arrivedBytes: 0, touchedMs: 0 }
  }

  /** How many bytes more there will be than there are of the piece now. */
  #moreThanNow({ segment, piece }: PieceName, length: number): number {
    return Math.max(0, length - (this.#account.index.pieces.get(segment, piece)?.length ?? 0))
  }

  #makeRoom(): void {
    const idleSince = this.#clock.monotonic() - limits.uploadIdleMs
    for (const [key, upload] of this.#uploads) {
      if (upload.touchedMs > idleSince) break
      this.#giveUp(key, upload)
    }
    if (this.#uploads.size < limits.uploadsMax) return
    throw new DfsError('overloaded', 'Too many pieces at once on one connection')
  }

  /** A piece that is here already is written again all the same: that is how rot is repaired. */
  async #finish(upload: Upload): Promise<void> {
    const { name, length, writer, checksums } = upload
    assert.equal(checksums.length, Math.ceil(length / limits.blockBytes))
    await this.#account.pieces.assertReplaceable(name, length, checksums)
    const arrived = this.#account.pieces.arriving(name)
    try {
      await writer.finish()
      this.#releaseBytes(upload)
      if (this.#account.pieces.isSame(name, length, checksums) === true) return
      this.#account.index.pieces.add(name.segment, name.piece, length, checksums)
    } finally {
      arrived()
    }
  }

  #giveUp(key: string, upload: Upload): void {
    upload.writer.abandon()
    this.#forget(key, upload)
  }

  #forget(key: string, upload: Upload): void {
    if (this.#uploads.get(key) !== upload) return
    this.#uploads.delete(key)
    this.#shares.end(this.#account.user)
    this.#releaseBytes(upload)
  }

  #releaseBytes(upload: Upload): void {
    this.#account.quota.release(upload.reservedBytes)
    upload.reservedBytes = 0
  }
}

/** A part begins at a block, ends at a block or with the piece, and matches its checksums. */
function checkPart(request: Request<'putPiece'>, payload: Buffer): void {
  const { piece, pieceLength, offset, checksums } = request
  checkPiece(piece, pieceLength)
  const end = offset + payload.length
  const whole = end === pieceLength || (payload.length > 0 && end % limits.blockBytes === 0)
  if (offset % limits.blockBytes !== 0 || !whole || end > pieceLength) {
    throw new DfsError('invalid', 'A part of a piece must be whole blocks')
  }
  if (!matchesChecksums(payload, checksums)) throw new DfsError('corrupt')
}
