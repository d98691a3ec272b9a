/**
 * A content of which some may be gone, such as that of a file which another client has removed: the segments of a removed
 * file are swept. It is read to the end all the same, with zeros for what is gone.
 */
import { isError } from '../../errors.js'
import type { Content } from './content.js'
import type { ContentStore } from './content-store.js'

/** Bytes that are read at once. */
const stepBytes = 1024 * 1024

export class SalvagedContent implements AsyncIterable<Buffer> {
  readonly #store: Pick<ContentStore, 'read'>
  readonly #content: Content
  readonly #isFinal: () => boolean
  #lostBytes = 0

  /** `isFinal`: what the servers do not have now they will not have later either. */
  constructor(store: Pick<ContentStore, 'read'>, content: Content, isFinal: () => boolean) {
    this.#store = store
    this.#content = content
    this.#isFinal = isFinal
  }

  /** Bytes that could not be read so far, and are zeros. */
  get lostBytes(): number {
    return this.#lostBytes
  }

  /** Throws what reading throws, but for what is gone. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    const { extents, size } = this.#content
    let end = 0
    for (const { at, length } of extents) {
      yield* zeros(at - end)
      end = at + length
      for (let from = at; from < end; from += stepBytes) {
        yield await this.#read(from, Math.min(stepBytes, end - from))
      }
    }
    yield* zeros(size - end)
  }

  async #read(at: number, length: number): Promise<Buffer> {
    try {
      return await this.#store.read(this.#content, at, length)
    } catch (error) {
      const isGone =
        isError(error, 'dataLost', 'corrupt') || (isError(error, 'incomplete') && this.#isFinal())
      if (!isGone) throw error
      this.#lostBytes += length
      return Buffer.alloc(length)
    }
  }
}

function* zeros(count: number): Generator<Buffer, void, void> {
  for (let left = count; left > 0; left -= stepBytes) yield Buffer.alloc(Math.min(stepBytes, left))
}
