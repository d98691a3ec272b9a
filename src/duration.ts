/** Times in ms as people write them: "90s", "10m", "2h", "7d". */

const factors: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Parses digits with s, m, h or d behind them to ms. Undefined for anything else, and for 0. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})([smhd])$/.exec(text)
  const ms = Number(match?.[1]) * (factors[match?.[2] ?? ''] ?? Number.NaN)
  return ms > 0 ? ms : undefined
}

const waitFactors: Readonly<Record<string, number>> = { ...factors, min: 60_000 }

/** Parses how long to wait to ms: seconds, or with s, m, min or h behind the number. Undefined for anything else. */
export function parseWait(text: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,9})?)(s|m|min|h)?$/.exec(text)
  return match === null
    ? undefined
    : Number(match[1]) * (waitFactors[match[2] ?? 's'] ?? Number.NaN)
}

/** Formats ms as the largest unit that says it exactly, such as "7d" or "36h"; below a second as "0s". */
export function durationText(ms: number): string {
  const seconds = Math.floor(ms / 1_000)
  const [unit = 's', factor = 1_000] =
    Object.entries(factors).findLast(([, each]) => (seconds * 1_000) % each === 0) ?? []
  return seconds === 0 ? '0s' : `${(seconds * 1_000) / factor}${unit}`
}
