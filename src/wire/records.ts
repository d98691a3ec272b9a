/**
 * The records that servers store, as both sides understand them: register keys, the values of inodes and directory
 * entries, and transactions. A server looks into a value only to join a listing and to count the references to
 * segments; what the fields mean matters to the client alone.
 */
import { byteLengthOf, hasBytes, isByteText } from '../byte-text.js'
import type { Time } from '../clock.js'
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import {
  boolean,
  bytes,
  type Codec,
  decode,
  encode,
  hex,
  i64,
  list,
  optional,
  Reader,
  struct,
  text,
  u8,
  u32,
  u64,
  type Value,
} from './codec.js'
import {
  type PlainExtent,
  packedBytes,
  packedExtents,
  walkPackedExtents,
} from './packed-extents.js'
import { versionCodec } from './version.js'

// ---- keys ---------------------------------------------------------------------------------------

/** The name of a register: `i<ino>` for an inode, `e<parent ino>/<name>` for a directory entry. */
export type Key = string

export type ParsedKey =
  | { readonly kind: 'inode'; readonly ino: number }
  | { readonly kind: 'entry'; readonly parent: number; readonly name: string }

export const rootIno = 1
/**
 * The folder of what was removed or replaced and is kept for a while (docs/decisions/0030). It is in no other folder, so
 * that no path leads to it.
 */
export const trashIno = 2

export function inodeKey(ino: number): Key {
  return `i${ino}`
}

export function entryKey(parent: number, name: string): Key {
  return `e${parent}/${name}`
}

/**
 * Parses a register's key. Throws `protocol`. Every register of every transaction passes here: no regular
 * expressions.
 */
export function parseKey(key: Key): ParsedKey {
  const slash = key.indexOf('/')
  const end = slash === -1 ? key.length : slash
  let ino = end > 1 && end <= 17 && key.charCodeAt(1) !== digitZero ? 0 : Number.NaN
  for (let at = 1; at < end; at += 1) {
    const digit = key.charCodeAt(at) - digitZero
    ino = digit >= 0 && digit <= 9 ? ino * 10 + digit : Number.NaN
  }
  if (Number.isSafeInteger(ino)) {
    if (slash === -1 && key.startsWith('i')) return { kind: 'inode', ino }
    if (slash !== -1 && key.startsWith('e')) {
      const name = key.slice(slash + 1)
      if (isEntryName(name)) return { kind: 'entry', parent: ino, name }
    }
  }
  throw new DfsError('protocol', 'malformed register key')
}

/** Comes before all keys in their order, as `behindKeys` comes behind them. */
export const beforeKeys: Key = ''
export const behindKeys: Key = '\uffff'

/**
 * Compares two keys in the order of surveys: entries by folder and name, then inodes by number. Negative, zero or
 * positive as `a` comes before, is or comes behind `b`.
 */
export function compareKeys(a: Key, b: Key): number {
  if (a === b) return 0
  const isBound = (key: Key): boolean => key === beforeKeys || key === behindKeys
  if (isBound(a) || isBound(b)) return a === beforeKeys || b === behindKeys ? -1 : 1
  const [one, other] = [parseKey(a), parseKey(b)]
  if (one.kind === 'inode') return other.kind === 'inode' ? one.ino - other.ino : 1
  if (other.kind === 'inode') return -1
  if (one.parent !== other.parent) return one.parent - other.parent
  return Buffer.compare(Buffer.from(one.name), Buffer.from(other.name))
}

const digitZero = 0x30

/**
 * Whether a directory entry may have this name: a POSIX filename of 1 to 255 bytes, not "." or "..", written as the
 * one text that these bytes have.
 */
export function isEntryName(name: string): boolean {
  return (
    name !== '' &&
    name !== '.' &&
    name !== '..' &&
    !name.includes('/') &&
    !name.includes('\0') &&
    (name.length * 3 <= limits.nameBytesMax || byteLengthOf(name) <= limits.nameBytesMax) &&
    (!hasBytes(name) || isByteText(name))
  )
}

/** A name in a folder, as a text of src/byte-text.ts. */
export const nameText = text(limits.nameBytesMax * limits.textBytesPerByte)

const keyCodec = text(limits.keyBytesMax)

// ---- inodes and entries -------------------------------------------------------------------------

