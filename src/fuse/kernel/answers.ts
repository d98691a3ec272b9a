/**
 * Encoders of the answers to the kernel's requests, as in linux/fuse.h. Each answer begins with room for its header,
 * which device.ts fills in. Pure.
 */
import { bytesOf, hasBytes } from '../../byte-text.js'
import {
  fileTypes,
  listingBytesMax,
  nameBytesMax,
  openFlags,
  outHeaderBytes,
  statxMask,
} from './protocol.js'

/** A point in time as in struct timespec: seconds since 1970 (may be negative), 0..999,999,999 ns. */
export interface Time {
  readonly seconds: number
  readonly nanoseconds: number
}

/** The attributes of an inode, as in struct stat. */
export interface Attributes {
  /** The inode number: 1 is the root folder, 0 means none. */
  readonly ino: number
  /** The file type and the permissions, as in inode(7). */
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  /** The device number of a device node, as the kernel encodes it in 32 bits. */
  readonly rdev: number
  /** Size in bytes. */
  readonly size: number
  /** Space used, in units of 512 bytes. */
  readonly blocks: number
  /** Preferred size of reads and writes in bytes. */
  readonly blksize: number
  readonly atime: Time
  readonly mtime: Time
  readonly ctime: Time
  /** Time of creation. */
  readonly btime: Time
}

/** Lent memory. It must not be written to, nor read after `release`. */
export interface LentParts {
  readonly parts: readonly Buffer[]
  /** Gives the memory back. Must be called exactly once. */
  readonly release: () => void
}

/** A whole answer, or one in parts, the first of which begins with room for the header. */
export type Answer = Buffer | readonly Buffer[] | LentAnswer

/** An answer in parts, whose memory is given back once it was sent or never will be. */
export type LentAnswer = LentParts

const attributesBytes = 88
const entryBytes = 40 + attributesBytes
const nameHeaderBytes = 24
const partsMax = 64
const twoTo32 = 2 ** 32

/** An answer without fields: the request succeeded. */
export function done(): Buffer {
  return room(0)
}

export function data(bytes: Buffer): Answer {
  return [room(0), bytes]
}

/** Bytes that are sent without a copy, unless there are so many parts that a copy is cheaper. */
export function lent({ parts, release }: LentParts): LentAnswer {
  const whole = parts.length > partsMax ? [Buffer.concat(parts)] : parts
  return { parts: [room(0), ...whole], release }
}

export function text(value: string): Answer {
  return data(bytesOf(value))
}

/** struct fuse_write_out: a number of bytes. */
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

/** struct fuse_attr_out: attributes, which the kernel may use for `validMs`. */
export function attributes(given: Attributes, validMs: number): Buffer {
  const out = room(16 + attributesBytes)
  writeValid(out, validMs, 16, 24)
  out.writeUInt32LE(0, 28)
  writeAttributes(out, given, 32)
  return out
}

/**
 * struct fuse_entry_out: the inode that a name stands for. The kernel may use the name for `validMs` and the
 * attributes for `attributesValidMs`, and counts one lookup of the inode, which `forget` takes back.
 */
export function entry(
  given: Attributes,
  validMs: number,
  attributesValidMs: number = validMs,
): Buffer {
  const out = room(entryBytes)
  writeEntry(out, given, outHeaderBytes, validMs, attributesValidMs)
  return out
}

/** struct fuse_entry_out for a name that does not exist. The kernel may answer so for `validMs`. */
export function noEntry(validMs: number): Buffer {
  const out = room(entryBytes).fill(0)
  writeValid(out, validMs, outHeaderBytes + 16, outHeaderBytes + 32)
  return out
}

/** How the kernel is to treat the pages of an opened file. */
export interface OpenedAs {
  /** Every read and write becomes a request: the kernel keeps no pages. */
  readonly direct: boolean
  /** The pages that the kernel has of the file stay valid. */
  readonly keep: boolean
  /** A close sends no flush request. */
  readonly noFlush: boolean
}

/** struct fuse_open_out: the handle by which the kernel names the opened file. */
export function opened(handle: number, as: OpenedAs): Buffer {
  const out = room(16)
  writeOpened(out, handle, openedFlagsOf(as), outHeaderBytes)
  return out
}

/** How the kernel is to treat the listing of an opened folder. */
export interface OpenedFolderAs {
  /** The kernel may keep the listing for later opens of the folder. */
  readonly cache: boolean
  /** The listing that the kernel has is still right; else it is dropped. */
  readonly keep: boolean
}

/** struct fuse_open_out: the handle by which the kernel names the opened folder. */
export function openedFolder(handle: number, { cache, keep }: OpenedFolderAs): Buffer {
  const out = room(16)
  const flags = (cache ? openFlags.cacheFolder : 0) | (keep ? openFlags.keepCache : 0)
  writeOpened(out, handle, flags, outHeaderBytes)
  return out
}

/** struct fuse_entry_out and struct fuse_open_out: a file that was created and opened. */
export function created(
  given: Attributes,
  handle: number,
  as: OpenedAs,
  validMs: number,
  attributesValidMs: number = validMs,
): Buffer {
  const out = room(entryBytes + 16)
  writeEntry(out, given, outHeaderBytes, validMs, attributesValidMs)
  writeOpened(out, handle, openedFlagsOf(as), outHeaderBytes + entryBytes)
  return out
}

