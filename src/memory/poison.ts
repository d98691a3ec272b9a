/**
 * Memory that is given back is overwritten with a pattern where DFS_POISON is set, as in the tests, or
 * DEBUG names something of this program: whoever looks at it all the same sees wrong bytes at once, and not
 * only when somebody else has taken it. It costs a pass over what is given back, so that it is off else.
 */
import { debugDfc, debugDfs, debugFuse, debugWire } from '../log.js'

/** No text, no zeros, and not even. */
export const poisonByte = 0xdb

export type Poison = (released: Uint8Array) => void

const none: Poison = () => {}
const overwrite: Poison = (released) => void released.fill(poisonByte)

/** What is done to memory that is given back; asked for once by each part that lends some. */
export function poisonOf(environment = process.env): Poison {
  const debugs = [debugDfc, debugDfs, debugFuse, debugWire]
  const isOn = (environment.DFS_POISON ?? '') !== '' || debugs.some(({ enabled }) => enabled)
  return isOn ? overwrite : none
}
