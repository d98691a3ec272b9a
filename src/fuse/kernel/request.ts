/**
 * A request of the kernel: its header, and a reader of the fields behind it, in the order in which linux/fuse.h
 * declares them. Numbers are little-endian, as on every machine that this runs on.
 */
import { textOf } from '../../byte-text.js'
import { FuseError } from './error.js'
import { inHeaderBytes, nameBytesMax } from './protocol.js'

/** Milliseconds from an arbitrary origin. Never goes back. */
export interface MonotonicClock {
  monotonic(): number
}

/** The process that made the request, as in struct fuse_in_header. */
export interface Caller {
  readonly uid: number
  readonly gid: number
  /** The thread that made the system call; 0 when it is not visible from here. */
  readonly pid: number
  /** Permissions that a new file must not have. Present only where something is created. */
  readonly umask?: number
}

/** The kernel's number of a request, returned with the answer: a 64-bit number in two halves. */
export interface Unique {
  readonly low: number
  readonly high: number
}

export interface Request {
  readonly opcode: number
  readonly unique: Unique
  /** Inode number that the request is about. */
  readonly ino: number
  readonly caller: Caller
}

const twoTo32 = 2 ** 32

/** The first and the last second of a time: those of ext4, from 1901 to 2446. */
export const secondsMin = -(2 ** 31)
export const secondsMax = 2 ** 34 - 2 ** 31 - 1

/** Reads the header of a request. Throws EIO when `bytes` are not exactly one request. */
export function parseRequest(bytes: Buffer): Request {
  if (bytes.length < inHeaderBytes || bytes.readUInt32LE(0) !== bytes.length) {
    throw new FuseError('EIO', 'the kernel sent a request of another length than it says')
  }
  return {
    opcode: bytes.readUInt32LE(4),
    unique: { low: bytes.readUInt32LE(8), high: bytes.readUInt32LE(12) },
    ino: bytes.readUInt32LE(16) + bytes.readUInt32LE(20) * twoTo32,
    caller: {
      uid: bytes.readUInt32LE(24),
      gid: bytes.readUInt32LE(28),
      pid: bytes.readUInt32LE(32),
    },
  }
}

/** Reads the fields of a request one after the other. */
export class Fields {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number = inHeaderBytes) {
    this.#bytes = bytes
    this.#at = at
  }

  u32(): number {
    const value = this.#bytes.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }

  /** Reads a 64-bit number. Throws EFBIG when it is no safe integer. */
  u64(): number {
    const low = this.#bytes.readUInt32LE(this.#at)
    const high = this.#bytes.readUInt32LE(this.#at + 4)
    this.#at += 8
    if (high >= 2 ** 21) throw new FuseError('EFBIG')
    return low + high * twoTo32
  }

  /** Reads a length that may mean "as much as there is", and cuts it to `max`. */
  length64(max: number = Number.MAX_SAFE_INTEGER): number {
    const low = this.#bytes.readUInt32LE(this.#at)
    const high = this.#bytes.readUInt32LE(this.#at + 4)
    this.#at += 8
    return Math.min(low + high * twoTo32, max)
  }

  /** Reads the seconds of a time, and cuts them to the range of `secondsMin` and `secondsMax`. */
  seconds(): number {
    const value = Number(this.#bytes.readBigInt64LE(this.#at))
    this.#at += 8
    return Math.max(secondsMin, Math.min(value, secondsMax))
  }

  skip(count: number): this {
    this.#at += count
    return this
  }

  /** Reads bytes up to a zero byte, as the text that stands for them (byte-text.ts). */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end === -1) throw new FuseError('EIO', 'the kernel sent a name without an end')
    const name = this.#bytes.subarray(this.#at, end)
    this.#at = end + 1
    return textOf(name)
  }

  /** Reads the name of a directory entry or of an extended attribute. Throws ENAMETOOLONG. */
  name(): string {
    const from = this.#at
    const name = this.text()
    if (this.#at - from - 1 > nameBytesMax) throw new FuseError('ENAMETOOLONG')
    return name
  }

  /** Returns the next `count` bytes, a view that is valid only as long as the request's memory. */
  bytes(count: number): Buffer {
    const at = this.#at
    this.#at += count
    if (this.#at > this.#bytes.length) {
      throw new FuseError('EIO', 'the kernel sent fewer bytes than it says')
    }
    return this.#bytes.subarray(at, this.#at)
  }
}
