/**
 * Requests small pieces in batches: those that one or several readers want of a server at the same moment travel in
 * one message. Sending and answering it costs hardly more than for a single piece, and files of a few KiB consist of
 * four.
 */
import assert from 'node:assert/strict'
import { asDfsError, DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Cluster } from '../cluster/cluster.js'

/** A whole piece, as a server keeps it. */
export interface SmallPiece {
  readonly bytes: Buffer
  readonly checksums: readonly number[]
}

interface Wanted {
  readonly segment: string
  /** 1 .. 4 */
  readonly piece: number
  resolve(found: SmallPiece): void
  reject(error: DfsError): void
}

export class SmallPieces {
  readonly #cluster: Pick<Cluster, 'request'>
  /** Pieces wanted of each server. They are sent when the task that wanted the first of them has run. */
  readonly #wanted = new Map<number, Wanted[]>()

  constructor(cluster: Pick<Cluster, 'request'>) {
    this.#cluster = cluster
  }

  /**
   * Returns a small piece. Throws `noPiece` also when it has rotted there, or is too large to be kept in the index.
   */
  get(server: number, segment: string, piece: number): Promise<SmallPiece> {
    return new Promise((resolve, reject) => {
      const one = { segment, piece, resolve, reject }
      const others = this.#wanted.get(server)
      if (others !== undefined) others.push(one)
      else {
        this.#wanted.set(server, [one])
        queueMicrotask(() => this.#send(server))
      }
    })
  }

  #send(server: number): void {
    const wanted = this.#wanted.get(server)
    assert(wanted !== undefined && wanted.length > 0, 'nothing is wanted of it')
    this.#wanted.delete(server)
    for (let at = 0; at < wanted.length; at += limits.smallPiecesPerRequestMax) {
      void this.#ask(server, wanted.slice(at, at + limits.smallPiecesPerRequestMax))
    }
  }

  /** Never rejects. */
  async #ask(server: number, wanted: readonly Wanted[]): Promise<void> {
    try {
      const pieces = wanted.map(({ segment, piece }) => ({ segment, piece }))
      const { reply } = await this.#cluster.request(server, 'getSmallPieces', { pieces })
      for (const [index, { resolve, reject }] of wanted.entries()) {
        const found = reply.pieces[index]
        if (found) resolve(found)
        else reject(new DfsError('noPiece'))
      }
    } catch (thrown) {
      for (const { reject } of wanted) reject(asDfsError(thrown))
    }
  }
}
