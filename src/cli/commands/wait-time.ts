/** The time of the option --wait. */
import { DfsError } from '../../errors.js'

const unitsMs: Readonly<Record<string, number>> = { '': 1000, s: 1000, m: 60_000, h: 3_600_000 }

/** Parses a time such as 90s, 10m or 2h to ms. Throws `invalid`. */
export function waitMsOf(time: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([smh]?)$/.exec(time) ?? []
  if (number !== '') return Number(number) * (unitsMs[unit] ?? 1000)
  const expected = 'expected a number followed by s, m or h, such as 90s'
  throw new DfsError('invalid', `--wait ${time}: ${expected}`)
}
