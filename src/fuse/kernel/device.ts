/**
 * The open /dev/fuse of a mount: each read returns one request, each write sends one answer or notice. It is read in
 * the event loop like a socket, without a thread in between, which saves a third of the CPU time and two thread
 * switches per request. Where Node cannot do that, a thread of its pool waits for it.
 */
import { readSync, writeSync, writevSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Answer } from './answers.js'
import { streamOf } from './node-internals.js'
import { outHeaderBytes, requestBytesMax } from './protocol.js'
import type { Unique } from './request.js'
import { closeQuietly, setNonBlocking, waitUntilReadable } from './system-calls.js'
import type { Trace } from './trace.js'

export interface DeviceOptions {
  /**
   * `bytes` are one request. Their memory is reused for the next one when this returns, unless `keep()` was called:
   * then it belongs to the callee until it calls the function that `keep` returned.
   */
  readonly onRequest: (bytes: Buffer, keep: () => () => void) => void
  /** Called once, when the mount is gone or the device was closed. */
  readonly onEnd: () => void
  readonly trace: Trace
  /** Waits for requests in a thread of Node's pool; see `canStreamDevices`. */
  readonly readInThreads: boolean
}

/** Reads requests one at a time, until it is closed. */
interface Source {
  readonly fd: number
  readonly isClosed: boolean
  pause(): void
  resume(): void
  close(): void
}

/** Free buffers that are kept. More are in use at once only in a rush of writes. */
const spareBuffersMax = 8

const nobody: Unique = { low: 0, high: 0 }

export class Device {
  readonly #source: Source
  readonly #trace: Trace
  readonly #spare: Buffer<ArrayBuffer>[] = []
  #buffer = Buffer.allocUnsafeSlow(requestBytesMax)

  /** Takes ownership of `fd`. */
  constructor(fd: number, { onRequest, onEnd, trace, readInThreads }: DeviceOptions) {
    this.#trace = trace
    const give = (): (() => void) => this.#give()
    const events: SourceEvents = {
      buffer: () => this.#buffer,
      take: (bytes) => onRequest(bytes, give),
      end: onEnd,
      trace,
    }
    this.#source = readInThreads ? new ThreadSource(fd, events) : new StreamSource(fd, events)
    this.#source.resume()
  }

  /** Stops reading requests until `resume`. */
  pause(): void {
    this.#source.pause()
  }

  resume(): void {
    this.#source.resume()
  }

  /** Sends an answer. When it returns, the answer was sent, or the requester is gone. */
  answer(unique: Unique, answer: Answer): void {
    const parts = partsOf(answer)
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    const [first] = parts
    if (first !== undefined) this.#send(parts, header(first, bytes, 0, unique))
  }

  /** Sends a failure. `errno` is positive. */
  fail(unique: Unique, errno: number): void {
    const out = Buffer.allocUnsafe(outHeaderBytes)
    this.#send([out], header(out, outHeaderBytes, -errno, unique))
  }

  /** Sends the kernel a notice, FUSE_NOTIFY_* (see `notices`). */
  notify(code: number, notice: Buffer): void {
    this.#send([notice], header(notice, notice.length, code, nobody))
  }

  close(): void {
    this.#source.close()
  }

  #send(parts: readonly Buffer[], bytes: number): void {
    // After the close, the descriptor may belong to another file.
    if (this.#source.isClosed) return
    const { fd } = this.#source
    const [first] = parts
    try {
      if (parts.length === 1 && first !== undefined) writeSync(fd, first, 0, bytes)
      else writevSync(fd, parts)
    } catch (error) {
      // ENOENT: the requester was killed meanwhile, or the kernel no longer knows the inode.
      this.#trace('answer: %o', error)
    }
  }

  /** Gives the current buffer to the caller. Returns the function that takes it back. */
  #give(): () => void {
    const given = this.#buffer
    this.#buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(requestBytesMax)
    return () => {
      if (this.#spare.length < spareBuffersMax) this.#spare.push(given)
    }
  }
}

interface SourceEvents {
  /** Returns memory for the next request. */
  buffer(): Buffer<ArrayBuffer>
  take(bytes: Buffer): void
  end(): void
  trace: Trace
}

/** Reads the device in the event loop. */
class StreamSource implements Source {
  readonly fd: number
  readonly #socket

  constructor(device: number, { buffer, take, end, trace }: SourceEvents) {
    const { fd, socket } = streamOf(device, {
      buffer,
      callback: (length, bytes) => {
        take(Buffer.from(bytes.buffer, bytes.byteOffset, length))
        return !socket.isPaused()
      },
    })
    this.fd = fd
    this.#socket = socket
    socket.on('error', (error) => trace('device: %o', error))
    socket.on('close', end)
  }

  get isClosed(): boolean {
    return this.#socket.destroyed
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** Longest wait of a thread in ms: the end of the process may have to wait for it. */
const waitMs = 200

/**
 * Waits for requests in a thread of Node's pool, and reads them without blocking. A thread blocked in read(2) could
 * not be ended, neither by closing the device nor by the end of the process.
 */
class ThreadSource implements Source {
  readonly fd: number
  readonly #events: SourceEvents
  #isPaused = true
  #isReading = false
  #isClosed = false

  constructor(fd: number, events: SourceEvents) {
    this.fd = fd
    this.#events = events
    setNonBlocking(fd)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    if (this.#isReading || this.#isClosed) return
    this.#isReading = true
    void this.#read()
  }

  /** Stops reading. The device itself is closed when no thread uses it any more. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (!this.#isReading) this.#end()
  }

  /** Reads until it is paused or closed. Never rejects: an error of the device is the end of the mount. */
  async #read(): Promise<void> {
    // No request is delivered before the owner's constructor has finished.
    await nextTurn()
    while (!this.#isPaused && !this.#isClosed) {
      const buffer = this.#events.buffer()
      const count = this.#readInto(buffer)
      if (count === undefined) {
        await waitUntilReadable(this.fd, waitMs).catch((error: unknown) => this.#fail(error))
      } else if (count > 0) {
        this.#events.take(buffer.subarray(0, count))
        await nextTurn()
      }
    }
    this.#isReading = false
    if (this.#isClosed) this.#end()
  }

  /** Reads one request and returns its length in bytes, or undefined when there is none yet. */
  #readInto(buffer: Buffer): number | undefined {
    try {
      return readSync(this.fd, buffer)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EAGAIN') return undefined
      // ENOENT: the program was killed before its request was read.
      if (code !== 'EINTR' && code !== 'ENOENT') this.#fail(error)
      return 0
    }
  }

  #fail(error: unknown): void {
    this.#events.trace('device: %o', error)
    this.#isClosed = true
  }

  #end(): void {
    closeQuietly(this.fd)
    this.#events.end()
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
