/**
 * The mount's record of what the kernel's caches may contain, by which they are used to the full and never give wrong
 * answers after an open:
 *
 *   cached by the kernel      recorded here               at an open
 *   attributes and size       version, content, when      invalidated if of another content or a later version
 *   pages                     content                     kept if the content is the same, else dropped
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
  /** Content whose size the kernel has; undefined when it has the size of uncommitted content. */
  readonly content: Content | undefined
  readonly atMs: number
}

/** Notices that a mount can send to the kernel. */
export interface KernelNotices {
  /** Makes the kernel ask for the attributes of a file again. */
  readonly invalidateAttributes: (ino: number) => void
  /** Makes the kernel look up all names again. Absent where it has no such notice. */
  readonly invalidateEntries?: (() => void) | undefined
}

/** Slack in ms: the kernel counts in ticks of up to 10 ms, and its time begins when the answer arrives. */
const slackMs = 100

/** The kernel's caches, by inode number. */
export class KernelView {
  readonly #clock: Clock
  readonly #told = new LRUCache<number, Told>({ max: limits.kernelCacheEntriesMax })
  readonly #pages = new LRUCache<number, Content>({ max: limits.kernelCacheEntriesMax })
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

  /** Makes the kernel look up all names again, where it has such a notice. */
  invalidateEntries(): void {
    this.#kernel?.invalidateEntries?.()
  }

  get canInvalidateEntries(): boolean {
    return this.#kernel?.invalidateEntries !== undefined
  }

  /**
   * Records that the kernel is sent attributes of this version and the size of `content`, or, if undefined, that of
   * uncommitted content. While the file `isOpen`, the version must never be older than the last time: the kernel
   * would cut off pages that it has, and programs would overwrite data.
   */
  tell(ino: number, version: Version, content: Content | undefined, isOpen: boolean): void {
    const told = isOpen ? this.#told.get(ino) : undefined
    assert(told === undefined || version >= told.version, 'an open file goes back')
    this.#told.set(ino, { version, content, atMs: this.#clock.monotonic() })
  }

  /** Prepares an open: attributes of another content, or of a later version, are removed from the kernel's cache. */
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
}
