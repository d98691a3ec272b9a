/**
 * The operations of a file system by paths, as for the npm package fuse-native. Each has a callback as its last
 * argument, to be called once, at once or later: with 0 (or null) and the result, or with a negative number such as
 * Fuse.ENOENT. `read` and `write` call it with the number of bytes alone.
 */

/** The result of stat(2), as in fs.Stats. Times are Dates or milliseconds since 1970 and default to now. */
export interface Stat {
  readonly mode: number
  readonly size?: number
  readonly uid?: number
  readonly gid?: number
  readonly nlink?: number
  readonly rdev?: number
  readonly blksize?: number
  readonly blocks?: number
  readonly atime?: Date | number
  readonly mtime?: Date | number
  readonly ctime?: Date | number
  readonly birthtime?: Date | number
  /** Accepted and not used: the inode numbers are made up, as by libfuse. */
  readonly ino?: number
  readonly dev?: number
}

/** The result of statvfs(3). */
export interface FileSystemStat {
  readonly bsize?: number
  readonly frsize?: number
  readonly blocks?: number
  readonly bfree?: number
  readonly bavail?: number
  readonly files?: number
  readonly ffree?: number
  readonly favail?: number
  readonly fsid?: number
  readonly flag?: number
  readonly namemax?: number
}

/** 0, null and undefined mean success; a negative number and an Error mean failure. */
export type Code = number | Error | null | undefined
export type Callback<Results extends readonly unknown[] = []> = (
  code?: Code,
  ...results: Partial<Results>
) => void

/** A number that `open` has returned, passed to operations on the open file. */
export type Descriptor = number

export interface Operations {
  /** Called once, before the first request. Its failure is one of `mount`. */
  init?(cb: Callback): void
  /** Checks access(2) for `mode`. Without it, everything is allowed. */
  access?(path: string, mode: number, cb: Callback): void
  statfs?(path: string, cb: Callback<[FileSystemStat]>): void
  getattr?(path: string, cb: Callback<[Stat]>): void
  /** Returns the attributes of an open file. Without it, `getattr` is called. */
  fgetattr?(path: string, fd: Descriptor, cb: Callback<[Stat]>): void
  flush?(path: string, fd: Descriptor, cb: Callback): void
  /** Makes written data durable. `datasync` is not 0 for fdatasync(2). */
  fsync?(path: string, datasync: number, fd: Descriptor, cb: Callback): void
  fsyncdir?(path: string, datasync: number, fd: Descriptor, cb: Callback): void
  /** Lists a folder. The file types are taken from `stats` if given. */
  readdir?(path: string, cb: Callback<[names: readonly string[], stats: readonly Stat[]]>): void
  truncate?(path: string, size: number, cb: Callback): void
  /** Truncates an open file. Without it, `truncate` is called. */
  ftruncate?(path: string, fd: Descriptor, size: number, cb: Callback): void
  readlink?(path: string, cb: Callback<[target: string]>): void
  /** Changes the owner. 4294967295 leaves the user or the group as it is. */
  chown?(path: string, uid: number, gid: number, cb: Callback): void
  chmod?(path: string, mode: number, cb: Callback): void
  mknod?(path: string, mode: number, dev: number, cb: Callback): void
  setxattr?(
    path: string,
    name: string,
    value: Buffer,
    position: number,
    flags: number,
    cb: Callback,
  ): void
  /** Returns an extended attribute, or null when there is none. */
  getxattr?(path: string, name: string, position: number, cb: Callback<[Buffer | null]>): void
  listxattr?(path: string, cb: Callback<[readonly string[]]>): void
  removexattr?(path: string, name: string, cb: Callback): void
  open?(path: string, flags: number, cb: Callback<[Descriptor]>): void
  opendir?(path: string, flags: number, cb: Callback<[Descriptor]>): void
  /** Puts bytes into `buffer`, and calls back with their number; 0 at the end. */
  read?(
    path: string,
    fd: Descriptor,
    buffer: Buffer,
    length: number,
    position: number,
    cb: (bytesRead: number) => void,
  ): void
  /** Calls back with the number of bytes written. */
  write?(
    path: string,
    fd: Descriptor,
    buffer: Buffer,
    length: number,
    position: number,
    cb: (bytesWritten: number) => void,
  ): void
  release?(path: string, fd: Descriptor, cb: Callback): void
  releasedir?(path: string, fd: Descriptor, cb: Callback): void
  create?(path: string, mode: number, cb: Callback<[Descriptor]>): void
  /** Sets the times, in milliseconds since 1970. */
  utimens?(path: string, atime: number, mtime: number, cb: Callback): void
  unlink?(path: string, cb: Callback): void
  rename?(src: string, dest: string, cb: Callback): void
  link?(src: string, dest: string, cb: Callback): void
  /** Creates a symbolic link `dest` to `src`. */
  symlink?(src: string, dest: string, cb: Callback): void
  mkdir?(path: string, mode: number, cb: Callback): void
  rmdir?(path: string, cb: Callback): void
}

export type OperationName = keyof Operations
