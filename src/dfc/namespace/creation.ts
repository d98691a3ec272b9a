/** Builds new files, folders, links and nodes: the inode, its number, and the plan of the change. */
import { byteLengthOf } from '../../byte-text.js'
import type { Clock, Random, Time } from '../../clock.js'
import { DfsError } from '../../errors.js'
import {
  encodeEntry,
  encodeInode,
  entryKey,
  fileType,
  type Inode,
  inodeKey,
  rootIno,
  typeOf,
} from '../../wire/records.js'
import { noVersion } from '../../wire/version.js'
import { type Content, emptyContent } from '../content/content.js'
import type { PreparedSegment } from '../content/prepared-segment.js'
import type { Node } from './cache/node.js'
import type { NodeCache } from './cache/node-cache.js'
import { exactly, type Plan } from './changes.js'
import type { Lookup } from './lookup.js'

export interface NewAttributes {
  /** With the file type bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly rdev?: number
  /** Target of a symbolic link. */
  readonly target?: string
  readonly content?: Content
  /** The content's only segment when it is small: it rides inside the commit. */
  readonly inline?: PreparedSegment
  /** Now when absent. */
  readonly mtime?: Time
  readonly attributes?: Inode['attributes']
}

/** A file that is about to be created, and its place. */
export interface NewFile {
  readonly parent: number
  readonly name: string
  readonly ino: number
  readonly inode: Inode
}

/** Throws `exists`, `notFound` when the folder is gone. */
export async function planCreation(
  names: Lookup,
  cache: NodeCache,
  { parent, name, ino, inode }: NewFile,
  inline: PreparedSegment | undefined,
  fresh: boolean,
): Promise<Plan<Node>> {
  const entry = entryKey(parent, name)
  const type = inode.mode >> 12
  const folder = await names.folderForChange(parent, fresh)
  const place = await names.entryForChange(parent, name, fresh, ino)
  if (place.ino !== null) throw new DfsError('exists')
  return {
    inline,
    body: {
      writes: [
        { key: entry, value: encodeEntry({ ino, type }) },
        { key: inodeKey(ino), value: encodeInode(inode) },
      ],
      preconditions: [
        { key: entry, absent: true, version: place.version },
        { key: inodeKey(ino), absent: true, version: noVersion },
        exactly(folder),
      ],
      emptyFolders: [],
    },
    done: (written) => {
      cache.writeEntry(parent, name, written, ino, type)
      if (typeOf(inode.mode) === fileType.folder) cache.setEmpty(ino, written)
      return cache.writeNode(ino, written, inode)
    },
  }
}

export function newInode(attributes: NewAttributes, parent: number, now: Time): Inode {
  const isFolder = typeOf(attributes.mode) === fileType.folder
  const target = attributes.target ?? ''
  const content = attributes.content ?? emptyContent
  return {
    mode: attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    nlink: 1,
    size: target === '' ? content.size : byteLengthOf(target),
    rdev: attributes.rdev ?? 0,
    parent: isFolder ? parent : 0,
    atime: attributes.mtime ?? now,
    mtime: attributes.mtime ?? now,
    ctime: now,
    btime: now,
    target,
    attributes: attributes.attributes ?? [],
    segments: content.segments,
    extents: content.extents,
  }
}

/**
 * 53 bits: the time in steps of 64 ms, which comes round after six days, and 30 random ones. Files
 * made together are then neighbours in the servers' indexes, which spares them many pages.
 */
export function newIno(clock: Clock, random: Random): number {
  const step = Math.floor(clock.now() / 64) % 2 ** 23
  const chance = random.bytes(4).readUInt32BE(0) % 2 ** 30
  return Math.max(rootIno + 1, step * 2 ** 30 + chance)
}
