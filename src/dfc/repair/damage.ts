/** Finds the bytes of files that lost pieces held. */

import { pieceRange } from '../../wire/placement.js'
import type { Segment } from '../../wire/records.js'
import { folderDirentType, rootIno } from '../../wire/records.js'
import { Descent } from '../namespace/descent.js'
import type { Namespace } from '../namespace/namespace.js'

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
  const folders = [{ ino: rootIno, path: '', way: new Descent(rootIno) }]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const { ino: parent, way } = folder
    for await (const { entries } of namespace.names.pages(parent)) {
      for (const { name, ino, type, node } of entries) {
        const path = `${folder.path}/${name}`
        // A folder without its node has its place elsewhere, or is gone.
        if (type === folderDirentType && node !== undefined) {
          folders.push({ ino, path, way: way.into(ino) })
        }
        for (const { at, segment, offset, length } of node?.inode.extents ?? []) {
          const id = node?.inode.segments[segment]?.id ?? ''
          for (const piece of bySegment.get(id) ?? []) {
            const range = pieceRange(piece.segment.length, piece.piece)
            const first = Math.max(range.start, offset)
            const end = Math.min(range.start + range.length, offset + length)
            if (first < end) yield { path, from: at + first - offset, to: at + end - offset }
          }
        }
      }
    }
  }
}
