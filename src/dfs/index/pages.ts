/** Tables are walked a page of rows at a time, with other work between the pages. */
import { promisify } from 'node:util'

/** Inodes may be large: so many are read before their size is looked at. */
export const rowsAtOnce = 128

/** What is waited for between two pages. */
export type Pause = () => Promise<unknown>
export const nextTurn: Pause = promisify(setImmediate)
