/**
 * The structures behind the headers of requests, field by field in the order of linux/fuse.h. Requests
 * with a name or a number alone are read where they are needed. Pure.
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

/** What a setattr changes. What is undefined stays as it is. */
export interface Changes {
  readonly mode: number | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
  /** In bytes: truncate(2). */
  readonly size: number | undefined
  readonly atime: Time | 'now' | undefined
  readonly mtime: Time | 'now' | undefined
  /** The handle of the open file by which it is changed, as by ftruncate(2). */
  readonly handle: number | undefined
  /** With `size`: set-user-ID and set-group-ID bits must go. */
  readonly killsPrivileges: boolean
  /** Nothing changes, as with chown(2) of -1 and -1. */
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
  // As timestamp_truncate() of the kernel has it.
  const isBound = seconds === secondsMin || seconds === secondsMax
  return { seconds, nanoseconds: isBound ? 0 : nanoseconds }
}

/** struct fuse_getattr_in: the handle by which the file is meant, if there is one. */
export function getattrOf(fields: Fields): number | undefined {
  const flags = fields.u32()
  return (flags & getattrHasHandle) === 0 ? undefined : fields.skip(4).u64()
}

/** Something new in a folder. */
export interface Made {
  readonly name: string
  readonly mode: number
  /** The permissions that it shall not have; applied by the kernel unless `dontMask` was agreed upon. */
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

/** What is made and opened at once. */
export interface CreateRequest extends Made {
  /** O_* of open(2). */
  readonly flags: number
  /** Set-user-ID and set-group-ID bits must go if the file was there. */
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
  /** RENAME_* of renameat2(2). */
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

/** struct fuse_forget_one, of which struct fuse_batch_forget_in has many: tells of each. */
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

/** A part of an open file or folder. */
export interface Range {
  readonly handle: number
  /** In bytes; of a folder, a position that a listing has named. */
  readonly at: number
  readonly length: number
}

/** struct fuse_read_in, as read and readdir have it. */
export function readOf(fields: Fields): Range {
  return { handle: fields.u64(), at: fields.u64(), length: fields.u32() }
}

export interface WriteRequest {
  readonly handle: number
  /** In bytes. */
  readonly at: number
  /** A view of the request's memory. */
  readonly bytes: Buffer
  /** O_* of the open file. */
  readonly flags: number
  /** The bytes are pages of a shared mapping or of the kernel's cache, rather than one write(2). */
  readonly isFromCache: boolean
  /** Set-user-ID and set-group-ID bits must go. */
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

/** struct fuse_fsync_in, as fsync and fsyncdir have it. */
export function fsyncOf(fields: Fields): { readonly handle: number; readonly dataOnly: boolean } {
  return { handle: fields.u64(), dataOnly: (fields.u32() & fsyncDataOnly) !== 0 }
}

/** struct fuse_fallocate_in; `mode` is that of fallocate(2). */
export function fallocateOf(fields: Fields): Range & { readonly mode: number } {
  return { handle: fields.u64(), at: fields.u64(), length: fields.u64(), mode: fields.u32() }
}

/** lseek(2), SEEK_DATA and SEEK_HOLE: the kernel does the others itself. */
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

/** struct fuse_getxattr_in, as getxattr and listxattr have it: the room there is, 0 to ask how much is needed. */
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
  /** The new access control list makes the set-group-ID bit go. */
  readonly losesGroupId: boolean
}

/** struct fuse_setxattr_in, which has two more fields where `setxattrExtended` was agreed upon. */
export function setxattrOf(fields: Fields, isExtended: boolean): SetxattrRequest {
  const [length, flags] = [fields.u32(), fields.u32()]
  const how = isExtended ? fields.u32() : 0
  const name = (isExtended ? fields.skip(4) : fields).name()
  const value = Buffer.from(fields.bytes(length))
  return { name, value, flags, losesGroupId: (how & setxattrKillsGroupId) !== 0 }
}
