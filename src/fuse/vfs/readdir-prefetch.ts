/**
 * Detects that the files or folders in a folder are opened one after the other in the order of the listing, as
 * `grep -r`, `cp -r`, `find` and `*` in a shell do, and names those that will be next, so that they can be read in
 * advance.
 */
import { LRUCache } from 'lru-cache'
import type { ListedName, Node } from '../../dfc/namespace/cache/node.js'
import { limits } from '../../limits.js'

/** The latest listed page of a folder. */
interface Listed {
  readonly names: readonly ListedName[]
  readonly positions: ReadonlyMap<string, number>
  /** Index of the file that was opened last. */
  at: number
  /** Number of files opened in order up to that one. */
  inOrder: number
  /** Index up to which files have been named. */
  namedTo: number
}

/** Files opened in order after which more are expected. */
const inOrderMin = 2
/** Entries that may be skipped between two files, such as folders, which are not opened as files are. */
const skippedMax = 8

export class ReaddirPrefetch {
  readonly #isWanted: (node: Node) => boolean
  readonly #aheadMax: number
  readonly #folders = new LRUCache<number, Listed>({ max: limits.siblingFoldersMax })

  /** `isWanted` says which of the nodes in a folder are worth reading in advance, `aheadMax` how many at most. */
  constructor(isWanted: (node: Node) => boolean, aheadMax: number) {
    this.#isWanted = isWanted
    this.#aheadMax = aheadMax
  }

  /** Notes that a page of `folder` was listed. */
  note(folder: number, names: readonly ListedName[]): void {
    const positions = new Map(names.map(({ name }, position) => [name, position]))
    this.#folders.set(folder, { names, positions, at: -1, inOrder: 0, namedTo: 0 })
  }

  /** Notes that `name` is being opened for reading. Returns the nodes that are likely to be next, each once. */
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
    // Names many files at once, and then none for a while: fetching many costs hardly more than fetching one.
    if (listed.namedTo - position > this.#aheadMax / 2) return []
    const from = Math.max(listed.namedTo, position + 1)
    listed.namedTo = position + 1 + this.#aheadMax
    return listed.names
      .slice(from, listed.namedTo)
      .flatMap(({ node }) => (node !== undefined && this.#isWanted(node) ? [node] : []))
  }
}

/** Whether the node is a file so small that fetching it costs hardly more than asking for it. */
export function isSmallFile({ inode: { segments, size } }: Node): boolean {
  return segments.length > 0 && size > 0 && size <= limits.inlineContentBytesMax
}

/** Whether the node is a folder with so few names that many such are listed with one request. */
export function isSmallFolder({ folder }: Node): boolean {
  return folder !== null && folder.live <= limits.siblingFolderNamesMax
}
