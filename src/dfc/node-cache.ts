/**
 * What this client has recently read or written of the namespace: nodes by inode number, entries by
 * folder and name. Within its time to live a cached value answers a look-up; after that it only
 * serves as a guess for a commit's preconditions, which the servers check.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.js'
import { limits } from '../limits.js'
import { entryKey, type Key } from '../wire/records.js'
import type { Version } from '../wire/version.js'
import type { Node } from './node.js'

/** A directory entry as last seen; `ino` is null where no live entry is. */
export interface EntryView {
  readonly version: Version
  readonly ino: number | null
  readonly type: number
}

interface Timed<T> {
  readonly value: T
  readonly atMs: number
}

/** Given as `max` the bound would take all of its memory at once: 30 ms in every command. */
const bound = { maxSize: limits.registerCacheEntriesMax, sizeCalculation: () => 1 }

export class NodeCache {
  readonly #clock: Clock
  readonly #nodes = new LRUCache<number, Timed<Node>>(bound)
  readonly #entries = new LRUCache<Key, Timed<EntryView>>(bound)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The node if it was seen within the time to live. */
  node(ino: number): Node | undefined {
    return this.#fresh(this.#nodes.get(ino))
  }

  /** The node however long ago it was seen. */
  anyNode(ino: number): Node | undefined {
    return this.#nodes.get(ino)?.value
  }

  entry(parent: number, name: string): EntryView | undefined {
    return this.#fresh(this.#entries.get(entryKey(parent, name)))
  }

  anyEntry(parent: number, name: string): EntryView | undefined {
    return this.#entries.get(entryKey(parent, name))?.value
  }

  /** Keeps what is newer: an answer that was under way must not replace what was written since. */
  setNode(node: Node): void {
    const known = this.#nodes.get(node.ino)
    if (known !== undefined && isOlder(node, known.value)) return
    this.#nodes.set(node.ino, { value: node, atMs: this.#clock.monotonic() })
  }

  setEntry(parent: number, name: string, entry: EntryView): void {
    const key = entryKey(parent, name)
    const known = this.#entries.get(key)
    if (known !== undefined && known.value.version > entry.version) return
    this.#entries.set(key, { value: entry, atMs: this.#clock.monotonic() })
  }

  dropNode(ino: number): void {
    this.#nodes.delete(ino)
  }

  dropEntry(parent: number, name: string): void {
    this.#entries.delete(entryKey(parent, name))
  }

  clear(): void {
    this.#nodes.clear()
    this.#entries.clear()
  }

  #fresh<T>(timed: Timed<T> | undefined): T | undefined {
    if (timed === undefined) return undefined
    return this.#clock.monotonic() - timed.atMs <= limits.cacheLifeMs ? timed.value : undefined
  }
}

function isOlder(node: Node, than: Node): boolean {
  if (node.version !== than.version) return node.version < than.version
  return (node.folder?.touched ?? '') < (than.folder?.touched ?? '')
}
