/**
 * Derives a folder's times, link count and emptiness from its entries: the servers sum them up, and the inode's own
 * times count only while no entry is newer.
 */
import { compareTimes, msOfTime, timeOfMs } from '../../../clock.js'
import type { FolderSummary } from '../../../wire/messages.js'
import { folderDirentType, type Inode } from '../../../wire/records.js'
import { msOfVersion, type Version } from '../../../wire/version.js'
import type { Node } from './node.js'

/**
 * Makes a node from its register. A folder's mtime and ctime are those of its newest change. A version has a
 * resolution of a millisecond: within the same one the inode's own times count, so that they do not go back; the
 * ctime never does.
 */
export function nodeOf(
  ino: number,
  version: Version,
  inode: Inode,
  folder: FolderSummary | null,
): Node {
  if (folder === null || folder.touched <= version) return { ino, version, inode, folder }
  const changed = timeOfMs(msOfVersion(folder.touched))
  const mtime = msOfTime(inode.mtime) === msOfVersion(folder.touched) ? inode.mtime : changed
  const ctime = compareTimes(inode.ctime, changed) > 0 ? inode.ctime : changed
  return { ino, version, inode: { ...inode, mtime, ctime }, folder }
}

/** Returns the summary after the transaction `id` has changed an entry from `before` to `after`. */
export function summaryAfter(
  summary: FolderSummary,
  id: Version,
  before: { readonly ino: number | null; readonly type: number } | undefined,
  after: { readonly ino: number | null; readonly type: number } | undefined,
): FolderSummary {
  const isLive = (entry: typeof before): number =>
    entry !== undefined && entry.ino !== null ? 1 : 0
  const isFolder = (entry: typeof before): number =>
    isLive(entry) && entry?.type === folderDirentType ? 1 : 0
  return {
    touched: id > summary.touched ? id : summary.touched,
    live: Math.max(0, summary.live + isLive(after) - isLive(before)),
    subfolders: Math.max(0, summary.subfolders + isFolder(after) - isFolder(before)),
  }
}
