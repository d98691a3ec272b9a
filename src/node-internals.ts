/**
 * Behaviour of Node that the program relies on although the documentation does not promise it, each with a slower
 * fallback. test/node-internals.ts checks that it still holds. The mount's own list is
 * src/fuse/kernel/node-internals.ts, since that layer imports nothing from here.
 */
import type { OnReadOpts, Socket } from 'node:net'

/** The properties by which Node lets a socket receive into memory of its owner, and the socket's libuv handle. */
interface Receiving {
  [property: symbol]: unknown
  _handle: { useUserBuffer?(memory: Uint8Array): void } | null
}

/** Names of those properties, which are symbols: the memory, its callback, and what makes the next memory. */
const receivingProperties = ['kBuffer', 'kBufferCb', 'kBufferGen'] as const

/**
 * Lets a socket receive into the memory of its owner, where a server has accepted it. Node offers that only for
 * sockets that connect. Fallback: it receives into memory of its own. False then.
 */
export function receiveInto(socket: Socket, { buffer, callback }: OnReadOpts): boolean {
  const known = socket as unknown as Receiving
  const symbols = Object.getOwnPropertySymbols(socket)
  const [memory, onMemory, nextMemory] = receivingProperties.map((name) =>
    symbols.find(({ description }) => description === name),
  )
  const handle = known._handle
  if (memory === undefined || onMemory === undefined || nextMemory === undefined) return false
  if (typeof handle?.useUserBuffer !== 'function' || typeof buffer !== 'function') return false
  const first = buffer()
  known[memory] = first
  known[onMemory] = callback
  known[nextMemory] = buffer
  handle.useUserBuffer(first)
  return true
}

/**
 * Compiles a function from source text, which V8 optimizes like handwritten code. Fallback: undefined, where Node
 * forbids generating code from strings.
 */
export function compiled(
  parameters: readonly string[],
  body: string,
): ((...given: readonly unknown[]) => unknown) | undefined {
  try {
    return new Function(...parameters, body) as (...given: readonly unknown[]) => unknown
  } catch (error) {
    if (error instanceof EvalError) return undefined
    throw error
  }
}

/** The part of WebAssembly used here, which the types of Node lack. */
interface WebAssemblyGlobal {
  readonly WebAssembly?: {
    readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer }
  }
}

const wasmPageBytes = 64 * 1024

export interface PagedMemory {
  readonly buffer: ArrayBuffer
  /** Whether the memory begins at a page of the system, so that files can be read and written directly (O_DIRECT). */
  readonly isAligned: boolean
}

/**
 * Allocates memory that begins at a page. WebAssembly memory does, as nothing else in JavaScript is known to.
 * Fallback: other memory, where Node has no WebAssembly.
 */
export function pagedMemory(bytes: number): PagedMemory {
  const { WebAssembly } = globalThis as unknown as WebAssemblyGlobal
  if (WebAssembly === undefined) return { buffer: new ArrayBuffer(bytes), isAligned: false }
  const initial = Math.ceil(bytes / wasmPageBytes)
  return { buffer: new WebAssembly.Memory({ initial }).buffer, isAligned: true }
}
