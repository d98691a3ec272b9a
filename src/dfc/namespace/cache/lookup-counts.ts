/**
 * Decides when to read a folder to its end instead of looking up one name after the other: a client that is alone
 * then knows which names exist, and need not ask again.
 */
import { LRUCache } from 'lru-cache'
import { limits } from '../../../limits.js'

const foldersMax = 1024

export class LookupCounts {
  /** Look-ups that needed a request, by folder; below zero after a reading that did not come to its end. */
  readonly #counts = new LRUCache<number, number>({ max: foldersMax })

  /**
   * Notes that a name of a folder with `live` names is about to be looked up at the servers. Returns whether to read
   * the folder instead.
   */
  paysToRead(folder: number, live: number): boolean {
    const count = (this.#counts.get(folder) ?? 0) + 1
    this.#counts.set(folder, count)
    return count * limits.namesPerLookup >= live && count > 0 && live <= limits.knownNamesMax
  }

  /** Notes that a reading has ended: the next one needs as many look-ups again, and more when it was in vain. */
  wasRead(folder: number, isKnown: boolean): void {
    this.#counts.set(folder, isKnown ? 0 : -limits.lookupsAfterVainReading)
  }
}
