/**
 * One mount's conversation with the kernel: agrees on the version and the features, runs the operation of each
 * request, and answers it exactly once, in time. Every failure becomes an errno here and nowhere else.
 */
import { constants } from 'node:os'
import type { Answer } from './answers.js'
import { BusyPoll } from './busy-poll.js'
import { Device } from './device.js'
import { errnoOf, FuseError, MissingFeatureError, MountError } from './error.js'
import {
  type Feature,
  features,
  type OperationName,
  opcodes,
  outHeaderBytes,
  pageBytes,
  payloadBytesMax,
  protocolMajor,
  protocolMinor,
  protocolMinorMin,
  transportFeatures,
} from './protocol.js'
import { Fields, type MonotonicClock, parseRequest, type Request, type Unique } from './request.js'
import { noTrace, type Trace } from './trace.js'

/** The result of a request that gets no answer, because the kernel does not wait for one. */
export const noAnswer = Symbol('no answer')
/**
 * The result of an operation. A frequent failure is returned, because throwing it costs more than the answer. An
 * answer that may be outdated at any moment is a function, called when the answer is written, with nothing in
 * between.
 */
export type Result = Answer | typeof noAnswer | Error | (() => Answer)

/**
 * Carries out a request. It must read the fields before it awaits anything: their memory is reused afterwards, unless
 * it calls `keep`, whose result gives the memory back. A thrown error becomes an errno.
 */
export type Operation = (
  request: Request,
  fields: Fields,
  keep: () => () => void,
) => Result | Promise<Result>

/** The operations of a file system. A request for a missing one gets ENOSYS. */
export type Operations = Partial<Record<OperationName, Operation>>

/** A request that has not been answered yet. */
interface Waiting {
  readonly request: Request
  readonly beganMs: number
  readonly sinceMs: number
  answered: boolean
}

export interface SessionOptions {
  readonly operations: Operations
  /** Called when the mount was taken off. */
  readonly onEnd: () => void
  /** Features that are used if the kernel has them. */
  readonly wants?: readonly Feature[]
  /** Features without which the session fails with MountError. */
  readonly needs?: readonly Feature[]
  /** Converts anything thrown by an operation to an error number. Defaults to `errnoOf` of error.ts. */
  readonly errnoOf?: (thrown: unknown) => number
  /** Called with each request that fails, before its answer is sent. */
  readonly onFailure?: (operation: OperationName, ino: number, thrown: unknown) => void
  /** Requests that are worked on at once; the others wait in the kernel. Defaults to 64. */
  readonly requestsMax?: number
  /** How long a request may take, in ms, before it is answered with ETIMEDOUT. Defaults to 150,000. */
  readonly timeoutMs?: number
  readonly clock?: MonotonicClock
  /** Receives one line per request with its outcome. */
  readonly trace?: Trace
  /** Receives a line about each request that timed out. Defaults to a warning of the process. */
  readonly warn?: (line: string) => void
  /** Called with each request that was answered, how long that took in ms, and the error number, 0 for none. */
  readonly answered?: (request: Request, tookMs: number, errno: number) => void
  /** Reads the device in threads instead of the event loop; see `canStreamDevices`. */
  readonly readInThreads?: boolean
}

const names = new Map<number, OperationName>(
  (Object.keys(opcodes) as OperationName[]).map((name) => [opcodes[name], name]),
)
const performanceClock: MonotonicClock = { monotonic: () => performance.now() }
const requestsMax = 64
const timeoutMs = 150_000
const overdueEveryMs = 5_000
const { ENOSYS, EPROTO, ETIMEDOUT } = constants.errno

/** One mount's requests, from its first to its last. */
export class Session {
  readonly #device: Device
  readonly #operations: readonly (Operation | undefined)[]
  readonly #wants: readonly Feature[]
  readonly #needs: readonly Feature[]
  readonly #errnoOf: (thrown: unknown) => number
  readonly #onFailure: SessionOptions['onFailure']
  readonly #requestsMax: number
  readonly #timeoutMs: number
  readonly #clock: MonotonicClock
  readonly #trace: Trace
  readonly #warn: (line: string) => void
  readonly #onAnswered: SessionOptions['answered']
  readonly #waiting = new Set<Waiting>()
  readonly #busyPoll: BusyPoll
  readonly #begun = Promise.withResolvers<number>()
  readonly #overdue = setInterval(() => this.#giveUpOverdue(), overdueEveryMs)
  #paused = false

