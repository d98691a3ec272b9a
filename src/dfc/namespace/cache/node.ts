/** A file, folder or other object as the client last saw it. */
import type { FolderSummary } from '../../../wire/messages.js'
import type { Inode } from '../../../wire/records.js'
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
  /** Absent when no server that answered has the inode. */
  readonly node: Node | undefined
  /** Whether some piece of its content cannot be reached, or is lost for good. */
  readonly incomplete: boolean
}
