/**
 * Describes in words how far a clock is off. A wrong clock of one server does no harm, since the others outvote it,
 * but the log names it.
 */
import { limits } from '../../limits.js'

const units = [
  ['days', 24 * 3600_000],
  ['hours', 3600_000],
  ['minutes', 60_000],
] as const

/**
 * Returns a text such as "20 minutes behind" for a clock that is `aheadMs` ahead of the others, or undefined when it
 * is right.
 */
export function offsetText(aheadMs: number): string | undefined {
  const offMs = Math.abs(aheadMs)
  if (offMs <= limits.clockOffsetMsMax) return undefined
  const [unit, unitMs] = units.find(([, ms]) => offMs >= 2 * ms) ?? ['minutes', 60_000]
  const way = aheadMs > 0 ? 'ahead of' : 'behind'
  return `${Math.round(offMs / unitMs)} ${unit} ${way}`
}
