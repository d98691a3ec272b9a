/** Sizes in bytes as people write them in a configuration: "500M", "10G". */

const factors: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
}

/** Parses digits with K, M, G or T behind them for powers of 1024. Undefined for anything else. */
export function parseByteSize(text: string): number | undefined {
  const match = /^(\d{1,15})([KMGT]?)$/.exec(text)
  if (match === null) return undefined
  const bytes = Number(match[1]) * (factors[match[2] ?? ''] ?? Number.NaN)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
