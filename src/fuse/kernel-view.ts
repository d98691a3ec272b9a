/**
 * What the kernel may still hold of a file, so that its caches are used to the full and never lie
 * after an open: pages are kept while the content is the one they came from, and attributes that are
 * out of date are made to be asked for again.
 */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.js'
import type { Content } from '../dfc/node.js'
import { limits } from '../limits.js'
import { sameContent } from './content-equality.js'

interface Told {
  readonly ino: number
  readonly content: Content
  readonly atMs: number
}

interface Pages {
  readonly ino: number
  readonly content: Content
}

/**
 * What the kernel thinks of a file at an open: it is right; or it is wrong, and would learn better if
 * it were sent back to ask again; or it was just sent back, and the file has changed once more.
 */
export type Knowledge = 'right' | 'wrong' | 'overtaken'

/** The kernel counts in ticks of up to 10 ms, and its time begins when our answer arrives. */
const slackMs = 100

/** Everything is by path, since each path is a file of its own to the kernel. */
export class KernelView {
  readonly #clock: Clock
  readonly #told = new LRUCache<string, Told>({ max: limits.kernelCacheEntriesMax })
  readonly #pages = new LRUCache<string, Pages>({ max: limits.kernelCacheEntriesMax })
  /** Which thread was sent back from which path: its next open of that is the second attempt. */
  readonly #sentBack = new LRUCache<string, true>({ max: limits.mountRequestsMax * 4 })

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The kernel is being told the size that `content` has. */
  tell(path: string, ino: number, content: Content): void {
    this.#told.set(path, { ino, content, atMs: this.#clock.monotonic() })
  }

  /**
   * At an open by the thread `pid`. When it is `wrong` the open must fail with ESTALE, upon which the
   * kernel asks for the attributes anew and opens again: once, a second ESTALE is what programs get.
   */
  atOpen(path: string, ino: number, content: Content, pid: number): Knowledge {
    const attempt = `${pid} ${path}`
    const isSecond = this.#sentBack.delete(attempt)
    const told = this.#told.get(path)
    if (told === undefined || (told.ino === ino && sameContent(told.content, content))) {
      return 'right'
    }
    if (this.#clock.monotonic() - told.atMs > limits.kernelCacheMs + slackMs) return 'right'
    if (isSecond) return 'overtaken'
    this.#sentBack.set(attempt, true)
    return 'wrong'
  }

  /** Whether the pages that the kernel has under `path` are those of `content`. */
  hasPagesOf(path: string, ino: number, content: Content): boolean {
    const pages = this.#pages.get(path)
    return pages !== undefined && pages.ino === ino && sameContent(pages.content, content)
  }

  /** From now on the kernel's pages under `path` come from `content` alone. */
  setPages(path: string, ino: number, content: Content): void {
    this.#pages.set(path, { ino, content })
  }

  /** The kernel knows nothing of `path`, or it would not create it. */
  forget(path: string): void {
    this.#told.delete(path)
    this.#pages.delete(path)
  }

  /** The kernel knows by the path `to` what it knew by `from`. */
  move(from: string, to: string): void {
    const told = this.#told.get(from)
    const pages = this.#pages.get(from)
    this.#told.delete(from)
    this.#pages.delete(from)
    this.#pages.delete(to)
    if (told !== undefined) this.#told.set(to, told)
    if (pages !== undefined) this.#pages.set(to, pages)
  }
}
