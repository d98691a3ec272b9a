/** The rate of a transfer over the last seconds, so that what it says follows what happens now. Pure. */

/** The rate is that of this time, in ms. */
const windowMs = 10_000
/** A rate of less time than this, in ms, says nothing. */
const leastMs = 500
/** Samples closer to one another than this, in ms, count as one. */
const stepMs = 100

interface Sample {
  readonly atMs: number
  /** Bytes moved until then. */
  readonly bytes: number
}

export class Rate {
  readonly #samples: Sample[]

  /** Begins with nothing moved at `startMs`. */
  constructor(startMs: number) {
    this.#samples = [{ atMs: startMs, bytes: 0 }]
  }

  /** Notes that `bytes` were moved in all until `nowMs`. */
  note(nowMs: number, bytes: number): void {
    const before = this.#samples.at(-2)
    if (before !== undefined && nowMs - before.atMs < stepMs) this.#samples.pop()
    this.#samples.push({ atMs: nowMs, bytes })
    // The newest sample that is older than the window is its beginning.
    while ((this.#samples[1]?.atMs ?? nowMs) <= nowMs - windowMs) this.#samples.shift()
  }

  /** Bytes a second within the window that ends at `nowMs`; undefined while that is too short to say. */
  perSecond(nowMs: number): number | undefined {
    const [first] = this.#samples
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined) return undefined
    const tookMs = nowMs - first.atMs
    return tookMs < leastMs ? undefined : ((last.bytes - first.bytes) * 1000) / tookMs
  }
}