/** File types as in <sys/stat.h>, the bits of `mode` above the permissions. */
export const fileType = {
  mask: 0o170000,
  fifo: 0o010000,
  characterDevice: 0o020000,
  folder: 0o040000,
  blockDevice: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const

const timeCodec: Codec<Time> = struct({ seconds: i64, nanoseconds: u32 })

/** 16 random bytes that name a segment, as hexadecimal digits. */
export const segmentIdCodec = hex(16)

export const segmentCodec = struct({
  id: segmentIdCodec,
  /** Length in bytes, 1 .. segmentBytesMax. */
  length: u32,
  /** Digest of the whole segment; MD5 mod 4 is its rotation over the servers. */
  md5: hex(16),
})
export type Segment = Value<typeof segmentCodec>

const extent = struct({
  /** Offset in bytes of the slice in the file. */
  at: u64,
  /** Position in the inode's list of segments. */
  segment: u32,
  /** Offset in bytes of the slice in the segment. */
  offset: u32,
  /** Length in bytes, at least 1. */
  length: u32,
})

const plainExtents = list(extent, limits.segmentsMax)
/** Stands in place of the count when the packed form follows. */
const packedMark = 0xffff_ffff

/** Extents: a few in the plain form, many packed. */
const extents: Codec<readonly PlainExtent[]> = {
  write(writer, value) {
    if (value.length <= limits.extentsPlainMax) {
      plainExtents.write(writer, value)
      return
    }
    u32.write(writer, packedMark)
    packedExtents.write(writer, value)
  },
  read(reader) {
    if (reader.remaining < 4 || reader.rest().readUInt32BE(0) !== packedMark) {
      return plainExtents.read(reader)
    }
    reader.take(4)
    return packedExtents.read(reader)
  },
}

const segmentBytes = 36
const noBytes = Buffer.alloc(0)
const extentBytes = 20

const attribute = struct({
  name: text(limits.attributeNameBytesMax * limits.textBytesPerByte),
  value: bytes(limits.attributeValueBytesMax),
})

const inodeFrontFields = {
  /** File type and permissions, as st_mode. */
  mode: u32,
  uid: u32,
  gid: u32,
  /** Number of directory entries that name the inode. A folder's st_nlink is 2 + its subfolders instead. */
  nlink: u32,
  /** Content length in bytes. */
  size: u64,
  /** Device number of a device node, else 0. */
  rdev: u32,
  /** For a folder: the folder it is in (itself for the root). Else 0. */
  parent: u64,
  atime: timeCodec,
  mtime: timeCodec,
  ctime: timeCodec,
  btime: timeCodec,
  /** Target of a symbolic link, else empty. */
  target: text(limits.symlinkBytesMax * limits.textBytesPerByte),
  /** Those of a user, and one more of a file in the trash. */
  attributes: list(attribute, limits.attributesMax + 1),
}

/** The fields of an inode before its segments and extents, of which there may be thousands. */
const inodeFront = struct(inodeFrontFields)

export const inodeCodec = struct({
  ...inodeFrontFields,
  segments: list(segmentCodec, limits.segmentsMax),
  /** Ordered by `at`, not overlapping. What no extent covers is a hole of zeros. */
  extents,
})
export type Inode = Value<typeof inodeCodec>
export type Extent = Value<typeof extent>

export const entryCodec = struct({
  ino: u64,
  /** The type bits of the inode's mode, shifted right by 12 (d_type of readdir(3)). */
  type: u8,
})
export type Entry = Value<typeof entryCodec>

export const decodeInode = (value: Buffer): Inode => decode(inodeCodec, value)
export const encodeEntry = (entry: Entry): Buffer => encode(entryCodec, entry)
export const decodeEntry = (value: Buffer): Entry => decode(entryCodec, value)

/** Bytes of a register that the segments and extents of a file take. */
export function contentBytes({ segments, extents }: Pick<Inode, 'segments' | 'extents'>): number {
  const plain = extents.length <= limits.extentsPlainMax
  const bytes = plain ? extents.length * extentBytes : packedBytes(extents)
  return 8 + segments.length * segmentBytes + bytes
}

/** Encodes an inode. Throws `tooManyExtents` when its register has no room for them. */
export function encodeInode(inode: Inode): Buffer {
  const value = inode.segments.length <= limits.segmentsMax ? encode(inodeCodec, inode) : undefined
  if (value === undefined || value.length > limits.registerValueBytesMax) {
    throw new DfsError('tooManyExtents')
  }
  return value
}

/** Decodes the segments of an encoded inode, without its extents. */
export function segmentsOfInode(value: Buffer): readonly Segment[] {
  return segmentsIn(encodedSegments(value))
}

/**
 * Segments that are in one of two encoded inodes only, and perhaps some that are in both. What is equal at the
 * beginning and at the end of both lists is not decoded: as a rule all but the last.
 */
export function changedSegments(
  before: Buffer | null,
  after: Buffer | null,
): { readonly gone: readonly Segment[]; readonly come: readonly Segment[] } {
  const old = before === null ? noBytes : encodedSegments(before)
  const now = after === null ? noBytes : encodedSegments(after)
  const least = Math.min(old.length, now.length)
  const isSame = (inOld: number, inNow: number, length: number): boolean =>
    old.compare(now, inNow, inNow + length, inOld, inOld + length) === 0
  let front = 0
  if (isSame(0, 0, least)) front = least
  while (front < least && isSame(front, front, segmentBytes)) front += segmentBytes
  let oldEnd = old.length
  let nowEnd = now.length
  while (Math.min(oldEnd, nowEnd) > front) {
    if (!isSame(oldEnd - segmentBytes, nowEnd - segmentBytes, segmentBytes)) break
    oldEnd -= segmentBytes
    nowEnd -= segmentBytes
  }
  return {
    gone: segmentsIn(old.subarray(front, oldEnd)),
    come: segmentsIn(now.subarray(front, nowEnd)),
  }
}

function encodedSegments(value: Buffer): Buffer {
  const reader = new Reader(value)
  inodeFront.read(reader)
  return takeSegments(reader)
}

/** Steps over the list of segments. Refuses what the codec refuses. */
function takeSegments(reader: Reader): Buffer {
  const count = u32.read(reader)
  if (count > limits.segmentsMax) throw new DfsError('protocol', `${count} segments`)
  const at = reader.take(count * segmentBytes)
  return reader.bytes.subarray(at, at + count * segmentBytes)
}

function segmentsIn(encoded: Buffer): readonly Segment[] {
  const reader = new Reader(encoded)
  const segments: Segment[] = []
  while (reader.remaining > 0) segments.push(segmentCodec.read(reader))
  return segments
}

/** Throws `protocol` where `decodeInode` would, without making an object for each segment and extent. */
export function assertInode(value: Buffer): void {
  const reader = new Reader(value)
  inodeFront.read(reader)
  takeSegments(reader)
  const count = u32.read(reader)
  if (count === packedMark) {
    walkPackedExtents(reader, () => {})
    if (reader.remaining !== 0) throw new DfsError('protocol', 'bytes behind the extents')
    return
  }
  if (count > limits.segmentsMax || reader.remaining !== count * extentBytes) {
    throw new DfsError('protocol', `${count} extents in ${reader.remaining} bytes`)
  }
  for (let index = 0; index < count; index += 1) {
    u64.read(reader)
    reader.take(extentBytes - 8)
  }
}

/** Decodes the mode of an encoded inode, its first field, without the rest. */
export function modeOfInode(value: Buffer): number {
  return u32.read(new Reader(value))
}

/** Decodes the link count of an encoded inode, behind mode, uid and gid. */
export function linksOfInode(value: Buffer): number {
  const reader = new Reader(value)
  for (let field = 0; field < 3; field += 1) u32.read(reader)
  return u32.read(reader)
}

export function typeOf(mode: number): number {
  return mode & fileType.mask
}

/** The type of a file as entries and listings have it: the type bits of its mode, shifted right by 12, as in readdir(3). */
export function direntType(mode: number): number {
  return typeOf(mode) >> 12
}

/** `direntType` of a folder. */
export const folderDirentType = direntType(fileType.folder)

// ---- transactions -------------------------------------------------------------------------------

const registerValue = bytes(limits.registerValueBytesMax)

const write = struct({
  key: keyCodec,
  /** The new value; null deletes and leaves a tombstone. */
  value: optional(registerValue),
})

const precondition = struct({
  key: keyCodec,
  /** True: the register must have no live value. False: it must have exactly this version. */
  absent: boolean,
  /** The version that the client read: the tombstone's, or `noVersion`, when absent. */
  version: versionCodec,
})
export type Precondition = Value<typeof precondition>

export const transactionCodec = struct({
  writes: list(write, limits.transactionWritesMax),
  preconditions: list(precondition, limits.transactionPreconditionsMax),
  /** Folders that must have no live entry. Their inodes must be among the writes. */
  emptyFolders: list(u64, limits.transactionWritesMax),
})
export type Transaction = Value<typeof transactionCodec>
export type RegisterWrite = Value<typeof write>

/** A decided value as servers copy it: by install, survey and fill. */
export const registerCodec = struct({
  key: keyCodec,
  version: versionCodec,
  value: optional(registerValue),
})
export type Register = Value<typeof registerCodec>

export { keyCodec, registerValue as registerValueCodec }
