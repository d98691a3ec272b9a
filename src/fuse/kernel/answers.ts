/**
 * The answers to the kernel's requests, as in linux/fuse.h. Each begins with room for its header, which
 * device.ts fills in. Pure.
 */
import { bytesOf, hasBytes } from '../../byte-text.js'
import type { Time } from '../../clock.js'
import type { LentParts } from '../../dfc/held-memory.js'
import { limits } from '../../limits.js'
import { fileType } from '../../wire/records.js'
import type { Attributes } from '../attributes.js'
import { openFlags, outHeaderBytes, statxMask } from './protocol.js'

/** A whole answer, or one in parts, of which the first has the room for the header. */
export type Answer = Buffer | readonly Buffer[] | LentAnswer

/** One in parts, whose memory is given back when it was sent or will never be. */
export type LentAnswer = LentParts

const attributesBytes = 88
const entryBytes = 40 + attributesBytes
const nameHeaderBytes = 24
const partsMax = 64
const twoTo32 = 2 ** 32

/** Nothing but that it was done. */
export function done(): Buffer {
  return room(0)
}

export function data(bytes: Buffer): Answer {
  return [room(0), bytes]
}

/** Without copying, unless it is in so many parts that each costs more than its bytes. */
export function lent({ parts, release }: LentParts): LentAnswer {
  const whole = parts.length > partsMax ? [Buffer.concat(parts)] : parts
  return { parts: [room(0), ...whole], release }
}

export function text(value: string): Answer {
  return data(bytesOf(value))
}

/** struct fuse_write_out: how many bytes. */
export function count(value: number): Buffer {
  const out = room(8)
  out.writeUInt32LE(value, outHeaderBytes)
  out.writeUInt32LE(0, outHeaderBytes + 4)
  return out
}

/** struct fuse_lseek_out, struct fuse_copy_file_range_out. */
export function whole(value: number): Buffer {
  const out = room(8)
  writeU64(out, value, outHeaderBytes)
  return out
}

/** struct fuse_attr_out. The kernel may believe them for `validMs`. */
export function attributes(given: Attributes, validMs: number = limits.kernelCacheMs): Buffer {
  const out = room(16 + attributesBytes)
  writeValid(out, validMs, 16, 24)
  out.writeUInt32LE(0, 28)
  writeAttributes(out, given, 32)
  return out
}

/** struct fuse_entry_out: a name and what it means. The kernel may believe both for `validMs`. */
export function entry(given: Attributes, validMs: number = limits.kernelCacheMs): Buffer {
  const out = room(entryBytes)
  writeEntry(out, given, outHeaderBytes, validMs)
  return out
}

/** The same for a name that is not there, and that nobody else can make for so long. */
export function noEntry(validMs: number): Buffer {
  const out = room(entryBytes).fill(0)
  writeValid(out, validMs, outHeaderBytes + 16, outHeaderBytes + 32)
  return out
}

/** How the kernel is to treat the pages of what was opened. */
export interface OpenedAs {
  readonly direct: boolean
  readonly keep: boolean
  /** Its close has nothing to wait for. */
  readonly noFlush: boolean
}

const asFolder: OpenedAs = { direct: false, keep: false, noFlush: false }

/** struct fuse_open_out. */
export function opened(handle: number, as: OpenedAs = asFolder): Buffer {
  const out = room(16)
  writeOpened(out, handle, as, outHeaderBytes)
  return out
}

/** struct fuse_entry_out, then struct fuse_open_out. */
export function created(
  given: Attributes,
  handle: number,
  as: OpenedAs,
  validMs: number = limits.kernelCacheMs,
): Buffer {
  const out = room(entryBytes + 16)
  writeEntry(out, given, outHeaderBytes, validMs)
  writeOpened(out, handle, as, outHeaderBytes + entryBytes)
  return out
}

