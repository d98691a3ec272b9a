/**
 * What the kernel may still hold of a file, so that its caches are used to the full and never lie
 * after an open: pages are kept while the content is the one they came from, and attributes that are
 * out of date are taken from it.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.js'
import type { Content } from '../dfc/node.js'
import { limits } from '../limits.js'
import { sameContent } from './content-equality.js'

interface Told {
  readonly content: Content
  readonly atMs: number
}

/** A name in a folder. */
export interface Place {
  readonly parent: number
  readonly name: string
}

/** The kernel counts in ticks of up to 10 ms, and its time begins when our answer arrives. */
const slackMs = 100

/** Everything is by inode number. */
export class KernelView {
  readonly #clock: Clock
  readonly #told = new LRUCache<number, Told>({ max: limits.kernelCacheEntriesMax })
  readonly #pages = new LRUCache<number, Content>({ max: limits.kernelCacheEntriesMax })
  readonly #places = new LRUCache<number, Place>({ max: limits.kernelCacheEntriesMax })

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Makes the kernel ask for the attributes of a file anew. The mount sets it. */
  takeAttributes: (ino: number) => void = () => undefined

  /** Makes the kernel look for all names anew, where it can be made to. The mount sets it. */
  takeNames: (() => void) | undefined

  /** The kernel is being told the size that `content` has. */
  tell(ino: number, content: Content): void {
    this.#told.set(ino, { content, atMs: this.#clock.monotonic() })
  }

  /** At an open: what the kernel was told of another content than this it must not believe. */
  correct(ino: number, content: Content): void {
    const told = this.#told.get(ino)
    if (told === undefined || sameContent(told.content, content)) return
    this.#told.delete(ino)
    if (this.#clock.monotonic() - told.atMs <= limits.kernelCacheMs + slackMs) {
      this.takeAttributes(ino)
    }
  }

  /** Whether the pages that the kernel has are those of `content`. */
  hasPagesOf(ino: number, content: Content): boolean {
    const pages = this.#pages.get(ino)
    return pages !== undefined && sameContent(pages, content)
  }

  /** From now on the kernel's pages come from `content` alone. */
  setPages(ino: number, content: Content): void {
    this.#pages.set(ino, content)
  }

  /** What the kernel has of the file, size and pages, may be of no content that there is. */
  forgetFile(ino: number): void {
    this.#pages.delete(ino)
    this.#told.delete(ino)
    this.takeAttributes(ino)
  }

  // -- names -------------------------------------------------------------------------------------

  /** The kernel is being told that `name` means `ino`, or has itself given it that name. */
  tellPlace(ino: number, parent: number, name: string): void {
    this.#places.set(ino, { parent, name })
  }

  /** The name by which the kernel was told of the file last. */
  placeOf(ino: number): Place | undefined {
    return this.#places.get(ino)
  }

  /** The file has lost that name. */
  forgetPlace(ino: number, parent: number, name: string): void {
    const place = this.#places.get(ino)
    if (place?.parent === parent && place.name === name) this.#places.delete(ino)
  }
}
