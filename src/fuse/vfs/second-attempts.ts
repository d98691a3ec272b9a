/**
 * Threads whose request was answered with ESTALE: the kernel then looks for every name on the way once more,
 * and asks a second time, after which it gives up. What it has found since the first time was there after
 * the program had asked; so a second attempt is not sent back again.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../clock.js'
import { limits } from '../../limits.js'

interface Expected {
  /** Threads whose number cannot be seen from here have the same one. */
  count: number
  /** What may be asked for: what it was the first time, and what the names led to since. */
  readonly inos: Set<number>
  readonly atMs: number
}

/** Names that are looked for once more are few. */
const inosMax = 256

export class SecondAttempts {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #expected = new LRUCache<number, Expected>({ max: limits.mountRequestsMax * 4 })

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** The thread `pid`, which wanted to do something with these, is about to be told to look once more. */
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

  /** Whether the thread is looking for names once more: then what is remembered is no answer. */
  isExpected(pid: number): boolean {
    return this.#expected.size > 0 && this.#get(pid) !== undefined
  }

  /** A name has led the thread to `ino`. */
  found(pid: number, ino: number): void {
    if (this.#expected.size === 0) return
    const inos = this.#get(pid)?.inos
    if (inos !== undefined && inos.size < inosMax) inos.add(ino)
  }

  /** Whether this is the second attempt of the thread. It is over then. */
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
