/**
 * What this layer relies on in Node without its documentation saying so, with the test that finds out
 * whether it still holds. The layer works without it, more slowly.
 */
import { closeSync, openSync } from 'node:fs'
import { type OnReadOpts, Socket } from 'node:net'
import { moveTo, socketPair } from './system-calls.js'

export interface DeviceStream {
  /** The number of the device, from now on. */
  readonly fd: number
  readonly socket: Socket
}

/**
 * Reads an open device in the event loop, as a stream. net.Socket takes the descriptors of sockets and pipes
 * only, but then polls and reads whatever is behind the number. So it is given one end of a pair of sockets,
 * whose place the device takes before the event loop has looked at it. Owns `device`.
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

/** A device that has something to read at once, and is wherever /dev/fuse is. */
const probe = '/dev/random'
const probeMs = 2_000

let answered: Promise<boolean> | undefined

/**
 * Tells whether `streamOf` works in this version of Node, by reading a device that every machine has. Where it
 * does not, a session must be told to `readInThreads`.
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
