/**
 * Memory for what is big: the parts of pieces as they arrive, and as they are read to be sent. It is
 * used again and again, because a megabyte that is left to the garbage collector costs more than to
 * fill it; and its buffers begin and end at pages, so that files can be read and written directly,
 * past the kernel's cache (O_DIRECT of open(2)), and that the kernel, which takes the answers of a mount
 * page by page, has one place to look at for each.
 */
import assert from 'node:assert/strict'
import { limits } from './limits.js'

/** What O_DIRECT asks of addresses, positions and lengths. */
export const pageBytes = 4096
const wasmPageBytes = 64 * 1024

/** One part of a piece, and in front of it the fields that travel with it. */
export const pageBufferBytes = limits.framePayloadBytesMax + pageBytes

/** The only memory in JavaScript that is known to begin at a page. Not in the types of Node. */
interface WebAssemblyGlobal {
  readonly WebAssembly: {
    readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer }
  }
}

export class PageMemory {
  readonly #memory: ArrayBuffer
  readonly #free: Buffer[] = []
  readonly #lent = new Set<Buffer>()
  /** Called when one is wanted and all are in use: somebody may give back what is not needed much. */
  onShortage: () => void = () => {}

  /** `count` buffers. The system gives the memory when it is first written to. */
  constructor(count: number = limits.pageBuffersMax) {
    const { WebAssembly } = globalThis as unknown as WebAssemblyGlobal
    const initial = Math.ceil((count * pageBufferBytes) / wasmPageBytes)
    this.#memory = new WebAssembly.Memory({ initial }).buffer
    for (let at = (count - 1) * pageBufferBytes; at >= 0; at -= pageBufferBytes) {
      this.#free.push(Buffer.from(this.#memory, at, pageBufferBytes))
    }
  }

  /** Of `pageBufferBytes`, the one given back last; undefined when all are in use. */
  take(): Buffer | undefined {
    if (this.#free.length === 0) this.onShortage()
    const buffer = this.#free.pop()
    if (buffer !== undefined) this.#lent.add(buffer)
    return buffer
  }

  /** Takes back what `take` returned, when nobody looks at it any more. */
  give(buffer: Buffer): void {
    assert(this.#lent.delete(buffer), 'memory was given back twice')
    this.#free.push(buffer)
  }

  /** Whether these bytes can be read or written directly. */
  isAligned({ buffer, byteOffset, length }: Buffer): boolean {
    return buffer === this.#memory && byteOffset % pageBytes === 0 && length % pageBytes === 0
  }
}
