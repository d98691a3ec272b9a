/**
 * The numbers of the kernel's FUSE protocol, version 7, as in linux/fuse.h: operations, features, and the flags of
 * single requests and answers.
 */

/** The operations that the kernel requests, with their numbers. */
export const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  access: 34,
  create: 35,
  interrupt: 36,
  destroy: 38,
  ioctl: 39,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  tmpfile: 51,
  statx: 52,
  copyFileRange64: 53,
} as const

export type OperationName = keyof typeof opcodes

/** Notices to the kernel: FUSE_NOTIFY_*. A new epoch makes it look up all names again. */
export const notices = { invalidateInode: 2, newEpoch: 8 } as const

export const protocolMajor = 7
/** The newest minor version whose structures are known here. */
export const protocolMinor = 45
/** The first minor version with notices of a new epoch. */
export const newEpochMinor = 44
/** The oldest minor version supported, of Linux 5.4: older ones have another answer to FUSE_INIT. */
export const protocolMinorMin = 31

/**
 * Features that FUSE_INIT may agree upon, by bit: 0 to 31 are in `flags`, the others in `flags2`.
 *
 * - `atomicTruncate`: an open with O_TRUNC is one request, and the file system truncates.
 * - `exportSupport`: "." and ".." are looked up in an inode, as for files opened by handle.
 * - `dontMask`: the file system applies the umask, which requests carry.
 * - `readdirplus`: listings carry attributes; with `readdirplusAuto` only where they are useful.
 * - `posixAcl`: the kernel caches access control lists and decides by them.
 * - `cacheSymlinks`: the kernel caches targets of symbolic links.
 * - `killPrivileges`: requests say when the file system must clear set-user-ID and set-group-ID bits.
 * - `setxattrExtended`: setting an access control list says whether the set-group-ID bit must be cleared.
 * - `directMmap`: a file whose pages are not kept can be mapped shared.
 */
export const features = {
  asyncRead: 0,
  atomicTruncate: 3,
  exportSupport: 4,
  bigWrites: 5,
  dontMask: 6,
  readdirplus: 13,
  readdirplusAuto: 14,
  asyncDirectIo: 15,
  parallelFolders: 18,
  posixAcl: 20,
  maxPages: 22,
  cacheSymlinks: 23,
  killPrivileges: 28,
  setxattrExtended: 29,
  extended: 30,
  directMmap: 36,
} as const

export type Feature = keyof typeof features

/** Features that change only how requests travel. They are always agreed upon if the kernel has them. */
export const transportFeatures: readonly Feature[] = [
  'asyncRead',
  'bigWrites',
  'asyncDirectIo',
  'parallelFolders',
  'maxPages',
  'extended',
]

/** Bytes of struct fuse_in_header and struct fuse_out_header. */
export const inHeaderBytes = 40
export const outHeaderBytes = 16

/** Most bytes of one read or write. The kernel may ask for less. */
export const payloadBytesMax = 1024 * 1024
export const pageBytes = 4096
/** Most bytes of one answer to readdir. The kernel may ask for less. */
export const listingBytesMax = 128 * 1024
/** Most bytes of a name: NAME_MAX of limits.h. */
export const nameBytesMax = 255
/** The inode number of the root folder. */
export const rootIno = 1
/** Most bytes of one request: the header, the longest structure behind it, and the bytes to write. */
export const requestBytesMax = payloadBytesMax + pageBytes

/** struct fuse_setattr_in, `valid`. */
export const setattrFlags = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  handle: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  killPrivileges: 1 << 11,
} as const

/** struct fuse_setxattr_in, `setxattr_flags`: FUSE_SETXATTR_ACL_KILL_SGID. */
export const setxattrKillsGroupId = 1 << 0
/** struct fuse_getattr_in, `getattr_flags`: the file is named by a handle. */
export const getattrHasHandle = 1 << 0
/** struct fuse_open_in and fuse_create_in, `open_flags`. */
export const openKillsPrivileges = 1 << 0
/** struct fuse_fsync_in, `fsync_flags`: fdatasync(2). */
export const fsyncDataOnly = 1 << 0
/** struct fuse_write_in, `write_flags`: the bytes are pages of the cache; set-user-ID bits must be cleared. */
export const writeFromCache = 1 << 0
export const writeKillsPrivileges = 1 << 2
/** struct fuse_open_out, `open_flags`. FOPEN_NOFLUSH is new in Linux 5.17; older kernels ignore it. */
export const openFlags = {
  directIo: 1 << 0,
  keepCache: 1 << 1,
  cacheFolder: 1 << 3,
  noFlush: 1 << 5,
} as const
/** The file type bits of a mode, inode(7). */
export const fileTypes = {
  mask: 0o170000,
  folder: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
} as const
/** struct fuse_statx, `mask`: STATX_BASIC_STATS and STATX_BTIME of statx(2). */
export const statxMask = 0xfff
