/**
 * Stores prepared segments: each server's pieces are sent to it in frames, of which a bounded number are unanswered.
 * A segment is stored when two servers have confirmed each piece. When a server dies meanwhile, its neighbours take
 * its pieces before the put resolves.
 */

import assert from 'node:assert/strict'
import { Semaphore } from '../../async/semaphore.js'
import { asDfsError, DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc, notice } from '../../log.js'
import { lengthOfBuffers, sliceBuffers } from '../../memory/buffer-list.js'
import type { Request } from '../../wire/messages.js'
import { pairOf, piecesFor, serverIndexes } from '../../wire/placement.js'
import { quorum } from '../../wire/quorum.js'
import type { Segment } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import type { PreparedPiece, PreparedSegment } from './prepared-segment.js'

const roundsMax = 4
/** A bit for each piece of a segment. */
const allPieces = (1 << limits.pieceCount) - 1

/** Failures that sending the pieces to other servers would not cure. */
const fatal = ['quota', 'protocol', 'invalid'] as const

/** A server that could not take its pieces. */
interface Lost {
  readonly server: number
  readonly error: DfsError
}

/** The result of one put: the pieces that each server has confirmed. */
type Stored = readonly Set<number>[]

/** Makes room for so many bytes of content. */
export type MakesRoom = (failure: unknown, bytes: number) => Promise<boolean>

export class SegmentWriter {
  readonly #cluster: Cluster
  readonly #makeRoom: MakesRoom
  /** Segments on their way. */
  readonly #puts = new Semaphore(limits.segmentPutsInFlightMax)
  /** For each server: frames sent and not answered. */
  readonly #slots = serverIndexes.map(() => new Semaphore(limits.putFramesInFlightMax))
  /** For each server whose disk was full: when it is tried again, on the monotonic clock. */
  readonly #fullUntilMs: (number | undefined)[] = []

  /** `makeRoom` is called with a failure for lack of room: true when the put may be tried again. */
  constructor(cluster: Cluster, makeRoom: MakesRoom = async () => false) {
    this.#cluster = cluster
    this.#makeRoom = makeRoom
  }

  /**
   * Resolves when every piece is on two servers. Throws `readOnly` when fewer than three servers can take pieces,
   * `noSpace` when that is because their disks are full, `quota` when one of them refuses. The pieces of a segment
   * that failed are garbage, which the servers collect; after `quota` they are removed at once. `onSent` is called with
   * numbers of bytes of the segment as they are confirmed, which together are its length.
   */
  async put(prepared: PreparedSegment, onSent?: (bytes: number) => void): Promise<void> {
    const sending = new Sending(prepared.segment.length, onSent)
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#putOnce(prepared, sending)
      } catch (thrown) {
        const isLast = attempt >= limits.trashRoomAttemptsMax
        if (isLast || !(await this.#makeRoom(thrown, prepared.segment.length))) throw thrown
      }
    }
  }

