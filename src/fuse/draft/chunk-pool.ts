/**
 * Reusable buffers for data that is written and not stored yet. Left to the garbage collector, they would let a
 * daemon that copies a big file grow far beyond its needs.
 */
import assert from 'node:assert/strict'
import { sharedBuffer } from '../../dfc/content/thread-digests.js'
import { limits } from '../../limits.js'
import { poisonOf } from '../../memory/poison.js'

const chunkBytes = limits.draftChunkBytes
const smallestBytes = limits.blockBytes
/** Pause in ms after which unused memory is given up. */
const idleMs = 1000

export class ChunkPool {
  #free: Buffer[] = []
  readonly #freeMax: number
  readonly #poison = poisonOf()
  #takenLately = false
  #idle: NodeJS.Timeout | undefined

  /** Keeps at most `freeBytesMax` of unused memory. */
  constructor(freeBytesMax: number = limits.draftBytesMax / 2) {
    this.#freeMax = Math.floor(freeBytesMax / chunkBytes)
  }

  /** Returns a buffer for at least one byte more than the `bytes` that came before it. Its content is undefined. */
  take(bytes: number): Buffer {
    const wanted = Math.min(chunkBytes, Math.max(smallestBytes, powerOfTwoFrom(bytes)))
    this.#takenLately = true
    if (wanted < chunkBytes) return Buffer.allocUnsafeSlow(wanted)
    // Another thread computes the digest of big files, in the memory of the chunks.
    return this.#free.pop() ?? sharedBuffer(chunkBytes)
  }

  /** Takes back a buffer that has no reader any more. */
  give(buffer: Buffer): void {
    if (buffer.length !== chunkBytes) return
    assert(!this.#free.includes(buffer), 'memory was given back twice')
    this.#poison(buffer)
    if (this.#free.length >= this.#freeMax) return
    this.#free.push(buffer)
    // The timer must not keep a process alive.
    this.#idle ??= setInterval(() => this.#dropIfIdle(), idleMs).unref()
  }

  #dropIfIdle(): void {
    if (!this.#takenLately) {
      this.#free = []
      clearInterval(this.#idle)
      this.#idle = undefined
    }
    this.#takenLately = false
  }
}

function powerOfTwoFrom(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, value)))
}
