/**
 * One request of the kernel: who asks for what, and a reader of the fields behind the header, which
 * takes them in the order in which linux/fuse.h declares them. Numbers are little-endian, as on every
 * machine that this runs on.
 */
import { textOf } from '../../byte-text.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Caller } from '../attributes.js'
import { inHeaderBytes } from './protocol.js'

/** The kernel's number of a request, to be given back as it came: a 64-bit number in two halves. */
export interface Unique {
  readonly low: number
  readonly high: number
}

export interface Request {
  readonly opcode: number
  readonly unique: Unique
  /** The inode number that is meant: ours. */
  readonly ino: number
  readonly caller: Caller
}

const twoTo32 = 2 ** 32

/** The times of ext4: a file system that keeps seconds in 34 bits, from 1901 to 2446. */
export const secondsMin = -(2 ** 31)
export const secondsMax = 2 ** 34 - 2 ** 31 - 1

/** `bytes` are exactly one request. Throws `protocol`. */
export function parseRequest(bytes: Buffer): Request {
  if (bytes.length < inHeaderBytes || bytes.readUInt32LE(0) !== bytes.length) {
    throw new DfsError('protocol', 'the kernel sent a request of another length than it says')
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

  /** Throws `tooLarge` for what is no safe integer. */
  u64(): number {
    const low = this.#bytes.readUInt32LE(this.#at)
    const high = this.#bytes.readUInt32LE(this.#at + 4)
    this.#at += 8
    if (high >= 2 ** 21) throw new DfsError('tooLarge')
    return low + high * twoTo32
  }

  /** A length that may be "as much as there is": what is more than a file can have is cut. */
  length64(): number {
    const low = this.#bytes.readUInt32LE(this.#at)
    const high = this.#bytes.readUInt32LE(this.#at + 4)
    this.#at += 8
    return Math.min(low + high * twoTo32, limits.fileBytesMax)
  }

  /** The seconds of a time: what cannot be kept is the first or the last that can. */
  seconds(): number {
    const value = Number(this.#bytes.readBigInt64LE(this.#at))
    this.#at += 8
    return Math.max(secondsMin, Math.min(value, secondsMax))
  }

  skip(count: number): this {
    this.#at += count
    return this
  }

  /** Bytes that end with a zero byte, as the text that stands for them. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end === -1) throw new DfsError('protocol', 'the kernel sent a name without an end')
    const name = this.#bytes.subarray(this.#at, end)
    this.#at = end + 1
    return textOf(name)
  }

  /** A name in a folder, or of an attribute. Throws `nameTooLong`. */
  name(): string {
    const from = this.#at
    const name = this.text()
    if (this.#at - from - 1 > limits.nameBytesMax) throw new DfsError('nameTooLong')
    return name
  }

  /** The next `count` bytes: part of the request, and gone when its buffer is used again. */
  bytes(count: number): Buffer {
    const at = this.#at
    this.#at += count
    if (this.#at > this.#bytes.length) {
      throw new DfsError('protocol', 'the kernel sent fewer bytes than it says')
    }
    return this.#bytes.subarray(at, this.#at)
  }
}