  async #putOnce(prepared: PreparedSegment, sending: Sending): Promise<void> {
    try {
      await this.#puts.run(() => this.#put(prepared, sending))
    } catch (thrown) {
      if (isError(thrown, 'quota')) await this.remove([prepared.segment])
      throw thrown
    }
  }

  /**
   * Removes the pieces of segments that no commit refers to, or ever will, from the servers that are up, so that the
   * user has the room for something else. Never rejects.
   */
  async remove(segments: readonly Segment[]): Promise<void> {
    for (const { id: segment } of segments) {
      const fields = { segment, pieces: allPieces }
      await this.#cluster.ask(this.#cluster.up, 'dropPieces', () => fields)
    }
  }

  /**
   * Completes a commit that carried the pieces and that `missing` did not answer: sends their pieces to the
   * neighbours, so that there are two copies of each. Throws when that cannot be done now; the content is committed
   * and readable all the same, and repair makes the second copies.
   */
  async ensureCopies(prepared: PreparedSegment, missing: readonly number[]): Promise<void> {
    const absent = new Set(missing)
    if (absent.size === 0) return
    if (absent.size > 1) throw new DfsError('readOnly')
    const stored = serverIndexes.map((server) => new Set(pairOf(server, prepared.rotation)))
    const [lost] = await this.#send(prepared, absent, stored, new Sending(0))
    if (lost !== undefined) throw lost.error
  }

  /** Stores one piece on `server`, in place of its copy: used by repair. */
  async putPiece(segment: Segment, piece: PreparedPiece, server: number): Promise<void> {
    await this.#sendPieces(segment, [piece], server, new Transfer(new Sending(0)))
  }

  async #put(prepared: PreparedSegment, sending: Sending): Promise<void> {
    await this.#cluster.reconnecting
    if (this.#cluster.voters.length < quorum.pieces) throw new DfsError('readOnly')
    const stored = serverIndexes.map(() => new Set<number>())
    let absent = this.#away()
    let full: DfsError | undefined
    for (let round = 0; round < roundsMax; round += 1) {
      // A server that was away when the put began, or failed in it, may be back when another one fails.
      if (absent.size > 1) {
        await this.#cluster.reconnecting
        absent = this.#away()
      }
      if (absent.size > 1) break
      const lost = await this.#send(prepared, absent, stored, sending)
      if (lost.length === 0) {
        assertTwoCopies(prepared, stored)
        sending.end()
        return
      }
      for (const { server, error } of lost) {
        stored[server]?.clear()
        absent.add(server)
        if (error.code === 'noSpace') full = this.#becameFull(server, error)
      }
    }
    throw full ?? new DfsError('readOnly')
  }

  /** Servers to skip: those that are down or, if all are up, a single one that is slow or full. */
  #away(): Set<number> {
    const links = serverIndexes.map((server) => this.#cluster.link(server))
    const down = links.filter(({ isUp }) => !isUp)
    const now = this.#cluster.clock.monotonic()
    const bad = links.filter(
      ({ isSlow, index }) => isSlow || now < (this.#fullUntilMs[index] ?? Number.NEGATIVE_INFINITY),
    )
    const away = down.length === 0 && bad.length === 1 ? bad : down
    return new Set(away.map(({ index }) => index))
  }

  /**
   * Has its neighbours take the pieces of a full server for a while, as if it were down, and logs when that begins.
   */
  #becameFull(server: number, error: DfsError): DfsError {
    const { clock } = this.#cluster
    const name = this.#cluster.link(server).name
    if (this.#fullUntilMs[server] === undefined) {
      notice(`${name} has no space left; its neighbours store its pieces until it has`, 'warning')
    }
    this.#fullUntilMs[server] = clock.monotonic() + limits.fullServerMs
    return error
  }

  /** Sends the pieces that are not stored yet, and returns the servers that failed meanwhile, with the reason. */
  async #send(
    prepared: PreparedSegment,
    absent: ReadonlySet<number>,
    stored: Stored,
    sending: Sending,
  ): Promise<Lost[]> {
    const transfer = new Transfer(sending)
    const lost: Lost[] = []
    await Promise.all(
      serverIndexes.map(async (server) => {
        const taken = new Set(piecesFor(server, prepared.rotation, absent))
        const pieces = prepared.pieces.filter(
          ({ piece }) => taken.has(piece) && stored[server]?.has(piece) === false,
        )
        try {
          await this.#sendPieces(prepared.segment, pieces, server, transfer)
          for (const { piece } of pieces) stored[server]?.add(piece)
          if (pieces.length > 0) this.#fullUntilMs[server] = undefined
        } catch (thrown) {
          const error = asDfsError(thrown)
          debugDfc('put %s: server %d: %s', prepared.segment.id, server, error.message)
          if (isError(error, ...fatal)) transfer.failure ??= error
          else lost.push({ server, error })
        }
      }),
    )
    if (transfer.failure !== undefined) throw transfer.failure
    return lost
  }

  /** Sends the pieces one behind the other; a failure of the whole transfer ends it early. */
  async #sendPieces(
    segment: Segment,
    pieces: readonly PreparedPiece[],
    server: number,
    transfer: Transfer,
  ): Promise<void> {
    const slots = this.#slots[server]
    const answers: Promise<void>[] = []
    let failure: DfsError | undefined
    for (const { fields, payload } of framesOf(segment, pieces)) {
      await slots?.take()
      if (failure !== undefined || transfer.failure !== undefined) {
        slots?.give()
        break
      }
      const answer = this.#cluster
        .request(server, 'putPiece', fields, payload)
        .then(() => transfer.sending.confirmed(lengthOfBuffers(payload)))
        .catch((thrown: unknown) => {
          failure ??= asDfsError(thrown)
        })
        .then(() => slots?.give())
      answers.push(answer)
    }
    await Promise.all(answers)
    if (failure !== undefined) throw failure
  }
}

/** Asserts that a segment is stored: each piece is confirmed by two servers. */
function assertTwoCopies({ pieces }: PreparedSegment, stored: Stored): void {
  for (const { piece } of pieces) {
    const copies = stored.filter((held) => held.has(piece)).length
    assert(copies >= 2, `piece ${piece} has ${copies} copies`)
  }
}

/** One put to all servers, with the failure that made it pointless to go on, if any. */
class Transfer {
  readonly sending: Sending
  failure: DfsError | undefined

  constructor(sending: Sending) {
    this.sending = sending
  }
}

/** How much of a segment is confirmed. Each byte is sent twice, and more often where a server fails meanwhile. */
class Sending {
  readonly #onSent: ((bytes: number) => void) | undefined
  /** Bytes of the segment that are not counted yet. */
  #leftBytes: number
  /** A byte that was confirmed once and counts with the next one. */
  #odd = 0

  constructor(length: number, onSent?: (bytes: number) => void) {
    this.#leftBytes = length
    this.#onSent = onSent
  }

  confirmed(bytes: number): void {
    const copies = bytes + this.#odd
    this.#odd = copies % limits.pieceCopies
    this.#count(Math.floor(copies / limits.pieceCopies))
  }

  /** Counts what is left: the segment is stored. */
  end(): void {
    this.#count(this.#leftBytes)
  }

  #count(bytes: number): void {
    const counted = Math.min(bytes, this.#leftBytes)
    this.#leftBytes -= counted
    if (counted > 0) this.#onSent?.(counted)
  }
}

interface PieceFrame {
  readonly fields: Request<'putPiece'>
  readonly payload: readonly Buffer[]
}

/** The frames that carry `pieces`, each piece's in order, made one by one as they are sent. */
function* framesOf(segment: Segment, pieces: readonly PreparedPiece[]): Iterable<PieceFrame> {
  for (const { piece, length, parts, checksums } of pieces) {
    for (let offset = 0; offset < length; offset += limits.framePayloadBytesMax) {
      const end = Math.min(length, offset + limits.framePayloadBytesMax)
      yield {
        fields: {
          segment: segment.id,
          piece,
          pieceLength: length,
          offset,
          checksums: checksums.slice(
            offset / limits.blockBytes,
            Math.ceil(end / limits.blockBytes),
          ),
        },
        payload: sliceBuffers(parts, offset, end - offset),
      }
    }
  }
}
