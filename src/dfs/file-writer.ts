/** A piece that grows part by part in a file beside its place, and is renamed there when whole. */
import { closeSync, openSync, rmSync, write } from 'node:fs'
import { rename } from 'node:fs/promises'
import { asDfsError, DfsError } from '../errors.js'
import type { PieceWriter } from './piece-store.js'

export class FileWriter implements PieceWriter {
  readonly #upload: string
  readonly #place: string
  #descriptor: number | undefined
  #busy = false
  #bytes = 0
  #state: 'open' | 'finished' | 'abandoned' = 'open'

  /** Nothing is on the disk before the first append. */
  constructor(upload: string, place: string) {
    this.#upload = upload
    this.#place = place
  }

  async append(bytes: Buffer): Promise<void> {
    if (bytes.length === 0) return
    try {
      this.#descriptor ??= openSync(this.#upload, 'wx', 0o600)
      this.#busy = true
      for (let at = 0; at < bytes.length; ) {
        at += await writeSome(this.#descriptor, bytes, at, this.#bytes + at)
      }
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
    const descriptor = this.#descriptor
    if (descriptor === undefined) return
    try {
      this.#descriptor = undefined
      closeSync(descriptor)
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

  #discard(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
    rmSync(this.#upload, { force: true })
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
