/**
 * Notices that a handle is read from front to back, and fetches the next range before it is read. Readers of one
 * handle may overtake one another a little, as those of the kernel do; a jump begins anew with nothing, so that
 * random reads fetch only what they need. Ranges that a sequential reader of a big file has passed are dropped, so
 * that their memory can be used for the next ones.
 */
import assert from 'node:assert/strict'
import { limits } from '../../limits.js'
import type { Content } from './content.js'

const { readAheadBytesMin, readAheadBytesMax, readAheadTotalBytesMax, readBehindBytesMax } = limits

/** Maximum distance from the expected offset, in bytes, for a read to count as sequential. */
const disorderBytesMax = 1024 * 1024
/** Size in bytes above which a file counts as big: cached as a whole, it would evict everything else. */
const bigFileBytes = 2 * readAheadBytesMax
/** Windows end at multiples of this, so that requests are large and meet at the same places. */
const stepBytes = limits.framePayloadBytesMax

/** The memory that the windows of all handles share. */
export class ReadAheadBudget {
  #freeBytes: number = readAheadTotalBytesMax

  /** Takes up to `bytes` and returns how many it got. */
  take(bytes: number): number {
    const taken = Math.min(bytes, this.#freeBytes)
    assert(taken >= 0)
    this.#freeBytes -= taken
    return taken
  }

  give(bytes: number): void {
    this.#freeBytes += bytes
    assert(this.#freeBytes <= readAheadTotalBytesMax, 'more is given back than was taken')
  }
}

/** The effects of read-ahead on a range of content. Neither call waits for anything. */
export interface ReadAheadActions {
  /** Begins to fetch the range. */
  readonly fetch: (content: Content, at: number, length: number) => void
  /** Drops the range, which is not expected to be read again. */
  readonly forget: (content: Content, at: number, length: number) => void
}

export class ReadAhead {
  readonly #budget: ReadAheadBudget
  readonly #actions: ReadAheadActions
  /** Where the next read of a sequential reader begins. */
  #nextAt = 0
  /** End of the range that has been fetched ahead. */
  #aheadTo = 0
  #windowBytes = 0
  /**
   * Start of the range behind the reader that is kept. Before it, data was dropped, or read before the reader was
   * known to be sequential.
   */
  #keptFrom = 0
  /** The content that a sequential reader goes through. */
  #content: Content | undefined

  constructor(budget: ReadAheadBudget, actions: ReadAheadActions) {
    this.#budget = budget
    this.#actions = actions
  }

  /** Notes a read. Must be called before every read is done, so that both share the fetch. */
  note(content: Content, at: number, length: number): void {
    const end = Math.min(at + length, content.size)
    const distance = at - this.#nextAt
    if (Math.abs(distance) > disorderBytesMax) {
      this.#resize(0)
      this.#nextAt = end
      this.#aheadTo = end
      this.#keptFrom = end
      this.#content = undefined
      return
    }
    if (end <= this.#nextAt) return
    this.#nextAt = end
    // Only a read that begins exactly where all before it ended shows that more will follow. The first one of a file
    // shows nothing yet.
    if (distance <= 0 && at > 0) this.#grow()
    if (this.#windowBytes > 0) this.#fill(content)
    this.#forgetBehind(content)
  }

  /** Gives back its share of the memory. It may be used again afterwards. */
  close(): void {
    if (this.#content !== undefined) this.#forgetTo(this.#content, this.#nextAt)
    this.#content = undefined
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
    assert(this.#windowBytes <= readAheadBytesMax, 'a window grows without end')
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
    this.#actions.fetch(content, from, to - from)
  }

  #forgetBehind(content: Content): void {
    if (this.#windowBytes < readAheadBytesMax || content.size < bigFileBytes) {
      this.#keptFrom = this.#nextAt
      this.#content = undefined
      return
    }
    this.#content = content
    const to = this.#nextAt - readBehindBytesMax
    if (to - this.#keptFrom >= stepBytes) this.#forgetTo(content, to)
  }

  #forgetTo(content: Content, to: number): void {
    const from = this.#keptFrom
    this.#keptFrom = to
    if (to > from) this.#actions.forget(content, from, to - from)
  }
}
