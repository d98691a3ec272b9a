/** A file, folder or other object as the client last saw it. */
import type { FolderSummary } from '../../../wire/messages.js'
import { fileType, type Inode, rootIno, trashIno, typeOf } from '../../../wire/records.js'
import type { Version } from '../../../wire/version.js'

export interface Node {
  readonly ino: number
  /** The version of the inode's register. */
  readonly version: Version
  /** A folder's times are those of its newest entry when that is newer. */
  readonly inode: Inode
  /** The summary of a folder's entries; null for other files. */
  readonly folder: FolderSummary | null
}

/**
 * Whether a node can have a name in `folder`. A folder is in one folder alone, and the root and the trash in none: otherwise folders
 * could be below themselves, and a walk through them would not end.
 */
export function canBeIn({ ino, inode }: Node, folder: number): boolean {
  if (typeOf(inode.mode) !== fileType.folder) return true
  return inode.parent === folder && ino !== folder && ino !== rootIno && ino !== trashIno
}

/** Returns the node that was written later, or the only one; the first if both have the same version. */
export function newerOf(one: Node, other: Node | undefined): Node {
  return other !== undefined && other.version > one.version ? other : one
}

/** One row of a folder's listing. */
export interface ListedName {
  readonly name: string
  readonly ino: number
  /** The type bits of the mode, shifted right by 12. */
  readonly type: number
  /** Absent when no server that answered has the inode, and for a folder that has its place elsewhere. */
  readonly node: Node | undefined
  /** Whether some piece of its content cannot be reached, or is lost for good. */
  readonly incomplete: boolean
}
