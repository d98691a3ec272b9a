/** Finds the bytes of files that lost pieces held. */

import { pieceRange } from '../../wire/placement.js'
import type { Segment } from '../../wire/records.js'
import type { Content } from '../content/content.js'
import type { Namespace } from '../namespace/namespace.js'
import { filesOf } from './named-files.js'

export interface LostPiece {
  readonly segment: Segment
  /** 1 .. 4 */
  readonly piece: number
}

export interface Damage {
  readonly path: string
  /** The bytes `from` .. `to` of the file, `to` not included. */
  readonly from: number
  readonly to: number
}

/** Walks all folders of the user and yields the lost ranges; a file with several names is reported under each. */
export async function* damageOf(
  namespace: Namespace,
  lost: readonly LostPiece[],
): AsyncGenerator<Damage> {
  const bySegment = new Map<string, LostPiece[]>()
  for (const piece of lost) {
    bySegment.set(piece.segment.id, [...(bySegment.get(piece.segment.id) ?? []), piece])
  }
  for await (const { path, node } of filesOf(namespace)) {
    if (node !== undefined) yield* rangesIn(node.inode, path, bySegment)
  }
  for await (const { node, folder, name } of namespace.trash.files()) {
    yield* rangesIn(node.inode, `${folder ?? '...'}/${name} (in the trash)`, bySegment)
  }
}

function* rangesIn(
  { segments, extents }: Content,
  path: string,
  bySegment: ReadonlyMap<string, readonly LostPiece[]>,
): Generator<Damage> {
  for (const { at, segment, offset, length } of extents) {
    const id = segments[segment]?.id ?? ''
    for (const piece of bySegment.get(id) ?? []) {
      const range = pieceRange(piece.segment.length, piece.piece)
      const first = Math.max(range.start, offset)
      const end = Math.min(range.start + range.length, offset + length)
      if (first < end) yield { path, from: at + first - offset, to: at + end - offset }
    }
  }
}
