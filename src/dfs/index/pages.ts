/** Tables are walked a page of rows at a time, with other work between the pages. */
import { promisify } from 'node:util'

/** Rows of a page. Inodes may be large: this many are read before their size is looked at. */
export const rowsAtOnce = 128

/** A wait between two pages. */
export type Pause = () => Promise<unknown>
export const nextTurn: Pause = promisify(setImmediate)
