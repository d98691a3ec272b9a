/** The time of the option --wait. */
import { parseWait } from '../../duration.js'
import { DfsError } from '../../errors.js'

/** Parses the time of --wait to ms. Throws `invalid`. */
export function waitMsOf(time: string): number {
  const ms = parseWait(time)
  if (ms !== undefined) return ms
  const expected = 'expected seconds, or a number followed by s, m or h, such as 10m'
  throw new DfsError('invalid', `--wait ${time}: ${expected}`)
}
