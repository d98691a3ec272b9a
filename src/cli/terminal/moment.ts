/** Times of the past as users type them: a date, a time of a day, or how long ago. Pure. */
import { parseDuration } from '../../duration.js'
import { DfsError } from '../../errors.js'

const rule =
  'a time such as 2026-11-28T14:30:00Z, "2026-11-28 14:30", 2026-11-28, or how long ago: 90s, 10m, "2h ago", 7d'

/**
 * Parses a time to ms since 1970. A date means its first moment; without a zone, a time is that of this machine. Throws
 * `invalid`, naming the `option`.
 */
export function parseMoment(text: string, nowMs: number, option: string): number {
  const ago = parseDuration(text.trim().replace(/\s*ago$/, ''))
  const ms = ago === undefined ? parseDate(text.trim()) : nowMs - ago
  if (ms === undefined) throw new DfsError('invalid', `${option} ${text}: expected ${rule}`)
  if (ms > nowMs) throw new DfsError('invalid', `${option} ${text}: that is in the future`)
  return ms
}

/** RFC 3339, with a blank for the T, and without seconds, zone or time of day. */
const form =
  /^(\d{4}-(\d\d)-(\d\d))(?:[Tt ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)([Zz]|[+-]\d\d:\d\d)?)?$/

function parseDate(text: string): number | undefined {
  const [, day = '', month, date, time = '00:00', zone = ''] = form.exec(text) ?? []
  // A 31st of February is not one of March.
  const utc = new Date(`${day}T00:00:00Z`)
  if (utc.getUTCMonth() + 1 !== Number(month) || utc.getUTCDate() !== Number(date)) return undefined
  const ms = Date.parse(`${day}T${time}${zone.toUpperCase()}`)
  return Number.isNaN(ms) ? undefined : ms
}
