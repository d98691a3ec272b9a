/**
 * Files without a name that are open here: their inodes stay until they are closed. They are rewritten from time to
 * time, so that no repair takes them for those of a mount that died.
 */
import type { Clock } from '../../clock.js'
import { isError } from '../../errors.js'

/** Tells whether a file that loses its last link is open here, so that its inode must stay until it is closed. */
export type IsOpen = (ino: number) => boolean

export class OpenOrphans {
  readonly #clock: Clock
  readonly #inos = new Set<number>()
  #renewedMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#renewedMs = clock.monotonic()
  }

  add(ino: number): void {
    this.#inos.add(ino)
  }

  delete(ino: number): void {
    this.#inos.delete(ino)
  }

  /** Calls `rewrite` for each of them, unless that was done less than `everyMs` ago. */
  async renew(everyMs: number, rewrite: (ino: number) => Promise<unknown>): Promise<void> {
    const nowMs = this.#clock.monotonic()
    if (nowMs - this.#renewedMs < everyMs) return
    this.#renewedMs = nowMs
    for (const ino of this.#inos) {
      try {
        await rewrite(ino)
      } catch (error) {
        if (!isError(error, 'notFound', 'stale')) throw error
        this.#inos.delete(ino)
      }
    }
  }
}
