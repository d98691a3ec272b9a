/**
 * The records of the trash: inodes of their own with the content that a file had, and names that begin with the time at
 * which it was removed or replaced, so that they are in that order. An extended attribute that no user can set says of
 * what file it was, and where. Pure.
 */
import { limits } from '../../limits.js'
import {
  decode,
  encode,
  list,
  oneOf,
  optional,
  struct,
  text,
  u32,
  u64,
  type Value,
} from '../../wire/codec.js'
import {
  contentBytes,
  fileType,
  type Inode,
  nameText,
  trashIno,
  typeOf,
} from '../../wire/records.js'

/** No names of users' attributes: those have a namespace such as `user.` in front. */
const attributeName = 'dfs.kept'
/** The numbers that a restored file had before. */
const formerName = 'dfs.former'

/** Former numbers that are remembered of one file, the last ones. */
const formerMax = 16
const formerCodec = list(u64, formerMax)

/** Longest path of a folder that is noted, as the text of its bytes. */
const folderTextMax = 16 * 1024

const folderCodec = struct({ mode: u32, uid: u32, gid: u32 })
/** Mode and owner of a folder when something in it was removed. */
export type KeptFolder = Value<typeof folderCodec>

/** The fields of a record of release 0.2.0, which has no folders. */
const formerFields = {
  /** Whether the name of the file was removed, or its content replaced. */
  kind: oneOf('removed', 'replaced'),
  /** The number of the file. */
  ino: u64,
  /** The path of the folder that it was in, empty for the root; null where that was not known. */
  folder: optional(text(folderTextMax)),
  /** Its name there; empty where that was not known. */
  name: nameText,
} as const
const recordOfFormerRelease = struct(formerFields)

const recordCodec = struct({
  ...formerFields,
  /** The folders on the way from the root to `folder`, that one included; none where one of them was not known. */
  folders: list(folderCodec, limits.folderDepthMax),
})
/** The first byte of a record with folders. One without begins with the number of its kind. */
const withFolders = 2
/** Names the file of which something is kept, and why. */
export type KeptRecord = Value<typeof recordCodec>

/** The inode that keeps the content and the attributes of a file or an empty folder. */
export function keptInode(inode: Inode, record: KeptRecord): Inode {
  const isLong = Buffer.byteLength(record.folder ?? '') > folderTextMax
  const kept = isLong ? { ...record, folder: null, folders: [] } : record
  const value = Buffer.concat([Buffer.of(withFolders), encode(recordCodec, kept)])
  const attributes = [...withoutRecord(inode).attributes, { name: attributeName, value }]
  const isFolder = typeOf(inode.mode) === fileType.folder
  return { ...inode, nlink: 1, parent: isFolder ? trashIno : 0, attributes }
}

/**
 * Reads of which file the inode keeps something; undefined for an inode that keeps nothing. Throws `protocol` for a
 * broken record.
 */
export function recordOf({ attributes }: Inode): KeptRecord | undefined {
  const found = attributes.find(({ name }) => name === attributeName)
  if (found === undefined) return undefined
  const { value } = found
  if (value[0] === withFolders) return decode(recordCodec, value.subarray(1))
  return { ...decode(recordOfFormerRelease, value), folders: [] }
}

/**
 * Returns the inode as it was before it was kept, to take the place of the file `replaced`, if there is one. A file that
 * was removed remembers the number that it had then, under which its versions are kept, unless it has as many attributes
 * as there can be. So does a version in the place of its own file. Elsewhere a version is another file: the numbers are
 * those of a file that may still be there.
 */
export function restoredInode(inode: Inode, replaced: number | null): Inode {
  const record = recordOf(inode)
  const { attributes } = withoutRecord(inode)
  const others = attributes.filter(({ name }) => name !== formerName)
  const isSameFile = record?.kind === 'removed' || record?.ino === replaced
  if (record === undefined || !isSameFile || others.length === limits.attributesMax) {
    return { ...inode, attributes: others }
  }
  const numbers = [...formerNumbers(inode), record.ino].slice(-formerMax)
  const former = { name: formerName, value: encode(formerCodec, numbers) }
  return { ...inode, attributes: [...others, former] }
}

/** Returns the numbers that a file had before it was restored, the oldest first. Throws `protocol` for a broken list. */
export function formerNumbers({ attributes }: Inode): readonly number[] {
  const found = attributes.find(({ name }) => name === formerName)
  return found === undefined ? [] : decode(formerCodec, found.value)
}

function withoutRecord(inode: Inode): Inode {
  const attributes = inode.attributes.filter(({ name }) => name !== attributeName)
  return { ...inode, attributes }
}

/** Bytes of the register that the inode takes, about. */
export function inodeBytes(inode: Inode): number {
  const { attributes } = inode
  const bytes = attributes.reduce((sum, { name, value }) => sum + name.length + value.length, 0)
  return contentBytes(inode) + bytes
}

const timeLength = new Date(0).toISOString().length

/** The name in the trash of what is kept under the number `ino` since `ms`. No other one ever has this name. */
export function keptName(ms: number, ino: number): string {
  return `${new Date(ms).toISOString()}-${ino.toString(36)}`
}

/** Since when something is kept, in ms since 1970; undefined for a name that is none of the trash. */
export function timeOfKept(name: string): number | undefined {
  const ms = name[timeLength] === '-' ? Date.parse(name.slice(0, timeLength)) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}
