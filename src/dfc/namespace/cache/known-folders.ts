/**
 * Which folders are known in full: of every live name in them this client has heard. So a name that it
 * has not heard of is not there, as long as nobody else changes anything. Names that leave the cache are
 * remembered in little memory, since a folder may have more than the cache.
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
  /** Since when. */
  readonly #complete = new LRUCache<number, number>({
    maxSize: limits.registerCacheEntriesMax,
    sizeCalculation: () => 1,
  })
  readonly #listings = new LRUCache<number, Listing>({ max: listingsMax })
  /** Names, by folder, that were in the cache and perhaps are there. */
  readonly #forgotten = new LRUCache<number, BloomFilter>({
    maxSize: limits.forgottenNamesBytesMax,
    sizeCalculation: ({ bytes }) => bytes,
    dispose: (_, folder, reason) => {
      if (reason === 'evict') this.#noteGap(folder)
    },
  })

  /** Since when it has been certain that no name is there that the cache does not have. */
  absentSinceMs(folder: number, name: string): number | undefined {
    const sinceMs = this.#complete.get(folder)
    if (sinceMs === undefined) return undefined
    return this.#forgotten.get(folder)?.has(name) ? undefined : sinceMs
  }

  /** It was just made. */
  setEmpty(folder: number, atMs: number): void {
    this.#complete.set(folder, atMs)
  }

  /** A page of it, behind `after` up to `end`, is in the cache, and then all, unless `more`. */
  setListed(folder: number, after: string, end: string, more: boolean, atMs: number): void {
    assert(!more || end !== '', 'a page that is not the last ends with a name')
    const before = this.#listings.get(folder)
    this.#listings.delete(folder)
    if (after !== '' && before?.end !== after) return
    // What was remembered of it may be needed as long as it is known from before.
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

  /** A name that may be there leaves the cache. */
  forget(folder: number, name: string): void {
    if (!this.#complete.has(folder) && !this.#listings.has(folder)) return
    const names = this.#forgotten.get(folder) ?? new BloomFilter()
    const { bytes } = names
    names.add(name)
    if (names.bytes === bytes) return
    // Put in anew, because it takes more room than before.
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
