/** How much room the file system of a folder has, for metrics: asked when somebody reads them. */
import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { SingleFlight } from '../../async/single-flight.js'
import { limits } from '../../limits.js'
import { debugDfs } from '../../log.js'

export interface DiskRoom {
  readonly bytes: number
  /** Bytes that can still be written by a server that does not run as root. */
  readonly freeBytes: number
}

export class FileSystemRoom {
  readonly #folder: string
  readonly #asking = new SingleFlight<DiskRoom | undefined>()

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Undefined where a disk does not say in time. One that hangs is asked once, and takes one thread. */
  async now(): Promise<DiskRoom | undefined> {
    const asked = this.#asking.run(() => this.#ask())
    return await Promise.race([asked, sleep(limits.diskRoomMs, undefined, { ref: false })])
  }

  async #ask(): Promise<DiskRoom | undefined> {
    try {
      const { blocks, bavail, bsize } = await statfs(this.#folder)
      return { bytes: blocks * bsize, freeBytes: bavail * bsize }
    } catch (error) {
      debugDfs('%s: no room known: %o', this.#folder, error)
      return undefined
    }
  }
}
