/**
 * Puts a transaction together: what it relies on, what it writes, and what the cache knows once it is
 * committed. Each register has one write and one precondition at most. A write and its effect on the
 * cache are one call, so that neither can be forgotten.
 */
import assert from 'node:assert/strict'
import {
  encodeEntry,
  encodeInode,
  entryKey,
  type Inode,
  inodeKey,
  type Key,
  type Precondition,
} from '../../../wire/records.js'
import { noVersion } from '../../../wire/version.js'
import type { Node } from '../cache/node.js'
import type { EntryView, NodeCache, Written } from '../cache/node-cache.js'
import type { Plan } from '../changes.js'

/** The inode that a name refers to, and its type: the mode shifted right by 12. */
export interface EntryTarget {
  readonly ino: number
  readonly type: number
}

/** How a transaction is committed: everything of a plan that is not the transaction itself. */
export type PlanOptions = Pick<Plan<unknown>, 'inline' | 'onDisk' | 'file'>

export class TransactionBuilder {
  readonly #cache: NodeCache
  readonly #writes = new Map<Key, Buffer | null>()
  readonly #preconditions = new Map<Key, Precondition>()
  readonly #emptyFolders: number[] = []
  readonly #effects: ((written: Written) => void)[] = []
  readonly #outcomes = new Map<number, Node>()

  /** `cache` is brought up to date once the transaction is committed. */
  constructor(cache: NodeCache) {
    this.#cache = cache
  }

  /** Requires that the inode is as it was seen. */
  requireNode({ ino, version }: Node): void {
    this.#require({ key: inodeKey(ino), absent: false, version })
  }

  /** Requires that no inode has this number, and none ever had. */
  requireNoNode(ino: number): void {
    this.#require({ key: inodeKey(ino), absent: true, version: noVersion })
  }

  /** Requires that the name refers to what it was seen to refer to, or still to nothing. */
  requireEntry(parent: number, name: string, { ino, version }: EntryView): void {
    this.#require({ key: entryKey(parent, name), absent: ino === null, version })
  }

  /** Requires that the folder has no entry that this transaction leaves there. */
  requireEmpty(folder: number): void {
    this.#emptyFolders.push(folder)
  }

  /** Makes a name refer to an inode, or with null removes it. */
  writeEntry(parent: number, name: string, target: EntryTarget | null): void {
    const { ino, type } = target ?? { ino: null, type: 0 }
    this.#writes.set(entryKey(parent, name), ino === null ? null : encodeEntry({ ino, type }))
    this.afterwards((written) => this.#cache.writeEntry(parent, name, written, ino, type))
  }

  /** Writes an inode; `folder` is what is known of a folder's entries. */
  writeNode(ino: number, inode: Inode, folder: Node['folder'] = null): void {
    this.#writes.set(inodeKey(ino), encodeInode(inode))
    this.afterwards((written) =>
      this.#outcomes.set(ino, this.#cache.writeNode(ino, written, inode, folder)),
    )
  }

  /** Deletes an inode, of which `last` is what it was with its last name gone. */
  deleteNode(ino: number, last: Inode): void {
    this.#writes.set(inodeKey(ino), null)
    this.afterwards(({ id }) => {
      this.#cache.removeNode(ino, id)
      this.#outcomes.set(ino, { ino, version: id, inode: last, folder: null })
    })
  }

  /** Adds what has to be done once the transaction is committed, after what was added before. */
  afterwards(effect: (written: Written) => void): void {
    this.#effects.push(effect)
  }

  /** The inode as the transaction left it; only once that is committed, and only if it wrote the inode. */
  outcome(ino: number): Node {
    const node = this.#outcomes.get(ino)
    assert(node !== undefined, 'the transaction wrote this inode, and is committed')
    return node
  }

  /** The finished plan; `result` is called after all effects. */
  plan<T>(options: PlanOptions, result: () => T): Plan<T> {
    return {
      ...options,
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

  #require(precondition: Precondition): void {
    this.#preconditions.set(precondition.key, precondition)
  }
}
