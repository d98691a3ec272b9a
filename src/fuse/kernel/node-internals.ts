/**
 * Behaviour of Node that this layer relies on although the documentation does not promise it, and a test that it
 * still holds. Without it the layer works as well, more slowly.
 */
import { closeSync, openSync } from 'node:fs'
import { type OnReadOpts, Socket } from 'node:net'
import { moveTo, socketPair } from './system-calls.js'

export interface DeviceStream {
  /** The descriptor of the device from now on. */
  readonly fd: number
  readonly socket: Socket
}

/**
 * Reads an open device in the event loop, as a stream. Takes ownership of `device`. net.Socket accepts only
 * descriptors of sockets and pipes, but then polls and reads whatever is behind the number. So it is given one end of
 * a socket pair, which the device replaces before the event loop has used it.
 */
export function streamOf(device: number, onread: OnReadOpts): DeviceStream {
  const [place, other] = socketPair()
  closeSync(other)
  try {
    const socket = new Socket({ fd: place, readable: true, writable: false, onread })
    moveTo(place, device)
    return { fd: place, socket }
  } catch (error) {
    closeSync(place)
    closeSync(device)
    throw error
  }
}

/** A device that has something to read at once, and exists wherever /dev/fuse does. */
const probe = '/dev/random'
const probeMs = 2_000

let answered: Promise<boolean> | undefined

/**
 * Tests whether `streamOf` works in this version of Node, by reading a device that every machine has. If not, a
 * session must be started with `readInThreads`.
 */
export function canStreamDevices(): Promise<boolean> {
  answered ??= tryStream().catch(() => false)
  return answered
}

async function tryStream(): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const buffer = Buffer.alloc(32)
  const callback = (count: number, bytes: Uint8Array): boolean => {
    resolve(count > 0 && bytes.buffer === buffer.buffer && buffer.some((byte) => byte !== 0))
    return false
  }
  const { socket } = streamOf(openSync(probe, 'r'), { buffer: () => buffer, callback })
  socket.on('error', () => resolve(false))
  socket.on('close', () => resolve(false))
  const timer = setTimeout(resolve, probeMs, false)
  socket.resume()
  const works = await promise
  clearTimeout(timer)
  socket.destroy()
  return works
}
