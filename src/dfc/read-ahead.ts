/**
 * Notices that a handle is read from front to back, and fetches what comes next before it is asked
 * for. Readers of one handle may overtake one another a little, as those of the kernel do; a jump
 * begins anew with nothing, so that random reads fetch only what they need.
 */
import { limits } from '../limits.js'
import type { Content } from './node.js'

const { readAheadBytesMin, readAheadBytesMax, readAheadTotalBytesMax } = limits

/** So far may a read be behind or before the expected place and still belong to the same pass. */
const disorderBytesMax = 1024 * 1024
/** Windows end at multiples of this, so that requests are large and meet at the same places. */
const stepBytes = limits.framePayloadBytesMax

/** The memory that the windows of all handles share. */
export class ReadAheadBudget {
  #freeBytes: number = readAheadTotalBytesMax

  /** Takes up to `bytes` and returns how many it got. */
  take(bytes: number): number {
    const taken = Math.min(bytes, this.#freeBytes)
    this.#freeBytes -= taken
    return taken
  }

  give(bytes: number): void {
    this.#freeBytes += bytes
  }
}

export class ReadAhead {
  readonly #budget: ReadAheadBudget
  readonly #prefetch: (content: Content, at: number, length: number) => void
  /** Where the next read of a sequential reader begins. */
  #nextAt = 0
  /** What has been asked for ends here. */
  #aheadTo = 0
  #windowBytes = 0

  /** `prefetch` begins to fetch a range of the content and does not wait for it. */
  constructor(
    budget: ReadAheadBudget,
    prefetch: (content: Content, at: number, length: number) => void,
  ) {
    this.#budget = budget
    this.#prefetch = prefetch
  }

  /** Must be told of every read, before it is done, so that both share what is fetched. */
  note(content: Content, at: number, length: number): void {
    const end = Math.min(at + length, content.size)
    const distance = at - this.#nextAt
    if (Math.abs(distance) > disorderBytesMax) {
      this.#resize(0)
      this.#nextAt = end
      this.#aheadTo = end
      return
    }
    if (end <= this.#nextAt) return
    this.#nextAt = end
    // Only a read that goes on exactly where all before it ended shows that more will follow, and
    // the first one of a file shows nothing yet.
    if (distance <= 0 && at > 0) this.#grow()
    if (this.#windowBytes > 0) this.#fill(content)
  }

  /** Gives back its share of the memory. It may be used again afterwards. */
  close(): void {
    this.#resize(0)
  }

  #grow(): void {
    const wanted = Math.max(readAheadBytesMin, this.#windowBytes * 2)
    if (this.#windowBytes < readAheadBytesMax) this.#resize(Math.min(wanted, readAheadBytesMax))
  }

  #resize(bytes: number): void {
    const more = bytes - this.#windowBytes
    if (more > 0) this.#windowBytes += this.#budget.take(more)
    if (more < 0) this.#budget.give(-more)
    if (more < 0) this.#windowBytes = bytes
  }

  /** Asks for more once half of the window is used up: few large requests, not many small ones. */
  #fill(content: Content): void {
    const from = Math.max(this.#aheadTo, this.#nextAt)
    if (from - this.#nextAt > this.#windowBytes / 2 || from >= content.size) return
    const wanted = this.#nextAt + this.#windowBytes
    const rounded = this.#windowBytes < stepBytes ? wanted : wanted - (wanted % stepBytes)
    const to = Math.min(rounded, content.size)
    if (to <= from) return
    this.#aheadTo = to
    this.#prefetch(content, from, to - from)
  }
}