  /** `fd` is the open device, which the session closes at its end. */
  constructor(fd: number, options: SessionOptions) {
    const { trace = noTrace, clock = performanceClock, onEnd } = options
    this.#wants = [...transportFeatures, ...(options.wants ?? [])]
    this.#needs = options.needs ?? []
    this.#errnoOf = options.errnoOf ?? errnoOf
    this.#onFailure = options.onFailure
    this.#requestsMax = options.requestsMax ?? requestsMax
    this.#timeoutMs = options.timeoutMs ?? timeoutMs
    this.#clock = clock
    this.#trace = trace
    this.#warn = options.warn ?? ((line) => process.emitWarning(line))
    this.#onAnswered = options.answered
    this.#busyPoll = new BusyPoll(clock)
    this.#operations = tableOf(options.operations)
    this.#overdue.unref()
    // The promise may be unused; a rejection must not end the process then.
    this.#begun.promise.catch(() => undefined)
    this.#device = new Device(fd, {
      onRequest: (bytes, keep) => this.#take(bytes, keep),
      onEnd: () => {
        clearInterval(this.#overdue)
        this.#begun.reject(new MountError('the mount was taken off at once'))
        onEnd()
      },
      trace,
      readInThreads: options.readInThreads ?? false,
    })
  }

  /** Resolves when the kernel has begun to use the mount, with the agreed minor version. Throws MountError. */
  get begun(): Promise<number> {
    return this.#begun.promise
  }

  /** Sends the kernel a notice; see `notices` of protocol.ts. */
  notify(code: number, told: Buffer): void {
    this.#device.notify(code, told)
  }

  /** Ends the session: closes the device, and with it the mount unless it is open elsewhere. */
  close(): void {
    this.#device.close()
  }

  #take(bytes: Buffer, keep: () => () => void): void {
    this.#busyPoll.end()
    const request = parseRequest(bytes)
    const { opcode, unique } = request
    if (opcode === opcodes.init) {
      this.#begin(request, new Fields(bytes))
      return
    }
    const beganMs = performance.now()
    const operation = this.#operations[opcode]
    if (operation === undefined) {
      this.#trace('request %d is not known', opcode)
      // Interrupts and FUSE_DESTROY, the last request of all, take no answer.
      if (opcode !== opcodes.destroy) this.#device.fail(unique, ENOSYS)
      return
    }
    try {
      const result = operation(request, new Fields(bytes), keep)
      if (result instanceof Promise) {
        this.#waitFor(request, result, beganMs)
        return
      }
      this.#succeed(request, result, beganMs)
    } catch (thrown) {
      this.#fail(request, thrown, beganMs)
    }
    this.#answered()
  }

  #waitFor(request: Request, result: Promise<Result>, beganMs: number): void {
    const waiting: Waiting = {
      request,
      beganMs,
      sinceMs: this.#clock.monotonic(),
      answered: false,
    }
    this.#waiting.add(waiting)
    if (this.#waiting.size >= this.#requestsMax) this.#pause(true)
    // The promise never rejects: every failure is an answer.
    void result
      .then(
        (answer) => (waiting.answered ? giveBack(answer) : this.#succeed(request, answer, beganMs)),
        (thrown: unknown) => waiting.answered || this.#fail(request, thrown, beganMs),
      )
      .then(() => {
        this.#waiting.delete(waiting)
        if (this.#waiting.size < this.#requestsMax) this.#pause(false)
        this.#answered()
      })
  }

  /** While other requests are worked on, the processors are left to that work. */
  #answered(): void {
    if (this.#waiting.size === 0) this.#busyPoll.begin()
  }

  #pause(paused: boolean): void {
    if (paused === this.#paused) return
    this.#paused = paused
    if (paused) this.#device.pause()
    else this.#device.resume()
  }

  #succeed(request: Request, result: Result, beganMs: number): void {
    if (result instanceof Error) {
      this.#fail(request, result, beganMs)
      return
    }
    const { opcode, ino, unique } = request
    let answer: Answer | typeof noAnswer
    try {
      answer = typeof result === 'function' ? result() : result
    } catch (thrown) {
      this.#fail(request, thrown, beganMs)
      return
    }
    if (this.#trace.enabled) this.#trace('%s %d', nameOf(opcode), ino)
    if (answer !== noAnswer) this.#device.answer(unique, answer)
    giveBack(answer)
    this.#onAnswered?.(request, performance.now() - beganMs, 0)
  }

  #fail(request: Request, thrown: unknown, beganMs: number): void {
    const { opcode, ino, unique } = request
    if (this.#trace.enabled) this.#trace('%s %d: %s', nameOf(opcode), ino, thrown)
    const errno = thrown instanceof FuseError ? thrown.errno : this.#errnoOf(thrown)
    this.#failed(opcode, ino, thrown)
    this.#device.fail(unique, errno)
    this.#onAnswered?.(request, performance.now() - beganMs, errno)
  }

  #failed(opcode: number, ino: number, thrown: unknown): void {
    const name = names.get(opcode)
    if (name !== undefined) this.#onFailure?.(name, ino, thrown)
  }

  /** Answers every overdue request with ETIMEDOUT, so that no program waits for ever. A later result is dropped. */
  #giveUpOverdue(): void {
    const before = this.#clock.monotonic() - this.#timeoutMs
    for (const waiting of this.#waiting) {
      if (waiting.sinceMs > before || waiting.answered) continue
      waiting.answered = true
      const { request, beganMs } = waiting
      const { opcode, ino, unique } = request
      this.#warn(`a ${nameOf(opcode)} request took too long and was answered with ETIMEDOUT`)
      this.#failed(opcode, ino, new FuseError('ETIMEDOUT'))
      this.#device.fail(unique, ETIMEDOUT)
      this.#onAnswered?.(request, performance.now() - beganMs, ETIMEDOUT)
    }
  }

  /** Answers struct fuse_init_in with struct fuse_init_out. */
  #begin({ unique }: Request, fields: Fields): void {
    const [major, minor] = [fields.u32(), fields.u32()]
    if (major < protocolMajor || (major === protocolMajor && minor < protocolMinorMin)) {
      const wanted = `${protocolMajor}.${protocolMinorMin}`
      const spoken = `the kernel speaks FUSE ${major}.${minor}`
      this.#refuse(unique, new MountError(`${spoken}; ${wanted} or later is needed`))
      return
    }
    const out = Buffer.alloc(outHeaderBytes + 64)
    out.writeUInt32LE(protocolMajor, outHeaderBytes)
    out.writeUInt32LE(protocolMinor, outHeaderBytes + 4)
    // A newer kernel asks again in this version.
    if (major === protocolMajor) {
      const readAheadBytes = fields.u32()
      const offered = [fields.u32()]
      if (isSet(offered, features.extended)) offered.push(fields.u32())
      const missing = this.#needs.filter((feature) => !isSet(offered, features[feature]))
      if (missing.length > 0) {
        this.#refuse(unique, new MissingFeatureError(missing))
        return
      }
      const [low, high] = agreedOf(offered, [...this.#wants, ...this.#needs])
      out.writeUInt32LE(readAheadBytes, outHeaderBytes + 8)
      out.writeUInt32LE(low, outHeaderBytes + 12)
      out.writeUInt16LE(this.#requestsMax, outHeaderBytes + 16)
      out.writeUInt16LE(this.#requestsMax - 1, outHeaderBytes + 18)
      out.writeUInt32LE(payloadBytesMax, outHeaderBytes + 20)
      // Times have a granularity of a nanosecond.
      out.writeUInt32LE(1, outHeaderBytes + 24)
      out.writeUInt16LE(payloadBytesMax / pageBytes, outHeaderBytes + 28)
      out.writeUInt32LE(high, outHeaderBytes + 32)
    }
    this.#device.answer(unique, out)
    if (major === protocolMajor) this.#begun.resolve(Math.min(minor, protocolMinor))
  }

  #refuse(unique: Unique, why: MountError): void {
    this.#device.fail(unique, EPROTO)
    this.#begun.reject(why)
  }
}

/** Gives back the memory of an answer that has been sent, or comes too late. */
function giveBack(result: Result): void {
  if (result === noAnswer || result instanceof Error || typeof result === 'function') return
  if ('release' in result) result.release()
}

/** The features that both sides have, as the two words of flags. */
function agreedOf(
  offered: readonly number[],
  wanted: readonly Feature[],
): readonly [low: number, high: number] {
  const words: [number, number] = [0, 0]
  for (const feature of new Set(wanted)) {
    const bit = features[feature]
    if (isSet(offered, bit)) words[bit < 32 ? 0 : 1] += 2 ** (bit % 32)
  }
  return words
}

function isSet(words: readonly number[], bit: number): boolean {
  return (((words[Math.floor(bit / 32)] ?? 0) >>> (bit % 32)) & 1) === 1
}

function tableOf(operations: Operations): readonly (Operation | undefined)[] {
  const table: (Operation | undefined)[] = []
  for (const [number, name] of names) table[number] = operations[name]
  return table
}

/** The name of an operation as this package has it. */
export function nameOf(opcode: number): string {
  return names.get(opcode) ?? `request ${opcode}`
}
