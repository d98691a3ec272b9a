/** The inode and the number of a new file, folder, link or node. */
import { byteLengthOf } from '../../../byte-text.js'
import type { Clock, Random, Time } from '../../../clock.js'
import { fileType, type Inode, trashIno, typeOf } from '../../../wire/records.js'
import { type Content, emptyContent } from '../../content/content.js'
import type { PreparedSegment } from '../../content/prepared-segment.js'

export interface NewAttributes {
  /** With the file type bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly rdev?: number
  /** The target of a symbolic link. */
  readonly target?: string
  readonly content?: Content
  /** The content's only segment when it is small: it rides inside the commit. */
  readonly inline?: PreparedSegment
  /** The current time when absent. */
  readonly mtime?: Time
  readonly attributes?: Inode['attributes']
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
 * Returns 53 bits: the time in steps of 64 ms, which wraps around after six days, and 30 random ones. Files created
 * together are then neighbours in the servers' indexes and touch few pages.
 */
export function newIno(clock: Clock, random: Random): number {
  const step = Math.floor(clock.now() / 64) % 2 ** 23
  const chance = random.bytes(4).readUInt32BE(0) % 2 ** 30
  return Math.max(trashIno + 1, step * 2 ** 30 + chance)
}
