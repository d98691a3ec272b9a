/**
 * Threads whose request was answered with ESTALE. The kernel then looks up every name on the way once more and
 * repeats the request, after which it gives up. The names found then are newer than the program's call, so a second
 * attempt is not sent back again.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../clock.js'
import { limits } from '../../limits.js'

interface Expected {
  /** Number of threads with this id: those that are not visible from here share one. */
  count: number
  /** Inodes that the second attempt may be about: those of the first one, and those that names led to since. */
  readonly inos: Set<number>
  readonly atMs: number
}

/** Most inodes remembered for one thread: few names are looked up once more. */
const inosMax = 256

export class SecondAttempts {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #expected = new LRUCache<number, Expected>({ max: limits.mountRequestsMax * 4 })

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** Notes that the thread `pid` is about to be sent back from a request about these inodes. */
  expect(pid: number, ...wanted: readonly number[]): void {
    const known = this.#get(pid)
    const inos = known?.inos ?? new Set<number>()
    for (const ino of wanted) inos.add(ino)
    this.#expected.set(pid, {
      count: (known?.count ?? 0) + 1,
      inos,
      atMs: this.#clock.monotonic(),
    })
  }

  /** Whether the thread is looking up names once more: then cached names are no answer. */
  isExpected(pid: number): boolean {
    return this.#expected.size > 0 && this.#get(pid) !== undefined
  }

  /** Notes that a name has led the thread to `ino`. */
  found(pid: number, ino: number): void {
    if (this.#expected.size === 0) return
    const inos = this.#get(pid)?.inos
    if (inos !== undefined && inos.size < inosMax) inos.add(ino)
  }

  /** Whether this request is the second attempt of the thread, which ends it. */
  take(pid: number, ino: number): boolean {
    if (this.#expected.size === 0) return false
    const expected = this.#get(pid)
    if (expected === undefined || !expected.inos.has(ino)) return false
    expected.count -= 1
    assert(expected.count >= 0, 'an attempt that nobody was sent back for')
    if (expected.count === 0) this.#expected.delete(pid)
    return true
  }

  #get(pid: number): Expected | undefined {
    const expected = this.#expected.get(pid)
    const isLate =
      expected !== undefined && this.#clock.monotonic() - expected.atMs > limits.nameBelievedMs
    if (!isLate) return expected
    this.#expected.delete(pid)
    return undefined
  }
}
