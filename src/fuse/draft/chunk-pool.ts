/**
 * Memory for what is written and not stored yet. Large buffers are used again instead of being left
 * to the garbage collector, which would let a daemon that copies a big file grow far beyond its needs.
 */
import assert from 'node:assert/strict'
import { sharedBuffer } from '../../dfc/content/thread-digests.js'
import { limits } from '../../limits.js'
import { poisonOf } from '../../memory/poison.js'

const chunkBytes = limits.draftChunkBytes
const smallestBytes = limits.blockBytes
/** After a pause of this length the memory is given up. */
const idleMs = 1000

export class ChunkPool {
  #free: Buffer[] = []
  readonly #freeMax: number
  readonly #poison = poisonOf()
  #takenLately = false
  #idle: NodeJS.Timeout | undefined

  /** Keeps at most `freeBytesMax` of memory that nobody uses. */
  constructor(freeBytesMax: number = limits.draftBytesMax / 2) {
    this.#freeMax = Math.floor(freeBytesMax / chunkBytes)
  }

  /** A buffer for at least one byte more than the `bytes` that came before it; its content is undefined. */
  take(bytes: number): Buffer {
    const wanted = Math.min(chunkBytes, Math.max(smallestBytes, powerOfTwoFrom(bytes)))
    this.#takenLately = true
    if (wanted < chunkBytes) return Buffer.allocUnsafeSlow(wanted)
    // The digest of big files is made by another thread, which looks at the chunks where they are.
    return this.#free.pop() ?? sharedBuffer(chunkBytes)
  }

  /** Takes back a buffer that nobody looks at any more. */
  give(buffer: Buffer): void {
    if (buffer.length !== chunkBytes) return
    assert(!this.#free.includes(buffer), 'memory was given back twice')
    this.#poison(buffer)
    if (this.#free.length >= this.#freeMax) return
    this.#free.push(buffer)
    // Nobody waits for this, so it must not keep a process alive.
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
