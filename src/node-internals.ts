/**
 * Behaviour of Node that the program relies on although the documentation does not promise it, each with a slower
 * fallback. test/node-internals.ts checks that it still holds. The mount's own list is
 * src/fuse/kernel/node-internals.ts, since that layer imports nothing from here.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net'

/** A socket's property with its libuv handle. */
interface WithHandle {
  _handle: SocketConstructorOpts['handle'] | null
}

/**
 * Returns a socket that receives into the memory of its owner, in place of one that a server has accepted. Node
 * offers that only for sockets that connect, but a new socket on the same handle has it as well. Fallback: the
 * accepted socket, which receives into memory of its own.
 */
export function receivingInto(accepted: Socket, onread: OnReadOpts): Socket {
  const known = accepted as unknown as WithHandle
  const { _handle: handle } = known
  if (handle === undefined || handle === null) return accepted
  let socket: Socket
  try {
    socket = new Socket({ handle, readable: true, writable: true, onread })
  } catch {
    return accepted
  }
  known._handle = null
  // The server that accepted it sees it closed; without a handle nothing else is.
  accepted.destroy()
  return socket
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
