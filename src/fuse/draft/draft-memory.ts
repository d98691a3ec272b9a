/**
 * The bound on the memory of all drafts. Above it, a write waits for uploads in progress, or until the largest draft
 * has been spilled to disk.
 */
import assert from 'node:assert/strict'
import type { Semaphore } from '../../async/semaphore.js'
import { SingleFlight } from '../../async/single-flight.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'

/** A file with unsaved data in memory. */
export interface Holder {
  /** Bytes that could be spilled now. */
  readonly spillableBytes: number
  /** Settles when an upload in progress has ended; undefined when there is none. */
  readonly uploading: Promise<void> | undefined
  /** Spills to disk. Throws `noSpace`. */
  spill(): Promise<void>
}

export class DraftMemory {
  readonly #bytesMax: number
  readonly #held = new Map<Holder, number>()
  #usedBytes = 0
  readonly #relieving = new SingleFlight<void>()

  constructor(bytesMax: number = limits.draftBytesMax) {
    this.#bytesMax = bytesMax
  }

  /** Notes that `holder` takes `bytes` of memory from now on. */
  note(holder: Holder, bytes: number): void {
    assert(bytes >= 0)
    this.#usedBytes += bytes - (this.#held.get(holder) ?? 0)
    assert(this.#usedBytes >= 0, 'more memory is given back than was taken')
    if (bytes > 0) this.#held.set(holder, bytes)
    else this.#held.delete(holder)
  }

  /**
   * Runs `work`, a write to a file, under that file's lock, once there is room. The lock is taken only then: making
   * room may spill the largest draft, which takes a lock as well. Throws `noSpace` when neither the servers nor the
   * local disk have room.
   */
  async whenRoom<T>(lock: Semaphore, work: () => Promise<T>): Promise<T> {
    await this.#room()
    return lock.run(work)
  }

  async #room(): Promise<void> {
    if (this.#usedBytes > this.#bytesMax) await this.#relieving.run(() => this.#relieve())
  }

  async #relieve(): Promise<void> {
    while (this.#usedBytes > this.#bytesMax) {
      const holders = [...this.#held.keys()]
      const uploads = holders.flatMap(({ uploading }) => (uploading ? [uploading] : []))
      if (uploads.length > 0) {
        await Promise.race(uploads)
        continue
      }
      const [largest] = holders.sort((a, b) => b.spillableBytes - a.spillableBytes)
      if (largest === undefined || largest.spillableBytes === 0) throw new DfsError('noSpace')
      await largest.spill()
    }
  }
}
