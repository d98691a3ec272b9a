/**
 * Two kinds of output: `debug` lines, one per operation, seen with DEBUG=dfs:*; and notices, which a user must see (a
 * server went down, repair is done) and which are always printed.
 */
import debug from 'debug'
import { visibleLine } from './visible-text.js'

export const debugFuse = debug('dfs:fuse')
export const debugDfc = debug('dfs:dfc')
export const debugDfs = debug('dfs:dfs')
export const debugWire = debug('dfs:wire')

let write = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

/** Prints one line for users, with the time in front. What others have put into it cannot act on a terminal. */
export function notice(line: string): void {
  write(`${new Date().toISOString()} ${visibleLine(line)}`)
}

/** Redirects the notices from standard error to `to`. */
export function redirectNotices(to: (line: string) => void): void {
  write = to
}
