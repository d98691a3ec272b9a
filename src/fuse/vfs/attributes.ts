/**
 * The attributes that stat(2) returns, and the rules of ext4 for those of new and changed files. The effect of reads
 * on the atime is in access-times.ts. Pure.
 */
import type { Time } from '../../clock.js'
import type { Content } from '../../dfc/content/content.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import type { ContentTimes } from '../../dfc/namespace/inode-changes.js'
import { limits } from '../../limits.js'
import { fileType, type Inode, typeOf } from '../../wire/records.js'
import type { Attributes } from '../kernel/answers.js'
import type { Caller } from '../kernel/request.js'

export const setUserId = 0o4000
export const setGroupId = 0o2000
const groupExecute = 0o0010
const permissionsMask = 0o7777
const folderBytes = 4096
const blockBytes = 512
/** Unit in bytes in which st_blocks is rounded up, as on other file systems. */
const roomBytes = 4096
/**
 * Preferred read size in bytes. Most reads come from the kernel's pages: a buffer of this size stays in the
 * processor's cache from one read to the next, one of a megabyte does not.
 */
const readBytes = 128 * 1024

/**
 * The attributes of a node for the kernel. `content` has the size to show, `written` the times of uncommitted writes,
 * and `dataBytes` the bytes of uncommitted content that are no hole.
 */
export function attributesOf(
  { ino, inode, folder }: Node,
  content: Pick<Content, 'size'> = inode,
  written?: ContentTimes,
  dataBytes?: number,
): Attributes {
  const isFolder = typeOf(inode.mode) === fileType.folder
  const size = isFolder ? folderBytes : content.size
  return {
    ino,
    mode: inode.mode,
    nlink: isFolder ? 2 + (folder?.subfolders ?? 0) : inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: inode.rdev,
    size,
    blocks: blocksOf(dataBytes ?? storedBytes(inode, size)),
    // An empty file can only be written, and each write is a request.
    blksize: isFolder || size === 0 ? limits.draftChunkBytes : readBytes,
    atime: inode.atime,
    mtime: written?.mtime ?? inode.mtime,
    ctime: written?.ctime ?? inode.ctime,
    btime: inode.btime,
  }
}

function blocksOf(bytes: number): number {
  return Math.ceil(bytes / roomBytes) * (roomBytes / blockBytes)
}

/** Bytes of a file that are no hole. A folder counts as its size. */
export function storedBytes(inode: Inode, size = 0): number {
  if (inode.extents.length === 0) return typeOf(inode.mode) === fileType.folder ? size : 0
  return inode.extents.reduce((sum, { length }) => sum + length, 0)
}

/** Owner and mode of something created in `folder`: a set-group-ID folder passes its group on. */
export function newOwner(
  folder: Inode,
  mode: number,
  caller: Caller,
): { mode: number; uid: number; gid: number } {
  const inherits = (folder.mode & setGroupId) !== 0
  const isFolder = typeOf(mode) === fileType.folder
  return {
    mode: (mode & (fileType.mask | permissionsMask)) | (inherits && isFolder ? setGroupId : 0),
    uid: caller.uid,
    gid: inherits ? folder.gid : caller.gid,
  }
}

/** Changes the permissions: chmod(2). */
export function withMode(inode: Inode, mode: number, now: Time): Inode {
  return { ...inode, mode: typeOf(inode.mode) | (mode & permissionsMask), ctime: now }
}

/** Changes the owner: chown(2). An undefined id stays. A file loses its special bits. */
export function withOwner(
  inode: Inode,
  uid: number | undefined,
  gid: number | undefined,
  now: Time,
): Inode {
  const mode = typeOf(inode.mode) === fileType.folder ? inode.mode : withoutPrivileges(inode.mode)
  return {
    ...inode,
    mode,
    uid: uid ?? inode.uid,
    gid: gid ?? inode.gid,
    ctime: now,
  }
}

/**
 * The mode after a write or chown(2): without set-user-ID and, for programs, set-group-ID. A caller outside the
 * file's group clears set-group-ID on every file.
 */
export function withoutPrivileges(mode: number, isInGroup = true): number {
  const keepsGroup = isInGroup && (mode & groupExecute) === 0
  const lost = keepsGroup ? setUserId : setUserId | setGroupId
  return mode & ~lost
}

/** Changes times: utimensat(2). An undefined time stays. */
export function withTimes(
  inode: Inode,
  atime: Time | 'now' | undefined,
  mtime: Time | 'now' | undefined,
  now: Time,
): Inode {
  const chosen = (time: Time | 'now' | undefined, old: Time): Time =>
    time === undefined ? old : time === 'now' ? now : time
  return {
    ...inode,
    atime: chosen(atime, inode.atime),
    mtime: chosen(mtime, inode.mtime),
    ctime: now,
  }
}
