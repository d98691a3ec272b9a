/**
 * The interface of a file system to the kernel, by inode numbers: one method for each operation of
 * linux/fuse.h, with its arguments by name. All but `lookup` and `getattr` may be left out; a program that needs a
 * missing one gets ENOSYS, or the kernel does without, as with `flush`, `fsync` and `access`.
 *
 * - A method returns its result or a promise of it. What it throws becomes the errno of the program: that of a
 *   FuseError, or of an error of Node, which may be passed on as it is; else EIO.
 * - Inode numbers are positive integers; 1 is the root folder. A number must not be used for another file while
 *   the kernel knows it: each `lookup`, `mkdir`, `mknod`, `symlink`, `link`, `create`, `tmpfile` and each
 *   listed entry with attributes counts one lookup of the inode, and `forget` takes lookups back.
 * - Handles are any non-negative integers that the file system chooses.
 * - Names are strings. A byte that is not UTF-8 is a code point from U+10FF80 to U+10FFFF: such a string is
 *   stored and compared like any other and comes back to programs as the same bytes.
 */
import type { Attributes, LentParts, Statfs } from './answers.js'
import type { Caller } from './request.js'
import type { Changes } from './structures.js'

/** A value, or a promise of it. */
export type Awaitable<T> = T | Promise<T>

/** How a file or folder was opened. */
export interface Opened {
  /** The number that stands for it until `release` or `releasedir`. */
  readonly handle: number
  /** Every read and write reaches the file system: the kernel keeps no pages. */
  readonly directIo?: boolean
  /** The pages that the kernel still has of the file are right. By default they are dropped. */
  readonly keepCache?: boolean
}

/** A file that was made and opened. */
export interface Created extends Opened {
  readonly attributes: Attributes
}

/** A file or folder in a listing. */
export interface FolderEntry {
  readonly name: string
  readonly ino: number
  /** The file type of inode(7), such as 0o040000 for a folder. Other bits of a mode are passed over. */
  readonly mode: number
  /** All of its attributes, which saves programs a lookup, and counts as one. */
  readonly attributes?: Attributes
}

/** An entry of a listing that is read in parts. */
export interface PositionedEntry extends FolderEntry {
  /** The position behind it, a positive integer: where a program may go on, also much later. */
  readonly next: number
}

/** How bytes are written. */
export interface WriteHow {
  readonly caller: Caller
  /** O_* with which the file is open, such as O_APPEND. */
  readonly flags: number
  /** The bytes come from a shared mapping, rather than from write(2), and belong exactly where they are said to. */
  readonly isFromCache: boolean
  /** With the feature `killPrivileges`: set-user-ID and set-group-ID bits must go. */
  readonly killsPrivileges: boolean
}

/** A place in an open file. */
export interface OpenPlace {
  readonly ino: number
  readonly handle: number
  /** In bytes. */
  readonly position: number
}

export interface FileSystem {
  // -- names -------------------------------------------------------------------------------------
  /** Finds a name in a folder. Undefined: there is none, which the program sees as ENOENT. */
  lookup(parent: number, name: string, caller: Caller): Awaitable<Attributes | undefined>
  /** Takes back `lookups` of an inode. When none are left the kernel does not know its number any more. */
  forget?(ino: number, lookups: number): void
  mknod?(
    parent: number,
    name: string,
    mode: number,
    rdev: number,
    caller: Caller,
  ): Awaitable<Attributes>
  mkdir?(parent: number, name: string, mode: number, caller: Caller): Awaitable<Attributes>
  symlink?(parent: number, name: string, target: string, caller: Caller): Awaitable<Attributes>
  /** Gives an inode another name. */
  link?(ino: number, parent: number, name: string): Awaitable<Attributes>
  unlink?(parent: number, name: string, caller: Caller): Awaitable<void>
  rmdir?(parent: number, name: string, caller: Caller): Awaitable<void>
  /** `flags` are RENAME_* of renameat2(2); EINVAL is the answer to those that are not supported. */
  rename?(
    from: number,
    fromName: string,
    to: number,
    toName: string,
    flags: number,
    caller: Caller,
  ): Awaitable<void>
  readlink?(ino: number): Awaitable<string>

  // -- attributes --------------------------------------------------------------------------------
  /** `handle` is given where the program asks about an open file. */
  getattr(ino: number, caller: Caller, handle?: number): Awaitable<Attributes>
  /** Changes attributes, and returns all of them. */
  setattr?(ino: number, changes: Changes, caller: Caller): Awaitable<Attributes>
  /** Checks access(2); `mask` is of R_OK, W_OK and X_OK. Not asked with `defaultPermissions`. */
  access?(ino: number, mask: number, caller: Caller): Awaitable<void>
  /** Undefined: there is no such attribute, which the program sees as ENODATA. */
  getxattr?(ino: number, name: string, caller: Caller): Awaitable<Buffer | undefined>
  /** `flags` are XATTR_CREATE (1) and XATTR_REPLACE (2) of setxattr(2). The value is the callee's. */
  setxattr?(
    ino: number,
    name: string,
    value: Buffer,
    flags: number,
    caller: Caller,
  ): Awaitable<void>
  listxattr?(ino: number, caller: Caller): Awaitable<readonly string[]>
  removexattr?(ino: number, name: string, caller: Caller): Awaitable<void>

