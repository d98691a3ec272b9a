/**
 * The plan of rename(2) and renameat2(2): which entries and inodes a rename writes, and what it relies
 * on. A folder that changes its parent relies on all folders above it, so that it cannot move into
 * itself.
 */
import type { Clock, Time } from '../../clock.js'
import { DfsError } from '../../errors.js'
import {
  encodeEntry,
  encodeInode,
  entryKey,
  fileType,
  inodeKey,
  type Key,
  type Precondition,
  typeOf,
} from '../../wire/records.js'
import type { Node } from './cache/node.js'
import type { NodeCache, Written } from './cache/node-cache.js'
import { exactly, type Plan, type Planned } from './changes.js'
import type { Lookup } from './lookup.js'
import type { IsOpen, OpenOrphans } from './open-orphans.js'

export type RenameHow = 'replace' | 'noReplace' | 'exchange'

export interface Renaming {
  readonly fromParent: number
  readonly fromName: string
  readonly toParent: number
  readonly toName: string
  readonly how: RenameHow
  readonly keep: IsOpen
}

export interface Renamed {
  /** The inode that lost its name, if one did. */
  readonly replaced: Node | undefined
}

export class Renames {
  readonly #clock: Clock
  readonly #names: Lookup
  readonly #cache: NodeCache
  readonly #kept: OpenOrphans

  constructor(clock: Clock, names: Lookup, cache: NodeCache, kept: OpenOrphans) {
    this.#clock = clock
    this.#names = names
    this.#cache = cache
    this.#kept = kept
  }

  async plan(renaming: Renaming, fresh: boolean): Promise<Planned<Renamed>> {
    const { fromParent, fromName, toParent, toName, how, keep } = renaming
    const from = entryKey(fromParent, fromName)
    const to = entryKey(toParent, toName)
    const source = await this.#names.existingForChange(fromParent, fromName, fresh)
    // Asked for twice, the name could be there the first time and gone the second.
    const place = from === to ? source : await this.#names.entryForChange(toParent, toName, fresh)
    if (how === 'noReplace' && place.ino !== null) throw new DfsError('exists')
    if (how === 'exchange' && place.ino === null) throw new DfsError('notFound')
    // Two names of one file: POSIX has rename do nothing.
    if (place.ino === source.ino) return { body: undefined, result: { replaced: undefined } }
    const moved = await this.#names.nodeForChange(source.ino, fresh)
    const target =
      place.ino === null ? undefined : await this.#names.nodeForChange(place.ino, fresh)
    const ancestors = await this.#assertMovable(moved, target, renaming)
    const now = this.#clock.time()
    const draft = new Draft()
    draft.require({ key: from, absent: false, version: source.version })
    draft.require({ key: to, absent: place.ino === null, version: place.version })
    draft.require(exactly(await this.#names.folderForChange(toParent, fresh)))
    for (const ancestor of ancestors) draft.require(exactly(ancestor))
    draft.write(to, encodeEntry({ ino: source.ino, type: source.type }))
    this.#relocate(draft, moved, toParent, now)
    let replaced: Node | undefined
    if (how === 'exchange' && target !== undefined && place.ino !== null) {
      draft.require(exactly(await this.#names.folderForChange(fromParent, fresh)))
      draft.write(from, encodeEntry({ ino: place.ino, type: place.type }))
      this.#relocate(draft, target, fromParent, now)
    } else {
      draft.write(from, null)
      if (target !== undefined) {
        this.#displace(draft, target, keep, (node) => {
          replaced = node
        })
      }
    }
    draft.afterwards((written) => {
      const swapped = how === 'exchange' ? place.ino : null
      const type = swapped === null ? 0 : place.type
      this.#cache.writeEntry(fromParent, fromName, written, swapped, type)
      this.#cache.writeEntry(toParent, toName, written, source.ino, source.type)
    })
    return draft.plan(() => ({ replaced }))
  }

  #relocate(draft: Draft, node: Node, parent: number, now: Time): void {
    const isFolder = typeOf(node.inode.mode) === fileType.folder
    const inode = { ...node.inode, ctime: now, parent: isFolder ? parent : 0 }
    draft.require(exactly(node))
    draft.write(inodeKey(node.ino), encodeInode(inode))
    draft.afterwards((written) => this.#cache.writeNode(node.ino, written, inode, node.folder))
  }

  /** The name of `node` goes to another: of a folder only when it is empty. */
  #displace(draft: Draft, node: Node, keep: IsOpen, onReplaced: (node: Node) => void): void {
    draft.require(exactly(node))
    if (typeOf(node.inode.mode) === fileType.folder) {
      draft.requireEmpty(node.ino)
      draft.write(inodeKey(node.ino), null)
      draft.afterwards(() => this.#cache.dropNode(node.ino))
    } else {
      const dropped = this.#kept.droppedLink(node, keep)
      draft.write(dropped.write.key, dropped.write.value)
      draft.afterwards((written) => onReplaced(dropped.done(written)))
    }
  }

  /**
   * The rules of rename(2) about kinds and loops. A folder that changes its parent must not move
   * into itself: the chain of folders above the target, which the commit depends on, is returned.
   */
  async #assertMovable(
    moved: Node,
    target: Node | undefined,
    { fromParent, toParent, how }: Renaming,
  ): Promise<Node[]> {
    const movesFolder = typeOf(moved.inode.mode) === fileType.folder
    const meetsFolder = target !== undefined && typeOf(target.inode.mode) === fileType.folder
    if (target !== undefined && how === 'replace') {
      if (movesFolder && !meetsFolder) throw new DfsError('notDirectory')
      if (!movesFolder && meetsFolder) throw new DfsError('isDirectory')
    }
    if (fromParent === toParent) return []
    const ancestors = movesFolder ? await this.#names.ancestors(toParent, moved.ino) : []
    if (how !== 'exchange' || !meetsFolder || target === undefined) return ancestors
    return [...ancestors, ...(await this.#names.ancestors(fromParent, target.ino))]
  }
}

/** A transaction that is being put together, at most one write and one precondition for a register. */
class Draft {
  readonly #writes = new Map<Key, Buffer | null>()
  readonly #preconditions = new Map<Key, Precondition>()
  readonly #emptyFolders: number[] = []
  readonly #effects: ((written: Written) => void)[] = []

  require(precondition: Precondition): void {
    this.#preconditions.set(precondition.key, precondition)
  }

  requireEmpty(folder: number): void {
    this.#emptyFolders.push(folder)
  }

  write(key: Key, value: Buffer | null): void {
    this.#writes.set(key, value)
  }

  /** Adds an effect to run after the commit. Effects run in this order. */
  afterwards(effect: (written: Written) => void): void {
    this.#effects.push(effect)
  }

  plan<T>(result: () => T): Plan<T> {
    return {
      behind: true,
      body: {
        writes: [...this.#writes].map(([key, value]) => ({ key, value })),
        preconditions: [...this.#preconditions.values()],
        emptyFolders: this.#emptyFolders,
      },
      done: (written) => {
        for (const effect of this.#effects) effect(written)
        return result()
      },
    }
  }
}
