/**
 * One mount's talk with the kernel: agrees on the version and the abilities, runs each request's
 * operation, and answers it exactly once, in time. Every failure becomes an errno here and nowhere
 * else.
 */
import { constants } from 'node:os'
import type { Clock } from '../../clock.js'
import { asDfsError, DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugFuse, notice } from '../../log.js'
import type { Answer } from './answers.js'
import { Device } from './device.js'
import { Linger } from './linger.js'
import {
  aclInitFlags,
  initFlags,
  type OperationName,
  opcodes,
  outHeaderBytes,
  pageBytes,
  payloadBytesMax,
  protocolMajor,
  protocolMinor,
  protocolMinorMin,
} from './protocol.js'
import { Fields, parseRequest, type Request, type Unique } from './request.js'

/** Some requests are not answered: the kernel does not wait. */
export const noAnswer = Symbol('no answer')
/**
 * A failure that comes often is returned: to throw it costs more than the answer. What tells the kernel
 * something that may change at any moment is a function, which is called when the answer is written: between
 * the two nothing happens.
 */
export type Result = Answer | typeof noAnswer | DfsError | (() => Answer)

/**
 * Does what a request asks for. It reads the fields before it waits for anything: their memory is used
 * again afterwards, unless it calls `keep`. Throws DfsError.
 */
export type Operation = (
  request: Request,
  fields: Fields,
  keep: () => () => void,
) => Result | Promise<Result>

export type Operations = Partial<Record<OperationName, Operation>>

/** A request that has not been answered yet. */
interface Waiting {
  readonly unique: Unique
  readonly name: string
  readonly sinceMs: number
  answered: boolean
}

export interface SessionOptions {
  readonly operations: Operations
  /** Access control lists are wanted. */
  readonly acl: boolean
  readonly clock: Clock
  /** The mount was taken off. */
  readonly onEnd: () => void
}

const names = new Map<number, OperationName>(
  (Object.keys(opcodes) as OperationName[]).map((name) => [opcodes[name], name]),
)
const overdueEveryMs = 5_000
const { ENOSYS, EPROTO, ETIMEDOUT } = constants.errno

export class Session {
  readonly #device: Device
  readonly #operations: readonly (Operation | undefined)[]
  readonly #acl: boolean
  readonly #clock: Clock
  readonly #waiting = new Set<Waiting>()
  readonly #linger: Linger
  readonly #begun = Promise.withResolvers<number>()
  readonly #overdue = setInterval(() => this.#giveUpOverdue(), overdueEveryMs)
  #paused = false

