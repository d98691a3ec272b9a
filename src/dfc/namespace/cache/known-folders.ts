/**
 * Tracks the folders that are known in full, with every live name. A name that is not known in such a folder does not
 * exist, as long as no other client changes anything. Names that were evicted from the cache are remembered in little
 * memory, since a folder may have more names than the cache holds.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import { limits } from '../../../limits.js'
import { BloomFilter } from './bloom-filter.js'

/** How far a folder has been listed without a gap. */
interface Listing {
  readonly end: string
  readonly atMs: number
}

const listingsMax = 256

export class KnownFolders {
  /** Folders that are known in full, with the time since when. */
  readonly #complete = new LRUCache<number, number>({
    maxSize: limits.registerCacheEntriesMax,
    sizeCalculation: () => 1,
  })
  readonly #listings = new LRUCache<number, Listing>({ max: listingsMax })
  /** Names that were evicted from the cache and may exist, by folder. */
  readonly #forgotten = new LRUCache<number, BloomFilter>({
    maxSize: limits.forgottenNamesBytesMax,
    sizeCalculation: ({ bytes }) => bytes,
    dispose: (_, folder, reason) => {
      if (reason === 'evict') this.#noteGap(folder)
    },
  })

  /**
   * Returns since when it is certain that `name`, which the cache does not have, does not exist; undefined when it
   * may.
   */
  absentSinceMs(folder: number, name: string): number | undefined {
    const sinceMs = this.#complete.get(folder)
    if (sinceMs === undefined) return undefined
    return this.#forgotten.get(folder)?.has(name) ? undefined : sinceMs
  }

  /** Returns since when the folder is known in full; undefined when it is not. */
  completeSinceMs(folder: number): number | undefined {
    return this.#complete.get(folder)
  }

  /** Notes that a folder was just created and is empty. */
  setEmpty(folder: number, atMs: number): void {
    this.#complete.set(folder, atMs)
  }

  /**
   * Notes that a page of the folder, after the name `after` up to `end`, is in the cache. Without `more`, it is the
   * last one.
   */
  setListed(folder: number, after: string, end: string, more: boolean, atMs: number): void {
    assert(!more || end !== '', 'a page that is not the last ends with a name')
    const before = this.#listings.get(folder)
    this.#listings.delete(folder)
    if (after !== '' && before?.end !== after) return
    // The evicted names may be needed as long as the folder is known since an earlier time.
    if (after === '' && !this.#complete.has(folder)) this.#forgotten.delete(folder)
    // Pages of two listings may join: all are as old as the oldest.
    const sinceMs = after === '' || before === undefined ? atMs : Math.min(atMs, before.atMs)
    if (more) this.#listings.set(folder, { end, atMs: sinceMs })
    else this.#complete.set(folder, sinceMs)
  }

  /** Forgets a folder that was removed. */
  drop(folder: number): void {
    this.#complete.delete(folder)
    this.#listings.delete(folder)
    this.#forgotten.delete(folder)
  }

  /** Notes that a name which may exist was evicted from the cache. */
  forget(folder: number, name: string): void {
    if (!this.#complete.has(folder) && !this.#listings.has(folder)) return
    const names = this.#forgotten.get(folder) ?? new BloomFilter()
    const { bytes } = names
    names.add(name)
    if (names.bytes === bytes) return
    // Set again, because its size has grown.
    assert(names.has(name), 'a name that was forgotten seems not to be there')
    this.#forgotten.delete(folder)
    this.#forgotten.set(folder, names)
    if (!this.#forgotten.has(folder)) this.#noteGap(folder)
  }

  #noteGap(folder: number): void {
    this.#complete.delete(folder)
    this.#listings.delete(folder)
  }
}
