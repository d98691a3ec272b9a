/**
 * Overwrites memory that is given back with a pattern, if DFS_POISON is set, as in the tests, or DEBUG names
 * something of this program. A reader that still uses the memory then sees wrong bytes at once, and not only
 * when the memory is in use again. It is off otherwise, because it costs a pass over all that is given back.
 */
import { debugDfc, debugDfs, debugFuse, debugWire } from '../log.js'

/** The byte of the pattern: no text, not zero, and odd. */
export const poisonByte = 0xdb

export type Poison = (released: Uint8Array) => void

const none: Poison = () => {}
const overwrite: Poison = (released) => void released.fill(poisonByte)

/** Returns the function to call with memory that is given back. Each lender of memory calls this once. */
export function poisonOf(environment = process.env): Poison {
  const debugs = [debugDfc, debugDfs, debugFuse, debugWire]
  const isOn = (environment.DFS_POISON ?? '') !== '' || debugs.some(({ enabled }) => enabled)
  return isOn ? overwrite : none
}
