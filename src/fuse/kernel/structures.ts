/**
 * The structures behind the headers of requests, field by field in the order of linux/fuse.h. A request that consists
 * of a name or a number alone is read where it is needed. Pure.
 */
import type { Time } from './answers.js'
import {
  fsyncDataOnly,
  getattrHasHandle,
  openKillsPrivileges,
  setattrFlags,
  setxattrKillsGroupId,
  writeFromCache,
  writeKillsPrivileges,
} from './protocol.js'
import { type Fields, secondsMax, secondsMin } from './request.js'

/** The changes of a setattr. Undefined fields stay as they are. */
export interface Changes {
  readonly mode: number | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
  /** New size in bytes: truncate(2). */
  readonly size: number | undefined
  readonly atime: Time | 'now' | undefined
  readonly mtime: Time | 'now' | undefined
  /** Handle of the open file by which it is changed, as by ftruncate(2). */
  readonly handle: number | undefined
  /** Set-user-ID and set-group-ID bits must be cleared. Set only with `size`. */
  readonly killsPrivileges: boolean
  /** Whether nothing changes, as with chown(2) of -1 and -1. */
  readonly isEmpty: boolean
}

/** struct fuse_setattr_in. */
export function setattrOf(fields: Fields): Changes {
  const valid = fields.u32()
  const has = (flag: number): boolean => (valid & flag) !== 0
  const given = <T>(flag: number, value: T): T | undefined => (has(flag) ? value : undefined)
  const handle = has(setattrFlags.handle) ? fields.skip(4).u64() : skipped(fields, 12)
  const size = has(setattrFlags.size) ? fields.u64() : skipped(fields, 8)
  fields.skip(8)
  const atime = has(setattrFlags.atime) ? fields.seconds() : skipped(fields, 8)
  const mtime = has(setattrFlags.mtime) ? fields.seconds() : skipped(fields, 8)
  const [atimeNs, mtimeNs] = [fields.skip(8).u32(), fields.u32()]
  const mode = given(setattrFlags.mode, fields.skip(4).u32())
  const uid = given(setattrFlags.uid, fields.skip(4).u32())
  const gid = given(setattrFlags.gid, fields.u32())
  return {
    mode,
    uid,
    gid,
    size,
    atime: timeOf(atime, atimeNs, has(setattrFlags.atimeNow)),
    mtime: timeOf(mtime, mtimeNs, has(setattrFlags.mtimeNow)),
    handle,
    killsPrivileges: has(setattrFlags.killPrivileges),
    isEmpty: valid === 0,
  }
}

function skipped(fields: Fields, bytes: number): undefined {
  fields.skip(bytes)
  return undefined
}

function timeOf(
  seconds: number | undefined,
  nanoseconds: number,
  isNow: boolean,
): Time | 'now' | undefined {
  if (seconds === undefined) return undefined
  if (isNow) return 'now'
  // Rounded as timestamp_truncate() of the kernel does it.
  const isBound = seconds === secondsMin || seconds === secondsMax
  return { seconds, nanoseconds: isBound ? 0 : nanoseconds }
}

/** struct fuse_getattr_in: the handle that names the file, if any. */
export function getattrOf(fields: Fields): number | undefined {
  const flags = fields.u32()
  return (flags & getattrHasHandle) === 0 ? undefined : fields.skip(4).u64()
}

/** A new file or folder. */
export interface Made {
  readonly name: string
  readonly mode: number
  /** Permissions that it must not have; applied by the kernel unless `dontMask` was agreed upon. */
  readonly umask: number
}

/** struct fuse_mknod_in. */
export function mknodOf(fields: Fields): Made & { readonly rdev: number } {
  const [mode, rdev, umask] = [fields.u32(), fields.u32(), fields.u32()]
  return { name: fields.skip(4).name(), mode, rdev, umask }
}

/** struct fuse_mkdir_in. */
export function mkdirOf(fields: Fields): Made {
  const [mode, umask] = [fields.u32(), fields.u32()]
  return { name: fields.name(), mode, umask }
}

/** A file to create and open at once. */
export interface CreateRequest extends Made {
  /** O_* flags of open(2). */
  readonly flags: number
  /** Set-user-ID and set-group-ID bits must be cleared if the file existed. */
  readonly killsPrivileges: boolean
}

/** struct fuse_create_in. */
export function createOf(fields: Fields): CreateRequest {
  const [flags, mode, umask, how] = [fields.u32(), fields.u32(), fields.u32(), fields.u32()]
  const killsPrivileges = (how & openKillsPrivileges) !== 0
  return { name: fields.name(), mode, umask, flags, killsPrivileges }
}

export interface RenameRequest {
  readonly to: number
  /** RENAME_* flags of renameat2(2). */
  readonly flags: number
  readonly fromName: string
  readonly toName: string
}

/** struct fuse_rename_in. */
export function renameOf(fields: Fields): RenameRequest {
  const to = fields.u64()
  return { to, flags: 0, fromName: fields.name(), toName: fields.name() }
}

