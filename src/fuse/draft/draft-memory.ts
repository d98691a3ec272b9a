/**
 * The memory that all drafts share. When there is too much in it, whoever wants to write waits: for
 * uploads that are on their way, or until the largest draft has gone to its spill file.
 */
import assert from 'node:assert/strict'
import type { Semaphore } from '../../async/semaphore.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'

/** A file with something in memory that is not stored. */
export interface Holder {
  /** What could go to the spill file now, in bytes. */
  readonly spillableBytes: number
  /** Settles when an upload that is on its way has ended; undefined when there is none. */
  readonly uploading: Promise<void> | undefined
  /** Moves what is spillable to the spill file. Throws `noSpace`. */
  spill(): Promise<void>
}

export class DraftMemory {
  readonly #bytesMax: number
  readonly #held = new Map<Holder, number>()
  #usedBytes = 0
  #relieving: Promise<void> | undefined

  constructor(bytesMax: number = limits.draftBytesMax) {
    this.#bytesMax = bytesMax
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** `holder` takes `bytes` of memory from now on. */
  note(holder: Holder, bytes: number): void {
    assert(bytes >= 0)
    this.#usedBytes += bytes - (this.#held.get(holder) ?? 0)
    assert(this.#usedBytes >= 0, 'more memory is given back than was taken')
    if (bytes > 0) this.#held.set(holder, bytes)
    else this.#held.delete(holder)
  }

  /**
   * Runs `work`, which writes to a file, with the lock of that file, once there is room. The lock is taken
   * only then: to make room the largest draft is spilled, which takes a lock as well. Throws `noSpace` when
   * neither the servers nor the local disk take what is there.
   */
  async whenRoom<T>(lock: Semaphore, work: () => Promise<T>): Promise<T> {
    await this.#room()
    return lock.run(work)
  }

  async #room(): Promise<void> {
    if (this.#usedBytes <= this.#bytesMax) return
    this.#relieving ??= this.#relieve().finally(() => {
      this.#relieving = undefined
    })
    await this.#relieving
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
