/**
 * A sparse file on the local disk for written bytes when memory is short, at the offsets that they have in their
 * file. It has no name, so that nothing is left behind when the process is killed.
 */
import assert from 'node:assert/strict'
import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Random } from '../../clock.js'
import { asDfsError, DfsError } from '../../errors.js'
import { limits } from '../../limits.js'

/** The folder of the spill files, and the space that they share. */
export class SpillSpace {
  readonly #folder: string
  readonly #random: Random
  #usedBytes = 0

  constructor(folder: string, random: Random) {
    this.#folder = folder
    this.#random = random
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Makes a spill file. Throws `noSpace` when the disk is full. */
  async open(): Promise<SpillFile> {
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      const path = join(this.#folder, this.#random.bytes(8).toString('hex'))
      const file = await open(path, 'wx+', 0o600)
      await unlink(path)
      return new SpillFile(this, file)
    } catch (thrown) {
      throw asDfsError(thrown)
    }
  }

  /** Reserves space for bytes about to be written. Throws `noSpace` beyond the bound. */
  take(bytes: number): void {
    if (this.#usedBytes + bytes > limits.spillBytesMax) {
      throw new DfsError(
        'noSpace',
        'the space for unsaved data is full; wait until the servers have stored it',
      )
    }
    this.#usedBytes += bytes
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes
    assert(this.#usedBytes >= 0, 'more space is given back than was taken')
  }
}

export class SpillFile {
  readonly #space: SpillSpace
  readonly #file: FileHandle
  #takenBytes = 0
  #busy = 0
  #closing = false

  constructor(space: SpillSpace, file: FileHandle) {
    this.#space = space
    this.#file = file
  }

  /** Writes at the offset `at`. `adds` is the number of bytes that were not in the file before. */
  async write(at: number, parts: readonly Buffer[], adds: number): Promise<void> {
    assert(!this.#closing, 'a spill file is written to after its end')
    this.#space.take(adds)
    this.#takenBytes += adds
    await this.#use(async () => {
      let position = at
      for (const part of parts) {
        for (let from = 0; from < part.length; ) {
          const left = part.length - from
          const { bytesWritten } = await this.#file.write(part, from, left, position)
          from += bytesWritten
          position += bytesWritten
        }
      }
    })
  }

  async read(at: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(length)
    await this.#use(async () => {
      for (let from = 0; from < length; ) {
        const { bytesRead } = await this.#file.read(bytes, from, length - from, at + from)
        if (bytesRead === 0) throw new DfsError('io', 'the spill file is shorter than it was')
        from += bytesRead
      }
    })
    return bytes
  }

  /** Gives up the file and its space when it has no reader any more. */
  close(): void {
    this.#closing = true
    this.#space.give(this.#takenBytes)
    this.#takenBytes = 0
    this.#closeIfIdle()
  }

  async #use(action: () => Promise<void>): Promise<void> {
    this.#busy += 1
    try {
      await action()
    } catch (thrown) {
      throw asDfsError(thrown)
    } finally {
      this.#busy -= 1
      this.#closeIfIdle()
    }
  }

  #closeIfIdle(): void {
    // Closing a file without a name cannot lose anything that is still needed.
    if (this.#closing && this.#busy === 0) this.#file.close().catch(() => undefined)
  }
}
