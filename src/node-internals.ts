/**
 * What the program relies on in Node without its documentation promising it, each with a fallback that works
 * more slowly. test/node-internals.ts finds out whether it still holds. That of the mount is in
 * src/fuse/kernel/node-internals.ts, since that layer knows nothing of this one.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net'

/** The property of a socket that has its handle of libuv. */
interface WithHandle {
  _handle: SocketConstructorOpts['handle'] | null
}

/**
 * Returns a socket that receives into the memory of its owner, in the place of one that a server has accepted.
 * Node offers that only to sockets that connect; one that is made anew of the same handle does it as well.
 * Fallback: the accepted socket, which receives into memory of its own.
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
  // For the server that accepted it, it is closed; without a handle nothing else is.
  accepted.destroy()
  return socket
}

/**
 * Makes a function of its source, which V8 optimizes as if it had been written by hand. Fallback:
 * undefined, where Node was told not to generate code from strings.
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

/** Not in the types of Node. */
interface WebAssemblyGlobal {
  readonly WebAssembly?: {
    readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer }
  }
}

const wasmPageBytes = 64 * 1024

export interface PagedMemory {
  readonly buffer: ArrayBuffer
  /** It begins at a page of the system, so that files can be read and written directly (O_DIRECT). */
  readonly isAligned: boolean
}

/**
 * Takes memory that begins at a page: that of WebAssembly does, as nothing else in JavaScript is known to.
 * Fallback: other memory, where Node has no WebAssembly.
 */
export function pagedMemory(bytes: number): PagedMemory {
  const { WebAssembly } = globalThis as unknown as WebAssemblyGlobal
  if (WebAssembly === undefined) return { buffer: new ArrayBuffer(bytes), isAligned: false }
  const initial = Math.ceil(bytes / wasmPageBytes)
  return { buffer: new WebAssembly.Memory({ initial }).buffer, isAligned: true }
}
