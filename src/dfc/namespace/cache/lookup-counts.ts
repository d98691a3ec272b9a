/**
 * When it pays to read a folder to its end instead of asking for one name after the other: a client
 * that is alone knows then which names are there and which are not, and need not ask again.
 */
import { LRUCache } from 'lru-cache'
import { limits } from '../../../limits.js'

const foldersMax = 1024

export class LookupCounts {
  /** Names that had to be asked for, by folder; below zero after a reading that did not come to its end. */
  readonly #counts = new LRUCache<number, number>({ max: foldersMax })

  /** Notes that a name of a folder with `live` names is about to be asked for. */
  paysToRead(folder: number, live: number): boolean {
    const count = (this.#counts.get(folder) ?? 0) + 1
    this.#counts.set(folder, count)
    return count * limits.namesPerLookup >= live && count > 0 && live <= limits.knownNamesMax
  }

  /** A reading has ended: the next one has to be earned anew, and more dearly when it was in vain. */
  wasRead(folder: number, isKnown: boolean): void {
    this.#counts.set(folder, isKnown ? 0 : -limits.lookupsAfterVainReading)
  }
}
