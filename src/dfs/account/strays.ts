/**
 * Files of pieces that no row of the index knows, which a crash between the file and its row has left, or
 * an index that was lost. They are moved aside, and taken back when a segment lacks them.
 */
import { AssertionError } from 'node:assert'
import assert from 'node:assert/strict'
import { type Clock, sleep } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfs, notice } from '../../log.js'
import { checksumsOf } from '../../wire/checksum.js'
import type { Reply, Request } from '../../wire/messages.js'
import { pieceRange } from '../../wire/placement.js'
import type { Segment } from '../../wire/records.js'
import type { AccountIndex } from '../index/account-index.js'
import type { Pause } from '../index/pages.js'
import type { PieceName } from '../pieces/piece-store.js'
import type { Acceptor } from '../quorum/acceptor.js'
import type { AccountPieces } from './account-pieces.js'

const { framePayloadBytesMax, pieceCount } = limits

export class Strays {
  readonly #user: string
  readonly #index: AccountIndex
  readonly #acceptor: Acceptor
  readonly #pieces: AccountPieces
  readonly #clock: Clock
  #isStopped = false
  #mayBeThere = true
  /** The last search that was asked for: each waits for the one before. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(
    user: string,
    index: AccountIndex,
    acceptor: Acceptor,
    pieces: AccountPieces,
    clock: Clock,
  ) {
    this.#user = user
    this.#index = index
    this.#acceptor = acceptor
    this.#pieces = pieces
    this.#clock = clock
  }

  /**
   * Moves aside what crashes have left, and forgets pieces whose files are gone, once after each start: the first time
   * that it is called. Rejects only when an assertion failed.
   */
  async removeOnce(): Promise<void> {
    if (!this.#mayBeThere) return
    this.#mayBeThere = false
    await this.#removeAll()
  }

  /** Ends a search that is running, which fails then. */
  stop(): void {
    this.#isStopped = true
  }

  /**
   * Searches what the store has of pieces for files that a crash between the file and its row has left. None is
   * deleted because the index does not know it: with `remove` they are moved aside, for 30 days, and pieces whose
   * files are gone are forgotten. One search is made after the other, because each of them reads all that there is.
   */
  async find(request: Request<'strays'>, pause?: Pause): Promise<Reply<'strays'>> {
    // What an index does not know that has not been filled may be all that there is.
    assert.equal(this.#acceptor.state, 'voting')
    const search = this.#last.then(() => this.#find(request, pause))
    this.#last = search.catch(() => {})
    return await search
  }

  async #find({ remove }: Request<'strays'>, pause?: Pause): Promise<Reply<'strays'>> {
    this.#acceptor.assertIs('voting')
    await this.#index.registers.assertListed(pause)
    await this.#index.checkSums(pause)
    let found = 0
    for await (const { segment, piece } of this.#pieces.store.list()) {
      if (this.#isStopped) throw new DfsError('damaged')
      if (this.#pieces.isArriving({ segment, piece })) continue
      if (this.#index.pieces.get(segment, piece)?.content === null) continue
      // It may have been collected, with its row, since it was listed.
      if (!this.#pieces.store.holds({ segment, piece })) continue
      found += 1
      if (remove) this.#pieces.store.moveAside({ segment, piece })
    }
    if (remove) {
      await this.#pieces.store.forgetAside(this.#clock.now() - limits.strayKeptMs)
      await this.#pieces.forgetGone(pause)
    }
    return { stamp: this.#acceptor.stamp(), found }
  }

  /**
   * Takes files that no row knows for pieces of a segment, or gives back those that it took, as the message
   * says. Whether they are right shows only in the whole segment, which the client looks at.
   */
  async reclaim({ segment, giveBack }: Request<'reclaim'>): Promise<Reply<'reclaim'>> {
    assert.equal(this.#acceptor.state, 'voting')
    let pieces = 0
    for (let piece = 1; piece <= pieceCount; piece += 1) {
      const name = { segment: segment.id, piece }
      const known = this.#index.pieces.get(segment.id, piece)
      if ((giveBack & (1 << (piece - 1))) !== 0 && known?.content === null) {
        this.#index.pieces.remove(segment.id, piece)
        this.#pieces.store.moveAside(name)
      } else if (giveBack === 0 && known === undefined && (await this.#adopt(name, segment))) {
        pieces |= 1 << (piece - 1)
      }
    }
    return { stamp: this.#acceptor.stamp(), pieces }
  }

  /** Takes a file that no row knows for a piece of this segment, if it is as long. */
  async #adopt(name: PieceName, segment: Segment): Promise<boolean> {
    const { length } = pieceRange(segment.length, name.piece)
    if (length === 0 || this.#pieces.isArriving(name)) return false
    const bytes = await this.#pieces.store.bringBack(name)
    if (bytes !== length) return false
    const checksums: number[] = []
    for (let offset = 0; offset < length; offset += framePayloadBytesMax) {
      const part = await this.#pieces.store.read(
        name,
        offset,
        Math.min(framePayloadBytesMax, length - offset),
      )
      checksums.push(...checksumsOf(part.bytes))
      part.release()
    }
    // It may have arrived meanwhile.
    if (this.#index.pieces.get(name.segment, name.piece) !== undefined) return false
    this.#index.pieces.add(name.segment, name.piece, length, checksums)
    const what = `piece ${name.piece} of ${name.segment} was found on the disk and is in the index again`
    notice(`${this.#user}: ${what}`, 'warning', `${this.#user}: pieces that were found on the disk`)
    return true
  }

  async #removeAll(): Promise<void> {
    try {
      const giveWay = (): Promise<void> => sleep(this.#clock, limits.checkPauseMs)
      const { found } = await this.find({ remove: true }, giveWay)
      if (found > 0)
        notice(`${this.#user}: ${found} files that belong to no piece were moved aside`, 'warning')
    } catch (thrown) {
      if (thrown instanceof AssertionError) throw thrown
      debugDfs('%s: strays: %o', this.#user, thrown)
    }
  }
}