/** In blocks of `blockBytes`, and numbers of files. */
export interface Statfs {
  readonly blockBytes: number
  readonly blocks: number
  readonly freeBlocks: number
  readonly files: number
}

/** struct fuse_statfs_out. */
export function statfs({ blockBytes, blocks, freeBlocks, files }: Statfs): Buffer {
  const out = room(80).fill(0)
  const numbers = [blocks, freeBlocks, freeBlocks, files, files]
  for (const [index, number] of numbers.entries()) {
    writeU64(out, number, outHeaderBytes + index * 8)
  }
  out.writeUInt32LE(blockBytes, outHeaderBytes + 40)
  out.writeUInt32LE(limits.nameBytesMax, outHeaderBytes + 44)
  out.writeUInt32LE(blockBytes, outHeaderBytes + 48)
  return out
}

/** struct fuse_statx_out. */
export function extendedAttributes(
  given: Attributes,
  validMs: number = limits.kernelCacheMs,
): Buffer {
  const out = room(32 + 256).fill(0)
  writeValid(out, validMs, 16, 24)
  const at = outHeaderBytes + 32
  out.writeUInt32LE(statxMask, at)
  out.writeUInt32LE(given.blksize, at + 4)
  out.writeUInt32LE(given.nlink, at + 16)
  out.writeUInt32LE(given.uid, at + 20)
  out.writeUInt32LE(given.gid, at + 24)
  out.writeUInt16LE(given.mode & 0xffff, at + 28)
  writeU64(out, given.ino, at + 32)
  writeU64(out, given.size, at + 40)
  writeU64(out, given.blocks, at + 48)
  const times = [given.atime, given.btime, given.ctime, given.mtime]
  for (const [index, { seconds, nanoseconds }] of times.entries()) {
    writeI64(out, seconds, at + 64 + index * 16)
    out.writeUInt32LE(nanoseconds, at + 72 + index * 16)
  }
  const [major, minor] = deviceNumbers(given.rdev)
  out.writeUInt32LE(major, at + 128)
  out.writeUInt32LE(minor, at + 132)
  return out
}

/** The kernel's encoding of a device number in 32 bits: linux/kdev_t.h, new_decode_dev. Pure. */
function deviceNumbers(rdev: number): readonly [major: number, minor: number] {
  return [(rdev >>> 8) & 0xfff, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)]
}

/** One name of a listing, and the position behind it. */
export interface ListedEntry {
  readonly name: string
  readonly ino: number
  /** The file type bits of the mode, shifted right by 12. */
  readonly type: number
  readonly next: number
  /** What the kernel may remember of it; undefined: nothing. */
  readonly attributes?: Attributes | undefined
}

/**
 * Names until `bytesMax` bytes are full: struct fuse_dirent, or `withAttributes` struct
 * fuse_direntplus.
 */
export class Listing {
  readonly #out: Buffer
  readonly #withAttributes: boolean
  #at = outHeaderBytes

  constructor(bytesMax: number, withAttributes: boolean) {
    this.#out = Buffer.allocUnsafe(outHeaderBytes + Math.min(bytesMax, limits.readdirBytesMax))
    this.#withAttributes = withAttributes
  }

