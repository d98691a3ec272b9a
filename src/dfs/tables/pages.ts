/** Tables are walked a page of rows at a time, with other work between the pages. */
import { promisify } from 'node:util'

/** Inodes may be large: so many are read before their size is looked at. */
export const rowsAtOnce = 128
export const nextTurn = promisify(setImmediate)