/** struct fuse_rename2_in. */
export function rename2Of(fields: Fields): RenameRequest {
  const [to, flags] = [fields.u64(), fields.u32()]
  return { to, flags, fromName: fields.skip(4).name(), toName: fields.name() }
}

/** struct fuse_forget_one, of which struct fuse_batch_forget_in has many: calls `tell` for each. */
export function eachForgotten(fields: Fields, tell: (ino: number, lookups: number) => void): void {
  const count = fields.u32()
  fields.skip(4)
  for (let index = 0; index < count; index += 1) tell(fields.u64(), fields.u64())
}

/** struct fuse_open_in. */
export function openOf(fields: Fields): {
  readonly flags: number
  readonly killsPrivileges: boolean
} {
  const [flags, how] = [fields.u32(), fields.u32()]
  return { flags, killsPrivileges: (how & openKillsPrivileges) !== 0 }
}

/** A range of an open file or folder. */
export interface Range {
  readonly handle: number
  /** Offset in bytes; in a folder, a position from an earlier listing. */
  readonly at: number
  readonly length: number
}

/** struct fuse_read_in, of read and readdir. */
export function readOf(fields: Fields): Range {
  return { handle: fields.u64(), at: fields.u64(), length: fields.u32() }
}

export interface WriteRequest {
  readonly handle: number
  /** Offset in bytes. */
  readonly at: number
  /** A view of the request's memory. */
  readonly bytes: Buffer
  /** O_* flags of the open file. */
  readonly flags: number
  /** Whether the bytes are pages of a shared mapping or of the kernel's cache, rather than one write(2). */
  readonly isFromCache: boolean
  /** Set-user-ID and set-group-ID bits must be cleared. */
  readonly killsPrivileges: boolean
}

/** struct fuse_write_in. */
export function writeOf(fields: Fields): WriteRequest {
  const [handle, at] = [fields.u64(), fields.u64()]
  const [length, how] = [fields.u32(), fields.u32()]
  const flags = fields.skip(8).u32()
  return {
    handle,
    at,
    bytes: fields.skip(4).bytes(length),
    flags,
    isFromCache: (how & writeFromCache) !== 0,
    killsPrivileges: (how & writeKillsPrivileges) !== 0,
  }
}

/** struct fuse_fsync_in, of fsync and fsyncdir. */
export function fsyncOf(fields: Fields): { readonly handle: number; readonly dataOnly: boolean } {
  return { handle: fields.u64(), dataOnly: (fields.u32() & fsyncDataOnly) !== 0 }
}

/** struct fuse_fallocate_in; `mode` is that of fallocate(2). */
export function fallocateOf(fields: Fields): Range & { readonly mode: number } {
  return { handle: fields.u64(), at: fields.u64(), length: fields.u64(), mode: fields.u32() }
}

/** SEEK_DATA and SEEK_HOLE of lseek(2): the kernel does the others itself. */
const seekable: Readonly<Record<number, 'data' | 'hole'>> = { 3: 'data', 4: 'hole' }

export interface SeekRequest {
  readonly handle: number
  readonly at: number
  readonly wanted: 'data' | 'hole' | undefined
}

/** struct fuse_lseek_in. A negative position is a very large number here, which is cut to `max`. */
export function lseekOf(fields: Fields, max?: number): SeekRequest {
  return { handle: fields.u64(), at: fields.length64(max), wanted: seekable[fields.u32()] }
}

export interface CopyRequest {
  readonly source: { readonly handle: number; readonly at: number }
  readonly target: { readonly ino: number; readonly handle: number; readonly at: number }
  readonly length: number
}

/** struct fuse_copy_file_range_in. The length may mean "as much as there is", and is cut to `max`. */
export function copyFileRangeOf(fields: Fields, max?: number): CopyRequest {
  const source = { handle: fields.u64(), at: fields.u64() }
  const target = { ino: fields.u64(), handle: fields.u64(), at: fields.u64() }
  return { source, target, length: fields.length64(max) }
}

/** struct fuse_getxattr_in, of getxattr and listxattr: the room offered in bytes, 0 to ask for the size needed. */
export function getxattrOf(fields: Fields): number {
  const bytesMax = fields.u32()
  fields.skip(4)
  return bytesMax
}

export interface SetxattrRequest {
  readonly name: string
  readonly value: Buffer
  /** XATTR_CREATE and XATTR_REPLACE of setxattr(2). */
  readonly flags: number
  /** Whether the new access control list clears the set-group-ID bit. */
  readonly losesGroupId: boolean
}

/** struct fuse_setxattr_in, which has two more fields if `setxattrExtended` was agreed upon. */
export function setxattrOf(fields: Fields, isExtended: boolean): SetxattrRequest {
  const [length, flags] = [fields.u32(), fields.u32()]
  const how = isExtended ? fields.u32() : 0
  const name = (isExtended ? fields.skip(4) : fields).name()
  const value = Buffer.from(fields.bytes(length))
  return { name, value, flags, losesGroupId: (how & setxattrKillsGroupId) !== 0 }
}
