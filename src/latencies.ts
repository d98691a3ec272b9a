/**
 * How long something took, counted by powers of two of a microsecond: noting one costs a few nanoseconds, so that every
 * operation can be counted. What reads it (metrics, `dfc top`) does the arithmetic.
 */

const firstPower = 3
const lastPower = 26

/** Upper bounds in seconds of all buckets but the last, which has none: 8 us, 16 us, ... 67 s. */
export const latencyBounds: readonly number[] = Array.from(
  { length: lastPower - firstPower + 1 },
  (_, index) => 2 ** (firstPower + index) / 1e6,
)

/** Latencies as they are passed on, also as JSON. */
export interface LatencyCounts {
  readonly count: number
  readonly sumMs: number
  /** How many there are in each bucket; one more than there are bounds. */
  readonly buckets: readonly number[]
}

export class Latencies implements LatencyCounts {
  count = 0
  sumMs = 0
  readonly buckets: number[] = Array.from({ length: latencyBounds.length + 1 }, () => 0)

  note(tookMs: number): void {
    this.count += 1
    this.sumMs += tookMs
    // The number of binary digits of the microseconds says between which powers of two they are.
    const power = 32 - Math.clz32(Math.min(tookMs * 1000, 0x7fff_ffff))
    const index = Math.min(Math.max(power - firstPower, 0), latencyBounds.length)
    this.buckets[index] = (this.buckets[index] ?? 0) + 1
  }

  toJSON(): LatencyCounts {
    return { count: this.count, sumMs: this.sumMs, buckets: this.buckets }
  }
}

/** The latency in ms that a share of all were below, as far as the buckets tell. Undefined without any. */
export function quantileMs({ count, buckets }: LatencyCounts, share: number): number | undefined {
  let below = 0
  for (const [index, number] of buckets.entries()) {
    below += number
    const bound = latencyBounds[index] ?? latencyBounds.at(-1)
    if (count > 0 && below >= share * count && bound !== undefined) return bound * 1000
  }
  return undefined
}

/** Returns the latencies that were counted since `before`. */
export function latenciesSince(now: LatencyCounts, before?: LatencyCounts): LatencyCounts {
  if (before === undefined) return now
  return {
    count: now.count - before.count,
    sumMs: now.sumMs - before.sumMs,
    buckets: now.buckets.map((number, index) => number - (before.buckets[index] ?? 0)),
  }
}
