/**
 * A piece that grows part by part in a file beside its place, and is renamed there when whole. Parts
 * that are aligned go to the disk directly: the kernel's copy of them would cost more than all else,
 * and drive out what is read more often than a piece that was just written.
 */
import assert from 'node:assert/strict'
import { closeSync, constants, openSync, rmSync, write } from 'node:fs'
import { rename } from 'node:fs/promises'
import { asDfsError, DfsError } from '../../errors.js'
import { debugDfs } from '../../log.js'
import type { PageMemory } from '../../memory/page-memory.js'
import { pageBytes } from '../../memory/page-memory.js'
import type { PieceWriter } from './piece-store.js'

const { O_WRONLY, O_CREAT, O_DIRECT } = constants
const flags = { direct: O_WRONLY | O_CREAT | O_DIRECT, cached: O_WRONLY | O_CREAT }

type Way = keyof typeof flags

export class FileWriter implements PieceWriter {
  readonly #upload: string
  readonly #place: string
  readonly #memory: PageMemory | undefined
  readonly #onCached: () => void
  readonly #descriptors = new Map<Way, number>()
  #busy = false
  #bytes = 0
  #state: 'open' | 'finished' | 'abandoned' = 'open'

  /**
   * Nothing is on the disk before the first append; `upload` is a name that is used for nothing else.
   * `onCached` is called for parts that are in the kernel's cache now.
   */
  constructor(upload: string, place: string, memory: PageMemory | undefined, onCached: () => void) {
    this.#upload = upload
    this.#place = place
    this.#memory = memory
    this.#onCached = onCached
  }

  async append(bytes: Buffer): Promise<void> {
    if (bytes.length === 0) return
    const isAligned = this.#bytes % pageBytes === 0 && this.#memory?.isAligned(bytes) === true
    assert(!this.#busy, 'one part at a time')
    this.#busy = true
    try {
      if (isAligned) await this.#writeDirectly(bytes)
      else await this.#write('cached', bytes)
      this.#bytes += bytes.length
    } catch (thrown) {
      throw asDfsError(thrown)
    } finally {
      this.#busy = false
      if (this.#state === 'abandoned') this.#discard()
    }
  }

  async finish(): Promise<void> {
    if (this.#state !== 'open') throw new DfsError('io', 'The upload was abandoned')
    assert(!this.#busy, 'a piece is whole when its last part is written')
    if (this.#bytes === 0) return
    try {
      this.#close()
      await rename(this.#upload, this.#place)
      this.#state = 'finished'
    } catch (thrown) {
      throw asDfsError(thrown)
    }
  }

  abandon(): void {
    if (this.#state !== 'open') return
    this.#state = 'abandoned'
    // The thread that is writing owns the descriptor until it is done.
    if (!this.#busy) this.#discard()
  }

  /**
   * Writes past the kernel's cache where that is possible: not every file system can, nor every disk with pages
   * of this size.
   */
  async #writeDirectly(bytes: Buffer): Promise<void> {
    try {
      await this.#write('direct', bytes)
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EINVAL') throw thrown
      await this.#write('cached', bytes)
    }
  }

  async #write(way: Way, bytes: Buffer): Promise<void> {
    if (way === 'cached') this.#onCached()
    const descriptor = this.#descriptors.get(way) ?? openSync(this.#upload, flags[way], 0o600)
    this.#descriptors.set(way, descriptor)
    for (let at = 0; at < bytes.length; ) {
      at += await writeSome(descriptor, bytes, at, this.#bytes + at)
    }
  }

  #close(): void {
    const open = [...this.#descriptors.values()]
    this.#descriptors.clear()
    for (const descriptor of open) closeSync(descriptor)
  }

  /**
   * Closes and removes the unfinished file. One that cannot be removed now goes when the account is opened the
   * next time.
   */
  #discard(): void {
    try {
      this.#close()
      rmSync(this.#upload, { force: true })
    } catch (thrown) {
      debugDfs('%s: not removed: %o', this.#upload, thrown)
    }
  }
}

function writeSome(
  descriptor: number,
  bytes: Buffer,
  at: number,
  position: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    write(descriptor, bytes, at, bytes.length - at, position, (error, count) => {
      if (error === null) resolve(count)
      else reject(error)
    })
  })
}