  // -- files -------------------------------------------------------------------------------------
  /**
   * Opens a file. `flags` are O_* without O_CREAT and O_EXCL, and without O_TRUNC unless the feature
   * `atomicTruncate` is used. Without this method every file can be opened, with the handle 0.
   */
  open?(ino: number, flags: number, caller: Caller): Awaitable<Opened>
  /** Makes a file and opens it. Without this method the kernel uses `mknod` and `open`. */
  create?(
    parent: number,
    name: string,
    mode: number,
    flags: number,
    caller: Caller,
  ): Awaitable<Created>
  /** Makes a file without a name and opens it: O_TMPFILE. */
  tmpfile?(parent: number, mode: number, flags: number, caller: Caller): Awaitable<Created>
  /**
   * Reads up to `length` bytes; fewer mean the end of the file. Bytes that are returned must not change
   * until the program has them, which is soon after; LentParts say when.
   */
  read?(place: OpenPlace, length: number, caller: Caller): Awaitable<Uint8Array | LentParts>
  /**
   * Writes `bytes`, and returns how many were written. The memory of `bytes` is the callee's until its
   * promise is settled, and not afterwards.
   */
  write?(place: OpenPlace, bytes: Buffer, how: WriteHow): Awaitable<number>
  /** Called at each close(2) of a handle, of which there may be several. What it throws is what close(2) says. */
  flush?(ino: number, handle: number): Awaitable<void>
  /** `dataOnly` is fdatasync(2). */
  fsync?(ino: number, handle: number, dataOnly: boolean): Awaitable<void>
  /** Called when a handle is closed for the last time. Nobody waits for it. */
  release?(ino: number, handle: number): Awaitable<void>
  /** `mode` is that of fallocate(2). */
  fallocate?(place: OpenPlace, length: number, mode: number, caller: Caller): Awaitable<void>
  /** Finds the next data, or the next hole, at or behind a position. */
  lseek?(place: OpenPlace, wanted: 'data' | 'hole'): Awaitable<number>
  /** Copies within the file system, and returns how many bytes were copied. */
  copyFileRange?(source: OpenPlace, target: OpenPlace, length: number): Awaitable<number>

  // -- folders -----------------------------------------------------------------------------------
  /** Opens a folder. Without this method every folder can be opened, with the handle 0. */
  opendir?(ino: number, flags: number, caller: Caller): Awaitable<Opened>
  /**
   * Lists a whole folder, without "." and "..". The listing is kept while the folder is open, so that a program
   * that removes what it reads misses nothing.
   */
  readdir?(ino: number, handle: number, caller: Caller): Awaitable<Iterable<FolderEntry>>
  /**
   * Lists what comes behind a position, 0 being the beginning; no more is taken than fits. For
   * folders that are too large to be kept: it is used in place of `readdir`.
   */
  readdirFrom?(
    ino: number,
    handle: number,
    position: number,
    caller: Caller,
  ): Awaitable<Iterable<PositionedEntry>>
  releasedir?(ino: number, handle: number): Awaitable<void>
  fsyncdir?(ino: number, handle: number, dataOnly: boolean): Awaitable<void>

  // -- the whole ---------------------------------------------------------------------------------
  statfs?(): Awaitable<Statfs>
}

const epoch = { seconds: 0, nanoseconds: 0 }

/**
 * The attributes of an inode, with what is left out as it most often is: one link, the user and the group of this
 * process, no size, and all times at the beginning of 1970.
 */
export function attributesWith(
  given: Pick<Attributes, 'ino' | 'mode'> & Partial<Attributes>,
): Attributes {
  const { size = 0, mtime = epoch } = given
  return {
    nlink: 1,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    rdev: 0,
    size,
    blocks: Math.ceil(size / 512),
    blksize: 4096,
    atime: mtime,
    mtime,
    ctime: mtime,
    btime: mtime,
    ...given,
  }
}

/** The time that Date.now() tells, or a Date. */
export function timeOfMs(ms: number | Date): { seconds: number; nanoseconds: number } {
  const value = Number(ms)
  const seconds = Math.floor(value / 1000)
  return { seconds, nanoseconds: Math.min(Math.round((value - seconds * 1000) * 1e6), 999_999_999) }
}
