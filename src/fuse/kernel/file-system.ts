/**
 * The interface of a file system to the kernel, by inode numbers: one method for each operation of linux/fuse.h, with
 * its arguments by name. All but `lookup` and `getattr` may be left out: a program that needs a missing one gets
 * ENOSYS, or the kernel does without, as with `flush`, `fsync` and `access`.
 *
 * - A method returns its result or a promise of it. A thrown error becomes the program's errno: that of a
 *   FuseError, or of one of Node's errors, which may be passed on as it is; else EIO.
 * - Inode numbers are positive integers; 1 is the root folder. A number must not be used for another file while
 *   the kernel knows it: each `lookup`, `mkdir`, `mknod`, `symlink`, `link`, `create`, `tmpfile` and each
 *   listed entry with attributes counts one lookup of the inode, and `forget` takes lookups back.
 * - Handles are any non-negative integers that the file system chooses.
 * - Names are strings. A byte that is not UTF-8 is a code point from U+10FF80 to U+10FFFF: such a string is
 *   stored and compared like any other and reaches programs as the original bytes.
 */
import type { Attributes, LentParts, Statfs } from './answers.js'
import type { Caller } from './request.js'
import type { Changes } from './structures.js'

/** A value, or a promise of it. */
export type Awaitable<T> = T | Promise<T>

/** The result of opening a file or folder. */
export interface Opened {
  /** Names the opened file or folder until `release` or `releasedir`. */
  readonly handle: number
  /** Every read and write reaches the file system: the kernel keeps no pages. Defaults to false. */
  readonly directIo?: boolean
  /** The pages that the kernel still has of the file stay valid. Defaults to false: they are dropped. */
  readonly keepCache?: boolean
}

/** The result of creating and opening a file. */
export interface Created extends Opened {
  readonly attributes: Attributes
}

/** A file or folder in a listing. */
export interface FolderEntry {
  readonly name: string
  readonly ino: number
  /** The file type of inode(7), such as 0o040000 for a folder. Other bits of a mode are ignored. */
  readonly mode: number
  /** All attributes of the file, which saves programs a lookup and counts as one. */
  readonly attributes?: Attributes
}

/** An entry of a listing that is read in parts. */
export interface PositionedEntry extends FolderEntry {
  /** The position behind the entry, a positive integer, at which a program may continue, even much later. */
  readonly next: number
}

/** The circumstances of a write. */
export interface WriteHow {
  readonly caller: Caller
  /** O_* flags of the open file, such as O_APPEND. */
  readonly flags: number
  /**
   * The bytes come from a shared mapping rather than from write(2), and must be written exactly at their position.
   */
  readonly isFromCache: boolean
  /** Set-user-ID and set-group-ID bits must be cleared. Set only with the feature `killPrivileges`. */
  readonly killsPrivileges: boolean
}

/** A position in an open file. */
export interface OpenPlace {
  readonly ino: number
  readonly handle: number
  /** Offset in bytes. */
  readonly position: number
}

