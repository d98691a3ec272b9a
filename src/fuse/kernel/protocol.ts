/**
 * The numbers of the kernel's FUSE protocol, version 7, as in linux/fuse.h: what is asked for, what can
 * be agreed upon, and the flags of single requests and answers.
 */

/** What the kernel asks for. */
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

/** What we tell the kernel without being asked: FUSE_NOTIFY_*. A new epoch makes it look for all names. */
export const notices = { invalidateInode: 2, newEpoch: 8 } as const

export const protocolMajor = 7
/** The newest version whose structures are known here. */
export const protocolMinor = 45
/** From this version on a new epoch can be told. */
export const newEpochMinor = 44
/** Linux 5.4: older ones have another answer to FUSE_INIT. */
export const protocolMinorMin = 31

/** FUSE_INIT: bits 0 .. 31 are its `flags`, the others its `flags2`. */
export const initFlags = {
  asyncRead: 0,
  atomicTruncate: 3,
  exportSupport: 4,
  bigWrites: 5,
  readdirplus: 13,
  readdirplusAuto: 14,
  asyncDirectIo: 15,
  parallelFolders: 18,
  maxPages: 22,
  cacheSymlinks: 23,
  killPrivileges: 28,
  extended: 30,
  directMmap: 36,
} as const

/**
 * With access control lists: the kernel caches them and decides by them, tells the umask instead of
 * applying it, and says with a new list whether the set-group-ID bit must go (Linux 5.13).
 */
export const aclInitFlags = { dontMask: 6, posixAcl: 20, setxattrExtended: 29 } as const

/** Bytes of struct fuse_in_header and struct fuse_out_header. */
export const inHeaderBytes = 40
export const outHeaderBytes = 16

/** Of one read or write; the kernel may ask for less. */
export const payloadBytesMax = 1024 * 1024
export const pageBytes = 4096
/** One request: the header, the longest of the structures behind it, and what is to be written. */
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
/** struct fuse_open_in and fuse_create_in, `open_flags`. */
export const openKillsPrivileges = 1 << 0
/** struct fuse_write_in, `write_flags`: pages of the cache; and set-user-ID bits must go. */
export const writeFromCache = 1 << 0
export const writeKillsPrivileges = 1 << 2
/** struct fuse_open_out, `open_flags`. FOPEN_NOFLUSH is new in Linux 5.17; older kernels pass over it. */
export const openFlags = { directIo: 1 << 0, keepCache: 1 << 1, noFlush: 1 << 5 } as const
/** struct fuse_statx, `mask`: STATX_BASIC_STATS and STATX_BTIME of statx(2). */
export const statxMask = 0xfff
