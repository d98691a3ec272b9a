/**
 * The mount's record of what the kernel's caches may contain, by which they are used to the full and never give wrong
 * answers after an open:
 *
 *   cached by the kernel      recorded here               at an open
 *   attributes and size       version, content, until     invalidated if of another content or a later version
 *   pages                     content                     kept if the content is the same, else dropped
 *   listing of a folder       since when                  kept if nothing was doubted since, else dropped
 *
 * While the mount is alone the kernel keeps names and attributes for long. `doubtAll` ends that.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../clock.js'
import type { Content } from '../../dfc/content/content.js'
import { sameContent } from '../../dfc/content/content-equality.js'
import { limits } from '../../limits.js'
import type { Version } from '../../wire/version.js'

interface Told {
  /** Version of the inode whose attributes the kernel has. */
  readonly version: Version
  /** Content whose size the kernel has; undefined when it has another size, such as that of uncommitted content. */
  readonly content: Content | undefined
  /** The kernel asks again from this time on. */
  readonly untilMs: number
}

/** Notices that a mount can send to the kernel. */
export interface KernelNotices {
  /** Makes the kernel ask for the attributes of a file again. */
  readonly invalidateAttributes: (ino: number) => void
  /** Makes the kernel look up all names again. Absent where it has no such notice. */
  readonly invalidateEntries?: (() => void) | undefined
}

/** How the kernel is to treat its listing of a folder that is opened. */
export interface ListingAs {
  /** The kernel may keep what it is sent, for later opens of the folder. */
  readonly cache: boolean
  /** The listing that the kernel has is still right. */
  readonly keep: boolean
  /** Names the time in which what it is sent may be kept: see `setListing`. */
  readonly doubts: number
}

/** Slack in ms: the kernel counts in ticks of up to 10 ms, and its time begins when the answer arrives. */
const slackMs = 100
/** How much earlier than its attributes a listing is old, in ms: a program goes through it after it has opened it. */
const listingSlackMs = 5_000
/** Most notices in a row. */
const noticesAtOnce = 500

/** The kernel's caches, by inode number. */
export class KernelView {
  readonly #clock: Clock
  readonly #told = new LRUCache<number, Told>({
    max: limits.kernelCacheEntriesMax,
    dispose: (told, ino, reason) => {
      if (reason === 'evict' && this.#isLong(told)) this.invalidateAttributes(ino)
    },
  })
  readonly #pages = new LRUCache<number, Content>({ max: limits.kernelCacheEntriesMax })
  /** Folders whose listing the kernel may have, until which time it is right, and the number of doubts before. */
  readonly #listings = new LRUCache<number, { readonly untilMs: number; readonly doubts: number }>({
    max: limits.kernelCacheEntriesMax,
  })
  /** How often all listings had to go. */
  #doubts = 0
  #kernel: KernelNotices | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Connects the kernel of the mount, of which there is one. */
  connect(kernel: KernelNotices): void {
    assert(this.#kernel === undefined, 'a second kernel would not hear of what the first is told')
    this.#kernel = kernel
  }

  /** Makes the kernel ask for the attributes of a file again. */
  invalidateAttributes(ino: number): void {
    this.#kernel?.invalidateAttributes(ino)
  }

  /**
   * For how long the kernel may keep a name or attributes, in ms. `isCertain`: this mount would notice before another
   * client could change them.
   */
  validMs(isCertain: boolean): number {
    const isLong = isCertain && this.#kernel?.invalidateEntries !== undefined
    return isLong ? limits.kernelCacheAloneMs : limits.kernelCacheMs
  }

  /** Whether the kernel can be made to look up all names again. */
  get canInvalidateEntries(): boolean {
    return this.#kernel?.invalidateEntries !== undefined
  }

  /**
   * Makes the kernel ask for everything again that it may have kept for long: other clients may change it from now on.
   * Names at once, attributes within `kernelCacheMs`, as for those that were never kept for longer.
   */
  doubtAll(): void {
    this.doubtListings()
    this.#kernel?.invalidateEntries?.()
    const kept = [...this.#told.entries()].filter(([, told]) => this.#isLong(told))
    this.#invalidate(kept.map(([ino]) => ino))
  }

  /** Gives way between parts: twenty thousand notices take some 50 ms. */
  #invalidate(inos: readonly number[]): void {
    for (const ino of inos.slice(0, noticesAtOnce)) this.invalidateAttributes(ino)
    if (inos.length <= noticesAtOnce) return
    this.#clock.after(1, () => this.#invalidate(inos.slice(noticesAtOnce)))
  }

  /** Makes the kernel read each folder again when it is opened the next time. */
  doubtListings(): void {
    this.#doubts += 1
  }

  #isLong({ untilMs }: Told): boolean {
    return untilMs - this.#clock.monotonic() > limits.kernelCacheMs + slackMs
  }

  /**
   * Records that the kernel is sent attributes of this version and the size of `content`, or, if undefined, another
   * one such as that of uncommitted content, for `validMs`. While the file `isOpen`, the version must never be older
   * than the last time: the kernel would cut off pages that it has, and programs would overwrite data.
   */
  tell(
    ino: number,
    version: Version,
    content: Content | undefined,
    isOpen: boolean,
    validMs: number = limits.kernelCacheMs,
  ): void {
    const told = isOpen ? this.#told.get(ino) : undefined
    assert(told === undefined || version >= told.version, 'an open file goes back')
    const untilMs = this.#clock.monotonic() + validMs + slackMs
    this.#told.set(ino, { version, content, untilMs })
  }

  /** Prepares an open: attributes of another content, or of a later version, are removed from the kernel's cache. */
  correct(ino: number, version: Version, content: Content): void {
    const told = this.#told.get(ino)
    if (told === undefined) return
    const isSame = told.content !== undefined && sameContent(told.content, content)
    if (isSame && told.version <= version) return
    this.#told.delete(ino)
    if (this.#clock.monotonic() <= told.untilMs) this.invalidateAttributes(ino)
  }

  /** Whether the kernel's pages of the file are those of `content`. */
  hasPagesOf(ino: number, content: Content): boolean {
    const pages = this.#pages.get(ino)
    return pages !== undefined && sameContent(pages, content)
  }

  /** Records that the kernel's pages of the file come from `content` alone from now on. */
  setPages(ino: number, content: Content): void {
    this.#pages.set(ino, content)
  }

  /** Invalidates size and pages that may be those of no stored content. */
  forgetFile(ino: number): void {
    this.#pages.delete(ino)
    this.#told.delete(ino)
    this.invalidateAttributes(ino)
  }

  /** Prepares the open of a folder. `isCertain`: this mount would notice before another client could change it. */
  listingOf(ino: number, isCertain: boolean): ListingAs {
    const cache = isCertain && this.canInvalidateEntries
    const known = this.#listings.get(ino)
    const isRight = known?.doubts === this.#doubts && this.#clock.monotonic() < known.untilMs
    const keep = cache && isRight
    if (known !== undefined && !keep) this.#listings.delete(ino)
    return { cache, keep, doubts: this.#doubts }
  }

  /**
   * Records that the kernel was sent the beginning of the listing of a folder, opened as `as`, with attributes that it
   * may keep for long. Once those are old the listing must be as well: without them it costs a question for each name.
   */
  setListing(ino: number, { cache, doubts }: ListingAs): void {
    if (!cache || doubts !== this.#doubts) return
    const untilMs = this.#clock.monotonic() + limits.kernelCacheAloneMs - listingSlackMs
    this.#listings.set(ino, { untilMs, doubts })
  }
}
