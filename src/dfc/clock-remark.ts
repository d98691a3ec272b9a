/**
 * What is said of a server whose clock is off. It harms nothing: versions, sweeps and times of files are
 * by the clocks of clients, and a server measures by its own how long it has had something. But whoever
 * reads its log wants to know.
 */
import { limits } from '../limits.js'

const units = [
  ['days', 24 * 3600_000],
  ['hours', 3600_000],
  ['minutes', 60_000],
] as const

/**
 * Undefined when the server's time lies between the two of the client, give or take a minute; all in
 * ms since 1970.
 */
export function clockRemark(timeMs: number, askedMs: number, nowMs: number): string | undefined {
  const aheadMs = timeMs - Math.max(askedMs, nowMs)
  const behindMs = Math.min(askedMs, nowMs) - timeMs
  const offMs = Math.max(aheadMs, behindMs)
  if (offMs <= limits.clockOffsetMsMax) return undefined
  const [unit, unitMs] = units.find(([, ms]) => offMs >= 2 * ms) ?? ['minutes', 60_000]
  const way = aheadMs > 0 ? 'ahead of' : 'behind'
  return `its clock is ${Math.round(offMs / unitMs)} ${unit} ${way} that of this machine`
}