  /** `fd` is the open device, which the session closes at its end. */
  constructor(fd: number, { operations, acl, clock, onEnd }: SessionOptions) {
    this.#acl = acl
    this.#clock = clock
    this.#linger = new Linger(clock)
    this.#operations = tableOf(operations)
    this.#overdue.unref()
    this.#device = new Device(fd, {
      onRequest: (bytes, keep) => this.#take(bytes, keep),
      onEnd: () => {
        clearInterval(this.#overdue)
        this.#begun.reject(new DfsError('configuration', 'the mount was taken off at once'))
        onEnd()
      },
    })
  }

  /**
   * Resolves when the kernel has begun to use the mount, with the minor version that both speak. Throws
   * `configuration`.
   */
  get begun(): Promise<number> {
    return this.#begun.promise
  }

  notify(code: number, told: Buffer): void {
    this.#device.notify(code, told)
  }

  close(): void {
    this.#device.close()
  }

  #take(bytes: Buffer, keep: () => () => void): void {
    this.#linger.end()
    const request = parseRequest(bytes)
    const { opcode, unique } = request
    if (opcode === opcodes.init) {
      this.#begin(request, new Fields(bytes))
      return
    }
    const operation = this.#operations[opcode]
    if (operation === undefined) {
      debugFuse('request %d is not known', opcode)
      // Interrupts and the last request of all have no use for an answer.
      if (opcode !== opcodes.destroy) this.#device.fail(unique, ENOSYS)
      return
    }
    try {
      const result = operation(request, new Fields(bytes), keep)
      if (result instanceof Promise) {
        this.#waitFor(request, result)
        return
      }
      this.#succeed(request, result)
    } catch (thrown) {
      this.#fail(request, thrown)
    }
    this.#answered()
  }

  #waitFor(request: Request, result: Promise<Result>): void {
    const { unique, opcode } = request
    const waiting: Waiting = {
      unique,
      name: nameOf(opcode),
      sinceMs: this.#clock.monotonic(),
      answered: false,
    }
    this.#waiting.add(waiting)
    if (this.#waiting.size >= limits.mountRequestsMax) this.#pause(true)
    // The promise never rejects: every failure is an answer.
    void result
      .then(
        (answer) => (waiting.answered ? giveBack(answer) : this.#succeed(request, answer)),
        (thrown: unknown) => waiting.answered || this.#fail(request, thrown),
      )
      .then(() => {
        this.#waiting.delete(waiting)
        if (this.#waiting.size < limits.mountRequestsMax) this.#pause(false)
        this.#answered()
      })
  }

  /** While servers are asked for something the processors are theirs. */
  #answered(): void {
    if (this.#waiting.size === 0) this.#linger.begin()
  }

  #pause(paused: boolean): void {
    if (paused === this.#paused) return
    this.#paused = paused
    if (paused) this.#device.pause()
    else this.#device.resume()
  }

  #succeed(request: Request, result: Result): void {
    if (result instanceof DfsError) {
      this.#fail(request, result)
      return
    }
    const { opcode, ino, unique } = request
    let answer: Answer | typeof noAnswer
    try {
      answer = typeof result === 'function' ? result() : result
    } catch (thrown) {
      this.#fail(request, thrown)
      return
    }
    if (debugFuse.enabled) debugFuse('%s %d', nameOf(opcode), ino)
    if (answer !== noAnswer) this.#device.answer(unique, answer)
    giveBack(answer)
  }

  #fail({ opcode, ino, unique }: Request, thrown: unknown): void {
    if (debugFuse.enabled) debugFuse('%s %d: %s', nameOf(opcode), ino, thrown)
    if (!(thrown instanceof DfsError)) debugFuse('%s: a bug? %o', nameOf(opcode), thrown)
    this.#device.fail(unique, asDfsError(thrown).errno)
  }

  /** Nobody waits for ever, whatever happens: what comes too late is not told any more. */
  #giveUpOverdue(): void {
    const before = this.#clock.monotonic() - limits.mountOperationTimeoutMs
    for (const waiting of this.#waiting) {
      if (waiting.sinceMs > before || waiting.answered) continue
      waiting.answered = true
      notice(`a ${waiting.name} took too long and was given up`)
      this.#device.fail(waiting.unique, ETIMEDOUT)
    }
  }

  /** struct fuse_init_in, and struct fuse_init_out as the answer. */
  #begin({ unique }: Request, fields: Fields): void {
    const [major, minor] = [fields.u32(), fields.u32()]
    if (major < protocolMajor || (major === protocolMajor && minor < protocolMinorMin)) {
      const wanted = `${protocolMajor}.${protocolMinorMin}`
      this.#refuse(unique, `the kernel speaks FUSE ${major}.${minor}; ${wanted} or later is needed`)
      return
    }
    const out = Buffer.alloc(outHeaderBytes + 64)
    out.writeUInt32LE(protocolMajor, outHeaderBytes)
    out.writeUInt32LE(protocolMinor, outHeaderBytes + 4)
    // A newer kernel asks again in our version.
    if (major === protocolMajor) {
      const readAheadBytes = fields.u32()
      const offered = [fields.u32()]
      if (isSet(offered, initFlags.extended)) offered.push(fields.u32())
      const forAcl = this.#acl ? Object.values(aclInitFlags) : []
      if (!forAcl.every((bit) => isSet(offered, bit))) {
        this.#refuse(unique, '-o acl needs Linux 5.13 or later')
        return
      }
      const [low, high] = agreedOf(offered, [...Object.values(initFlags), ...forAcl])
      out.writeUInt32LE(readAheadBytes, outHeaderBytes + 8)
      out.writeUInt32LE(low, outHeaderBytes + 12)
      out.writeUInt16LE(limits.mountRequestsMax, outHeaderBytes + 16)
      out.writeUInt16LE(limits.mountRequestsMax - 1, outHeaderBytes + 18)
      out.writeUInt32LE(payloadBytesMax, outHeaderBytes + 20)
      // Times are told to the nanosecond.
      out.writeUInt32LE(1, outHeaderBytes + 24)
      out.writeUInt16LE(payloadBytesMax / pageBytes, outHeaderBytes + 28)
      out.writeUInt32LE(high, outHeaderBytes + 32)
    }
    this.#device.answer(unique, out)
    if (major === protocolMajor) this.#begun.resolve(Math.min(minor, protocolMinor))
  }

  #refuse(unique: Unique, why: string): void {
    this.#device.fail(unique, EPROTO)
    this.#begun.reject(new DfsError('configuration', why))
  }
}

/** The memory of an answer that has been sent, or comes too late. */
function giveBack(result: Result): void {
  if (result === noAnswer || result instanceof DfsError || typeof result === 'function') return
  if ('release' in result) result.release()
}

/** What the kernel offers and we want, in the two words of flags. */
function agreedOf(
  offered: readonly number[],
  wanted: readonly number[],
): readonly [low: number, high: number] {
  const words: [number, number] = [0, 0]
  for (const bit of wanted) {
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

function nameOf(opcode: number): string {
  return names.get(opcode) ?? `request ${opcode}`
}
