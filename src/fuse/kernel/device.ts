/**
 * The open /dev/fuse of a mount: each read of it is one request, each write one answer or notice. It is
 * read in the event loop like a socket, without a thread in between, which costs a third of the CPU
 * time and has two changes of threads less for each request. Where Node cannot do that, threads wait for it.
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
   * `bytes` are one request. Their memory is used for the next one when this returns, unless
   * `keep()` was called: then it is the caller's until the function that it returns is called.
   */
  readonly onRequest: (bytes: Buffer, keep: () => () => void) => void
  /** The mount is gone, or the device was closed. Called once. */
  readonly onEnd: () => void
  readonly trace: Trace
  /** Waits for requests in a thread of Node's pool; see `canStreamDevices`. */
  readonly readInThreads: boolean
}

/** Reads requests until it is closed, one at a time. */
interface Source {
  readonly fd: number
  readonly isClosed: boolean
  pause(): void
  resume(): void
  close(): void
}

/** Free buffers that are kept: more have been in use at once only in a rush of writes. */
const spareBuffersMax = 8

const nobody: Unique = { low: 0, high: 0 }

export class Device {
  readonly #source: Source
  readonly #trace: Trace
  readonly #spare: Buffer<ArrayBuffer>[] = []
  #buffer = Buffer.allocUnsafeSlow(requestBytesMax)

  /** Owns `fd` from now on. */
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

  /** Reads no further request until `resume`. */
  pause(): void {
    this.#source.pause()
  }

  resume(): void {
    this.#source.resume()
  }

  /** When it returns the answer has been sent, or nobody is there who wants it. */
  answer(unique: Unique, answer: Answer): void {
    const parts = partsOf(answer)
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    const [first] = parts
    if (first !== undefined) this.#send(parts, header(first, bytes, 0, unique))
  }

  /** Answers with a failure; `errno` is positive. */
  fail(unique: Unique, errno: number): void {
    const out = Buffer.allocUnsafe(outHeaderBytes)
    this.#send([out], header(out, outHeaderBytes, -errno, unique))
  }

  /** Tells the kernel something that it has not asked for: FUSE_NOTIFY_*. */
  notify(code: number, notice: Buffer): void {
    this.#send([notice], header(notice, notice.length, code, nobody))
  }

  close(): void {
    this.#source.close()
  }

  #send(parts: readonly Buffer[], bytes: number): void {
    // From then on the descriptor may be that of something else.
    if (this.#source.isClosed) return
    const { fd } = this.#source
    const [first] = parts
    try {
      if (parts.length === 1 && first !== undefined) writeSync(fd, first, 0, bytes)
      else writevSync(fd, parts)
    } catch (error) {
      // ENOENT: who asked has been killed meanwhile, or the kernel does not know the inode any more.
      this.#trace('answer: %o', error)
    }
  }

  /** Makes the current buffer the caller's. */
  #give(): () => void {
    const given = this.#buffer
    this.#buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(requestBytesMax)
    return () => {
      if (this.#spare.length < spareBuffersMax) this.#spare.push(given)
    }
  }
}

interface SourceEvents {
  /** The memory for the next request. */
  buffer(): Buffer<ArrayBuffer>
  take(bytes: Buffer): void
  end(): void
  trace: Trace
}

/** Reads in the event loop. */
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

/** How long a thread waits at a time: at the end of the process it may have to be waited for. */
const waitMs = 200

/**
 * Waits for requests in a thread of Node's pool, and reads them without waiting. A thread that is inside
 * of read(2) could not be called off, neither by closing the device nor by the end of the process.
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

  /** The device itself is closed when no thread looks at it any more. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (!this.#isReading) this.#end()
  }

  /** Reads until it is paused or closed. Never rejects: an error of the device is the end of the mount. */
  async #read(): Promise<void> {
    // No request is told of before the owner has been made.
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

  /** Returns how many bytes there were, undefined where none are there yet. */
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
