/**
 * What the kernel may still hold of a file, so that its caches are used to the full and never lie
 * after an open: pages are kept while the content is the one they came from, and attributes that are
 * out of date are taken from it.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../clock.js'
import type { Content } from '../../dfc/content/content.js'
import { sameContent } from '../../dfc/content/content-equality.js'
import { limits } from '../../limits.js'
import type { Version } from '../../wire/version.js'

interface Told {
  /** Of the inode. */
  readonly version: Version
  /** That the size is of, unless that is of what is not committed. */
  readonly content: Content | undefined
  readonly atMs: number
}

/** What a kernel can be told without being asked. */
export interface KernelNotices {
  /** Makes it ask for the attributes of a file anew. */
  readonly invalidateAttributes: (ino: number) => void
  /** Makes it look for all names anew. Absent where it cannot be made to. */
  readonly invalidateEntries?: (() => void) | undefined
}

/** The kernel counts in ticks of up to 10 ms, and its time begins when our answer arrives. */
const slackMs = 100

/** Everything is by inode number. */
export class KernelView {
  readonly #clock: Clock
  readonly #told = new LRUCache<number, Told>({ max: limits.kernelCacheEntriesMax })
  readonly #pages = new LRUCache<number, Content>({ max: limits.kernelCacheEntriesMax })
  #kernel: KernelNotices | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** From now on there is a kernel that believes what it is told. One mount has one. */
  connect(kernel: KernelNotices): void {
    assert(this.#kernel === undefined, 'a second kernel would not hear of what the first is told')
    this.#kernel = kernel
  }

  /** Makes the kernel ask for the attributes of a file anew. */
  invalidateAttributes(ino: number): void {
    this.#kernel?.invalidateAttributes(ino)
  }

  /** Makes the kernel look for all names anew, where it can be made to. */
  invalidateEntries(): void {
    this.#kernel?.invalidateEntries?.()
  }

  get canInvalidateEntries(): boolean {
    return this.#kernel?.invalidateEntries !== undefined
  }

  /**
   * The kernel is being told of a file in this version, and of the size that `content` has; undefined: that
   * of what is not committed. While the file `isOpen` that is never an older version than the last time: the
   * kernel would cut off what it has in its pages, and programs would write where something is already.
   */
  tell(ino: number, version: Version, content: Content | undefined, isOpen: boolean): void {
    const told = isOpen ? this.#told.get(ino) : undefined
    assert(told === undefined || version >= told.version, 'an open file goes back')
    this.#told.set(ino, { version, content, atMs: this.#clock.monotonic() })
  }

  /** At an open: what the kernel was told of another content, or a later version, it must not believe. */
  correct(ino: number, version: Version, content: Content): void {
    const told = this.#told.get(ino)
    if (told === undefined) return
    const isSame = told.content !== undefined && sameContent(told.content, content)
    if (isSame && told.version <= version) return
    this.#told.delete(ino)
    if (this.#clock.monotonic() - told.atMs <= limits.kernelCacheMs + slackMs) {
      this.invalidateAttributes(ino)
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
    this.invalidateAttributes(ino)
  }
}