export interface FileSystem {
  // -- names -------------------------------------------------------------------------------------
  /** Finds a name in a folder. Undefined when there is none, which the program sees as ENOENT. */
  lookup(parent: number, name: string, caller: Caller): Awaitable<Attributes | undefined>
  /** Takes back `lookups` lookups of an inode. When none are left, the kernel no longer knows its number. */
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
  /** Creates another name for an inode: link(2). */
  link?(ino: number, parent: number, name: string): Awaitable<Attributes>
  unlink?(parent: number, name: string, caller: Caller): Awaitable<void>
  rmdir?(parent: number, name: string, caller: Caller): Awaitable<void>
  /** Renames. `flags` are RENAME_* of renameat2(2); unsupported ones must throw EINVAL. */
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
  /** Returns the attributes of an inode. `handle` is given when the program asks about an open file. */
  getattr(ino: number, caller: Caller, handle?: number): Awaitable<Attributes>
  /** Changes attributes, and returns all of them. */
  setattr?(ino: number, changes: Changes, caller: Caller): Awaitable<Attributes>
  /** Checks access(2). `mask` consists of R_OK, W_OK and X_OK. Not called with `defaultPermissions`. */
  access?(ino: number, mask: number, caller: Caller): Awaitable<void>
  /** Returns an extended attribute, or undefined when there is none, which the program sees as ENODATA. */
  getxattr?(ino: number, name: string, caller: Caller): Awaitable<Buffer | undefined>
  /**
   * Sets an extended attribute. `flags` are XATTR_CREATE (1) and XATTR_REPLACE (2) of setxattr(2). The callee owns
   * `value`.
   */
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
   * Opens a file. `flags` are O_* without O_CREAT and O_EXCL, and without O_TRUNC unless the feature `atomicTruncate`
   * is used. Without this method every file can be opened, with the handle 0.
   */
  open?(ino: number, flags: number, caller: Caller): Awaitable<Opened>
  /** Creates and opens a file. Without this method the kernel uses `mknod` and `open`. */
  create?(
    parent: number,
    name: string,
    mode: number,
    flags: number,
    caller: Caller,
  ): Awaitable<Created>
  /** Creates and opens a file without a name: O_TMPFILE. */
  tmpfile?(parent: number, mode: number, flags: number, caller: Caller): Awaitable<Created>
  /**
   * Reads up to `length` bytes; fewer mean the end of the file. The returned bytes must not change until the program
   * has them, which is soon after; with LentParts, `release` is called then.
   */
  read?(place: OpenPlace, length: number, caller: Caller): Awaitable<Uint8Array | LentParts>
  /**
   * Writes `bytes`, and returns how many were written. The callee may use the memory of `bytes` until its promise is
   * settled, and not afterwards.
   */
  write?(place: OpenPlace, bytes: Buffer, how: WriteHow): Awaitable<number>
  /**
   * Called at each close(2) of a handle, of which there may be several. A thrown error becomes the result of
   * close(2).
   */
  flush?(ino: number, handle: number): Awaitable<void>
  /** Makes written data durable. `dataOnly` means fdatasync(2). */
  fsync?(ino: number, handle: number, dataOnly: boolean): Awaitable<void>
  /** Called when a handle is closed for the last time. No program waits for it. */
  release?(ino: number, handle: number): Awaitable<void>
  /** Changes the space of a file. `mode` is that of fallocate(2). */
  fallocate?(place: OpenPlace, length: number, mode: number, caller: Caller): Awaitable<void>
  /** Finds the next data, or the next hole, at or behind a position: lseek(2), SEEK_DATA and SEEK_HOLE. */
  lseek?(place: OpenPlace, wanted: 'data' | 'hole'): Awaitable<number>
  /** Copies within the file system, and returns how many bytes were copied: copy_file_range(2). */
  copyFileRange?(source: OpenPlace, target: OpenPlace, length: number): Awaitable<number>

  // -- folders -----------------------------------------------------------------------------------
  /** Opens a folder. Without this method every folder can be opened, with the handle 0. */
  opendir?(ino: number, flags: number, caller: Caller): Awaitable<Opened>
  /**
   * Lists a whole folder, without "." and "..". The listing is kept while the folder is open, so that a program that
   * removes entries while it reads misses none.
   */
  readdir?(ino: number, handle: number, caller: Caller): Awaitable<Iterable<FolderEntry>>
  /**
   * Lists the entries behind a position, 0 being the beginning. Only as many are taken as fit. Replaces `readdir` for
   * folders that are too large to be kept.
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
 * Completes the attributes of an inode. Defaults: one link, the user and the group of this process, no size, and all
 * times at the beginning of 1970.
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

/** Converts a Date, or the milliseconds of Date.now(), to a time. */
export function timeOfMs(ms: number | Date): { seconds: number; nanoseconds: number } {
  const value = Number(ms)
  const seconds = Math.floor(value / 1000)
  return { seconds, nanoseconds: Math.min(Math.round((value - seconds * 1000) * 1e6), 999_999_999) }
}
