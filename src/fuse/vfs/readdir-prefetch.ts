/**
 * Notices that the small files of a folder are opened one after the other, in the order in which they
 * are listed, as `grep -r`, `cp -r`, `tar` and `*` in a shell do, and names those that will be next: what
 * is in them can then be fetched before it is asked for.
 */
import { LRUCache } from 'lru-cache'
import type { ListedName, Node } from '../../dfc/namespace/cache/node.js'
import { limits } from '../../limits.js'

/** A page of a folder, as it was listed last. */
interface Listed {
  readonly names: readonly ListedName[]
  readonly positions: ReadonlyMap<string, number>
  /** Of the file that was opened last. */
  at: number
  /** How many were opened in order up to that. */
  inOrder: number
  /** Those before this position have been named. */
  namedTo: number
}

/** So many in order show that more will follow. */
const inOrderMin = 2
/** Folders and others in between, which are not opened as files are. */
const skippedMax = 8

export class ReaddirPrefetch {
  readonly #folders = new LRUCache<number, Listed>({ max: limits.siblingFoldersMax })

  /** A page of `folder` has been listed. */
  note(folder: number, names: readonly ListedName[]): void {
    const positions = new Map(names.map(({ name }, position) => [name, position]))
    this.#folders.set(folder, { names, positions, at: -1, inOrder: 0, namedTo: 0 })
  }

  /** `name` is being opened to be read: the small files that are likely to be next, each once. */
  nextAfter(folder: number, name: string): readonly Node[] {
    const listed = this.#folders.get(folder)
    const position = listed?.positions.get(name)
    if (listed === undefined || position === undefined) return []
    const step = position - listed.at
    if (step === 0) return []
    listed.inOrder = step > 0 && step <= skippedMax ? listed.inOrder + 1 : 0
    listed.at = position
    if (listed.inOrder < inOrderMin) {
      listed.namedTo = 0
      return []
    }
    // Many at once, and then none for a while: together they cost hardly more than one.
    if (listed.namedTo - position > limits.siblingsAheadMax / 2) return []
    const from = Math.max(listed.namedTo, position + 1)
    listed.namedTo = position + 1 + limits.siblingsAheadMax
    return listed.names.slice(from, listed.namedTo).flatMap(({ node }) => {
      const size = node?.inode.segments.length === 0 ? 0 : (node?.inode.size ?? 0)
      return node !== undefined && size > 0 && size <= limits.inlineContentBytesMax ? [node] : []
    })
  }
}