  /** False when there is no room for it. */
  add({ name, ino, type, next, attributes }: ListedEntry): boolean {
    // What is not UTF-8 has a text that is no name to the kernel.
    const escaped = hasBytes(name) ? bytesOf(name) : undefined
    const nameBytes = escaped?.length ?? Buffer.byteLength(name)
    const header = this.#withAttributes ? entryBytes + nameHeaderBytes : nameHeaderBytes
    const bytes = (header + nameBytes + 7) & ~7
    if (this.#at + bytes > this.#out.length) return false
    let at = this.#at
    if (this.#withAttributes) {
      if (attributes === undefined) this.#out.fill(0, at, at + entryBytes)
      else writeEntry(this.#out, attributes, at, limits.kernelCacheMs)
      at += entryBytes
    }
    writeU64(this.#out, ino, at)
    writeU64(this.#out, next, at + 8)
    this.#out.writeUInt32LE(nameBytes, at + 16)
    this.#out.writeUInt32LE(type, at + 20)
    if (escaped === undefined) this.#out.write(name, at + nameHeaderBytes)
    else escaped.copy(this.#out, at + nameHeaderBytes)
    this.#out.fill(0, at + nameHeaderBytes + nameBytes, this.#at + bytes)
    this.#at += bytes
    return true
  }

  get answer(): Buffer {
    return this.#out.subarray(0, this.#at)
  }
}

/** FUSE_NOTIFY_INVAL_INODE. A negative offset spares the pages. */
export function attributesAreOld(ino: number): Buffer {
  const out = room(24)
  writeU64(out, ino, outHeaderBytes)
  writeI64(out, -1, outHeaderBytes + 8)
  writeI64(out, 0, outHeaderBytes + 16)
  return out
}

function room(bytes: number): Buffer {
  return Buffer.allocUnsafe(outHeaderBytes + bytes)
}

function writeValid(out: Buffer, validMs: number, secondsAt: number, nanosecondsAt: number): void {
  writeU64(out, Math.floor(validMs / 1000), secondsAt)
  out.writeUInt32LE(Math.floor((validMs % 1000) * 1_000_000), nanosecondsAt)
}

function writeEntry(out: Buffer, given: Attributes, at: number, validMs: number): void {
  writeU64(out, given.ino, at)
  // A generation tells apart two files that had the same number one after the other: ours never do.
  writeU64(out, 0, at + 8)
  writeValid(out, validMs, at + 16, at + 32)
  writeValid(out, validMs, at + 24, at + 36)
  writeAttributes(out, given, at + 40)
}

/** struct fuse_attr. */
function writeAttributes(out: Buffer, given: Attributes, at: number): void {
  writeU64(out, given.ino, at)
  writeU64(out, given.size, at + 8)
  writeU64(out, given.blocks, at + 16)
  writeTime(out, given.atime, at + 24, at + 48)
  writeTime(out, given.mtime, at + 32, at + 52)
  writeTime(out, given.ctime, at + 40, at + 56)
  out.writeUInt32LE(given.mode, at + 60)
  out.writeUInt32LE(given.nlink, at + 64)
  out.writeUInt32LE(given.uid, at + 68)
  out.writeUInt32LE(given.gid, at + 72)
  out.writeUInt32LE(given.rdev, at + 76)
  out.writeUInt32LE(given.blksize, at + 80)
  out.writeUInt32LE(0, at + 84)
}

function writeTime(
  out: Buffer,
  { seconds, nanoseconds }: Time,
  secondsAt: number,
  nanosecondsAt: number,
): void {
  writeI64(out, seconds, secondsAt)
  out.writeUInt32LE(nanoseconds, nanosecondsAt)
}

function writeOpened(out: Buffer, handle: number, as: OpenedAs, at: number): void {
  writeU64(out, handle, at)
  const flags =
    (as.direct ? openFlags.directIo : 0) |
    (as.keep ? openFlags.keepCache : 0) |
    (as.noFlush ? openFlags.noFlush : 0)
  out.writeUInt32LE(flags, at + 8)
  out.writeUInt32LE(0, at + 12)
}

function writeU64(out: Buffer, value: number, at: number): void {
  out.writeUInt32LE(value % twoTo32, at)
  out.writeUInt32LE(Math.floor(value / twoTo32), at + 4)
}

/** Two's complement: the upper half is rounded down. */
function writeI64(out: Buffer, value: number, at: number): void {
  const high = Math.floor(value / twoTo32)
  out.writeUInt32LE(value - high * twoTo32, at)
  out.writeInt32LE(high, at + 4)
}

/** The type of "." and "..". */
export const folderType = fileType.folder >> 12
