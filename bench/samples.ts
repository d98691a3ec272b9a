/** Statistics of repeated measurements: machines are noisy. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** Half of the range from the least to the greatest value, as a fraction of the median. */
export function spread(values: readonly number[]): number {
  if (values.length < 2) return Number.NaN
  return (Math.max(...values) - Math.min(...values)) / 2 / median(values)
}
