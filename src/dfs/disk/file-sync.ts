/**
 * fdatasync(2) of one file for all who ask: nothing is done when nothing was written, and those who
 * ask while it is under way share the next one.
 */
import { fdatasync as fdatasyncWithCallback } from 'node:fs'
import { promisify } from 'node:util'
import { SingleFlight } from '../../async/single-flight.js'

/** Puts on the disk what is needed to read the data back, its length included; times may be missing. */
const fdatasync = promisify(fdatasyncWithCallback)

export class FileSync {
  readonly #file: number
  /** Writes are counted: how many there were, and how many of them are on the disk. */
  #written = 0
  #synced = 0
  readonly #running = new SingleFlight<void>()

  /** `file`: a descriptor. */
  constructor(file: number) {
    this.#file = file
  }

  /** Notes that something was written to the file. */
  wrote(): void {
    this.#written += 1
  }

  /** Notes that all that was written so far has been synced by other means. */
  isSynced(): void {
    this.#synced = this.#written
  }

  /** Resolves when all that was written before is on the disk. Rejects with what the disk says. */
  async sync(): Promise<void> {
    const wanted = this.#written
    while (this.#synced < wanted) await this.#running.run(() => this.#run())
  }

  async #run(): Promise<void> {
    const written = this.#written
    await fdatasync(this.#file)
    this.#synced = Math.max(this.#synced, written)
  }
}
