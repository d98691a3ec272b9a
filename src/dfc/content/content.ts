/** Where the bytes of a file are: its segments, and which part of which segment is which part of the file. */
import type { Extent, Segment } from '../../wire/records.js'

/** The part of an inode that says where the bytes are. */
export interface Content {
  /** In bytes. */
  readonly size: number
  readonly segments: readonly Segment[]
  readonly extents: readonly Extent[]
}

export const emptyContent: Content = { size: 0, segments: [], extents: [] }

/** Bytes of a file, and where they begin. */
export interface DataChunk {
  readonly at: number
  readonly bytes: Buffer
}
