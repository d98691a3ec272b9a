/**
 * Reads blocks of one piece from any server that has them: first from the less busy of the two holders, then from the
 * other, then from the remaining servers, which may have copies made while a holder was away. When a server is slow
 * to answer, the next one is asked as well. The first answer that matches its checksums wins.
 */

import { Semaphore } from '../../async/semaphore.js'
import { asDfsError, DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { matchesChecksums } from '../../wire/checksum.js'
import { holdersOf, serverIndexes } from '../../wire/placement.js'
import type { Segment } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import { HedgeDelay, inTurn } from '../cluster/hedging.js'
import { SmallPieces } from './small-pieces.js'

/**
 * How many more unanswered reads the two servers with all pieces of a small file may have before others are asked.
 */
const smallPreference = 8

/** Whole blocks of a piece. */
export interface PieceBlocks {
  readonly segment: Segment
  readonly rotation: number
  readonly piece: number
  readonly pieceLength: number
  /** In bytes, a multiple of the block size. */
  readonly offset: number
  /** In bytes: a multiple of the block size, or up to the end of the piece. */
  readonly length: number
}

/** Fetched blocks, and the function that gives back their memory, if that is lent. */
export interface FetchedBlocks {
  readonly bytes: Buffer
  readonly release: (() => void) | undefined
}

/** Called with a copy of a piece that is corrupt or not where it should be. */
export type BadCopyListener = (server: number, segment: Segment, piece: number) => void

export class PieceFetcher {
  readonly #cluster: Cluster
  readonly #onBadCopy: BadCopyListener
  readonly #slots = new Semaphore(limits.fetchesInFlightMax)
  readonly #smallSlots = new Semaphore(limits.smallFetchesInFlightMax)
  readonly #smallPieces: SmallPieces
  readonly #hedgeDelay = new HedgeDelay()
  /** Reads that each server has not answered yet. */
  readonly #unanswered = serverIndexes.map(() => 0)

  constructor(cluster: Cluster, onBadCopy: BadCopyListener) {
    this.#cluster = cluster
    this.#onBadCopy = onBadCopy
    this.#smallPieces = new SmallPieces(cluster)
  }

  /** Whether another fetch would have to wait: then nothing is read ahead. */
  get isBusy(): boolean {
    return this.#slots.waiting > 0 || this.#smallSlots.waiting > 0
  }

  /**
   * Fetches blocks. Throws `incomplete` when they cannot be had now; when all four servers vote and have answered
   * that they do not have them, `dataLost`, or `corrupt` where a copy has rotted. A server that failed does not count
   * as an answer.
   */
  fetch(blocks: PieceBlocks): Promise<FetchedBlocks> {
    const slots = isSmall(blocks) ? this.#smallSlots : this.#slots
    return slots.run(() => this.#fetch(blocks))
  }

  async #fetch(blocks: PieceBlocks): Promise<FetchedBlocks> {
    await this.#cluster.reconnecting
    const servers = this.#inOrder(blocks)
    const failures: DfsError[] = []
    let isFetched = false
    const ask = async (at: number): Promise<FetchedBlocks | undefined> => {
      try {
        const fetched = await this.#ask(servers[at] as number, blocks)
        // Answers after the first are dropped.
        if (isFetched) fetched.release?.()
        isFetched = true
        return fetched
      } catch (thrown) {
        failures.push(asDfsError(thrown))
        return undefined
      }
    }
    const [fetched] = await inTurn(servers.length, 1, ask, {
      clock: this.#cluster.clock,
      // How long answers take is noted with each of them, also with one that comes too late.
      hedgeDelay: { ms: this.#hedgeDelay.ms, note: () => {} },
      isGood: (outcome) => outcome !== undefined,
      onLate: (at) => this.#cluster.link(servers[at] as number).becameSlow(),
    })
    if (fetched === undefined) throw this.#verdict(blocks, failures)
    return fetched
  }

  /** The servers that are up: the holders first, and of two alike the less busy one. */
  #inOrder(blocks: PieceBlocks): readonly number[] {
    const { piece, rotation, offset } = blocks
    const [first, second] = holdersOf(piece, rotation)
    const small = isSmall(blocks)
    const turn = (small ? piece - 1 : Math.floor(offset / limits.framePayloadBytesMax)) % 2
    const rank = (server: number): number => {
      if (server !== first && server !== second) return 1e6
      const isPreferred = server === (turn === 0 ? first : second)
      const link = this.#cluster.link(server)
      const last = (link.blank ? 1e3 : 0) + (link.isSlow ? 1e4 : 0)
      const preference = isPreferred ? 0 : small ? smallPreference * 2 : 1
      return last + (this.#unanswered[server] ?? 0) * 2 + preference
    }
    return this.#cluster.up.toSorted((a, b) => rank(a) - rank(b))
  }

  async #ask(server: number, blocks: PieceBlocks): Promise<FetchedBlocks> {
    const { segment, piece } = blocks
    const { clock } = this.#cluster
    const askedMs = clock.monotonic()
    this.#count(server, 1)
    try {
      const small = isSmall(blocks) ? await this.#askForSmall(server, blocks) : undefined
      const fetched = small ?? (await this.#askForBlocks(server, blocks))
      this.#hedgeDelay.note(clock.monotonic() - askedMs)
      return fetched
    } catch (thrown) {
      debugDfc('read %s.%d from server %d: %o', segment.id, piece, server, thrown)
      if (isBadCopy(server, blocks, thrown)) this.#onBadCopy(server, segment, piece)
      throw thrown
    } finally {
      this.#count(server, -1)
    }
  }

  /** Asks a server for a small piece. Undefined when it is not there as one: an ordinary request then tells why. */
  async #askForSmall(server: number, blocks: PieceBlocks): Promise<FetchedBlocks | undefined> {
    const { segment, piece, length } = blocks
    try {
      const { bytes, checksums } = await this.#smallPieces.get(server, segment.id, piece)
      const isGood = bytes.length === length && matchesChecksums(bytes, checksums)
      return isGood ? { bytes: ownBytes(bytes), release: undefined } : undefined
    } catch (error) {
      if (isError(error, 'noPiece')) return undefined
      throw error
    }
  }

  async #askForBlocks(server: number, blocks: PieceBlocks): Promise<FetchedBlocks> {
    const { segment, piece, pieceLength, offset, length } = blocks
    const fields = { segment: segment.id, piece, offset, length }
    const { reply, payload, release } = await this.#cluster.request(server, 'getPiece', fields)
    const isWanted = reply.pieceLength === pieceLength && reply.offset === offset
    if (isWanted && payload.length === length && matchesChecksums(payload, reply.checksums)) {
      return { bytes: release === undefined ? ownBytes(payload) : payload, release }
    }
    release?.()
    throw new DfsError('corrupt')
  }

  #verdict({ segment, piece }: PieceBlocks, failures: readonly DfsError[]): DfsError {
    const without = failures.filter((error) => isError(error, 'corrupt', 'noPiece'))
    const isSure =
      without.length === limits.serverCount && this.#cluster.voters.length === limits.serverCount
    const isRotten = without.some(({ code }) => code === 'corrupt')
    const cause = new AggregateError(failures, `piece ${piece} of segment ${segment.id}`)
    if (!isSure) return new DfsError('incomplete', undefined, { cause })
    return new DfsError(isRotten ? 'corrupt' : 'dataLost', undefined, { cause })
  }

  #count(server: number, change: number): void {
    this.#unanswered[server] = (this.#unanswered[server] ?? 0) + change
  }
}

/** A whole piece that servers keep in their index. */
function isSmall({ pieceLength, offset, length }: PieceBlocks): boolean {
  return offset === 0 && length === pieceLength && pieceLength <= limits.smallPieceBytesMax
}

function isBadCopy(server: number, { piece, rotation }: PieceBlocks, thrown: unknown): boolean {
  const shouldHold = holdersOf(piece, rotation).includes(server)
  return isError(thrown, 'corrupt') || (shouldHold && isError(thrown, 'noPiece'))
}

/** A small answer may be a view of a large receive buffer, which must not stay for its sake. */
function ownBytes(payload: Buffer): Buffer {
  const isMostOfIt = payload.length * 2 >= payload.buffer.byteLength
  return isMostOfIt ? payload : Buffer.from(payload)
}
