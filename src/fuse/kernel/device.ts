/**
 * The open /dev/fuse of a mount: each read of it is one request, each write one answer or notice. It is
 * read in the event loop like a socket, without a thread in between, which costs a third of the CPU
 * time and has two changes of threads less for each request.
 */
import { closeSync, writeSync, writevSync } from 'node:fs'
import { Socket } from 'node:net'
import { debugFuse } from '../../log.js'
import type { Answer } from './answers.js'
import { outHeaderBytes, requestBytesMax } from './protocol.js'
import type { Unique } from './request.js'
import { moveTo, socketPair } from './system-calls.js'

export interface DeviceEvents {
  /**
   * `bytes` are one request. Their memory is used for the next one when this returns, unless
   * `keep()` was called: then it is the caller's until the function that it returns is called.
   */
  readonly onRequest: (bytes: Buffer, keep: () => () => void) => void
  /** The mount is gone. */
  readonly onEnd: () => void
}

/** Free buffers that are kept: more have been in use at once only in a rush of writes. */
const spareBuffersMax = 8

const nobody: Unique = { low: 0, high: 0 }

export class Device {
  readonly #fd: number
  readonly #socket: Socket
  readonly #spare: Buffer<ArrayBuffer>[] = []
  #buffer = Buffer.allocUnsafeSlow(requestBytesMax)

  /** `fd` is the device's from now on. */
  constructor(fd: number, { onRequest, onEnd }: DeviceEvents) {
    const [place, other] = socketPair()
    closeSync(other)
    this.#fd = place
    this.#socket = new Socket({
      fd: place,
      readable: true,
      writable: false,
      onread: {
        buffer: () => this.#buffer,
        callback: (length, buffer) => {
          onRequest(Buffer.from(buffer.buffer, buffer.byteOffset, length), () => this.#give())
          return !this.#socket.isPaused()
        },
      },
    })
    // A socket of Node takes descriptors of sockets and pipes only, but then reads what is behind the
    // number: the device takes the place of one before the event loop has looked at it.
    moveTo(place, fd)
    this.#socket.on('error', (error) => debugFuse('device: %o', error))
    this.#socket.on('close', onEnd)
    this.#socket.resume()
  }

  /** No further request is read until `resume`. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** When it returns the answer has been sent, or nobody is there who wants it. */
  answer(unique: Unique, answer: Answer): void {
    const parts = partsOf(answer)
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    const [first] = parts
    if (first !== undefined) this.#send(parts, header(first, bytes, 0, unique))
  }

  /** `errno` is positive. */
  fail(unique: Unique, errno: number): void {
    const out = Buffer.allocUnsafe(outHeaderBytes)
    this.#send([out], header(out, outHeaderBytes, -errno, unique))
  }

  /** Tells the kernel something that it has not asked for: FUSE_NOTIFY_*. */
  notify(code: number, notice: Buffer): void {
    this.#send([notice], header(notice, notice.length, code, nobody))
  }

  close(): void {
    this.#socket.destroy()
  }

  #send(parts: readonly Buffer[], bytes: number): void {
    // From then on the descriptor may be that of something else.
    if (this.#socket.destroyed) return
    const [first] = parts
    try {
      if (parts.length === 1 && first !== undefined) writeSync(this.#fd, first, 0, bytes)
      else writevSync(this.#fd, parts)
    } catch (error) {
      // ENOENT: who asked has been killed meanwhile, or the kernel does not know the inode any more.
      debugFuse('answer: %o', error)
    }
  }

  /** The current buffer becomes the caller's. */
  #give(): () => void {
    const given = this.#buffer
    this.#buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(requestBytesMax)
    return () => {
      if (this.#spare.length < spareBuffersMax) this.#spare.push(given)
    }
  }
}

function partsOf(answer: Answer): readonly Buffer[] {
  if (Buffer.isBuffer(answer)) return [answer]
  return 'parts' in answer ? answer.parts : answer
}

function header(out: Buffer, bytes: number, error: number, { low, high }: Unique): number {
  out.writeUInt32LE(bytes, 0)
  out.writeInt32LE(error, 4)
  out.writeUInt32LE(low, 8)
  out.writeUInt32LE(high, 12)
  return bytes
}