/** The space of a file system, in blocks of `blockBytes`, and its files, as in statvfs(3). */
export interface Statfs {
  readonly blockBytes: number
  readonly blocks: number
  readonly freeBlocks: number
  /** Free blocks available to ordinary users. Defaults to all free blocks. */
  readonly availableBlocks?: number
  readonly files: number
  /** Free inodes. Defaults to `files`. */
  readonly freeFiles?: number
  /** Longest name in bytes. Defaults to 255. */
  readonly nameBytesMax?: number
  /** Preferred size of reads and writes in bytes. Defaults to `blockBytes`. */
  readonly preferredBytes?: number
}

/** struct fuse_statfs_out. */
export function statfs(given: Statfs): Buffer {
  const { blockBytes, blocks, freeBlocks, files } = given
  const out = room(80).fill(0)
  const { availableBlocks = freeBlocks, freeFiles = files } = given
  const numbers = [blocks, freeBlocks, availableBlocks, files, freeFiles]
  for (const [index, number] of numbers.entries()) {
    writeU64(out, number, outHeaderBytes + index * 8)
  }
  out.writeUInt32LE(given.preferredBytes ?? blockBytes, outHeaderBytes + 40)
  out.writeUInt32LE(given.nameBytesMax ?? nameBytesMax, outHeaderBytes + 44)
  out.writeUInt32LE(blockBytes, outHeaderBytes + 48)
  return out
}

/** struct fuse_statx_out: attributes with the time of creation. */
export function extendedAttributes(given: Attributes, validMs: number): Buffer {
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

/** Splits a device number as the kernel encodes it in 32 bits: linux/kdev_t.h, new_decode_dev. Pure. */
function deviceNumbers(rdev: number): readonly [major: number, minor: number] {
  return [(rdev >>> 8) & 0xfff, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)]
}

/** One name of a listing. */
export interface ListedEntry {
  readonly name: string
  readonly ino: number
  /** The file type bits of the mode, shifted right by 12. */
  readonly type: number
  /** The position behind the entry, at which a program may continue. */
  readonly next: number
  /**
   * Attributes, and for how long the kernel may keep them and the name, which counts one lookup; undefined for none.
   */
  readonly plus?: { readonly attributes: Attributes; readonly validMs: number } | undefined
}

/**
 * Collects entries until `bytesMax` bytes are full: as struct fuse_dirent, or as struct fuse_direntplus if
 * `withAttributes`.
 */
export class Listing {
  readonly #out: Buffer
  readonly #withAttributes: boolean
  #at = outHeaderBytes

  constructor(bytesMax: number, withAttributes: boolean) {
    this.#out = Buffer.allocUnsafe(outHeaderBytes + Math.min(bytesMax, listingBytesMax))
    this.#withAttributes = withAttributes
  }

  /** Adds an entry. Returns false when there is no room for it. */
  add({ name, ino, type, next, plus }: ListedEntry): boolean {
    // Bytes that are not UTF-8 have a text that is no name to the kernel.
    const escaped = hasBytes(name) ? bytesOf(name) : undefined
    const nameBytes = escaped?.length ?? Buffer.byteLength(name)
    const header = this.#withAttributes ? entryBytes + nameHeaderBytes : nameHeaderBytes
    const bytes = (header + nameBytes + 7) & ~7
    if (this.#at + bytes > this.#out.length) return false
    let at = this.#at
    if (this.#withAttributes) {
      if (plus === undefined) this.#out.fill(0, at, at + entryBytes)
      else writeEntry(this.#out, plus.attributes, at, plus.validMs, plus.validMs)
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

/** FUSE_NOTIFY_INVAL_INODE: the cached attributes of an inode are invalid. A negative offset keeps its pages. */
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

function writeEntry(
  out: Buffer,
  given: Attributes,
  at: number,
  validMs: number,
  attributesValidMs: number,
): void {
  writeU64(out, given.ino, at)
  // A generation would distinguish two files that had the same number one after the other.
  writeU64(out, 0, at + 8)
  writeValid(out, validMs, at + 16, at + 32)
  writeValid(out, attributesValidMs, at + 24, at + 36)
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

function openedFlagsOf({ direct, keep, noFlush }: OpenedAs): number {
  return (
    (direct ? openFlags.directIo : 0) |
    (keep ? openFlags.keepCache : 0) |
    (noFlush ? openFlags.noFlush : 0)
  )
}

function writeOpened(out: Buffer, handle: number, flags: number, at: number): void {
  writeU64(out, handle, at)
  out.writeUInt32LE(flags, at + 8)
  out.writeUInt32LE(0, at + 12)
}

function writeU64(out: Buffer, value: number, at: number): void {
  out.writeUInt32LE(value % twoTo32, at)
  out.writeUInt32LE(Math.floor(value / twoTo32), at + 4)
}

/** Writes a 64-bit integer in two's complement: the upper half is rounded down. */
function writeI64(out: Buffer, value: number, at: number): void {
  const high = Math.floor(value / twoTo32)
  out.writeUInt32LE(value - high * twoTo32, at)
  out.writeInt32LE(high, at + 4)
}

/** The d_type of a folder, such as that of "." and "..". */
export const folderType = fileTypes.folder >> 12
