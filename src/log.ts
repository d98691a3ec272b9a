/**
 * Two kinds of output: `debug` lines, one per operation, seen with DEBUG=dfs:*; and notices, which a user must see (a
 * server went down, repair is done) and which are always printed.
 */
import debug from 'debug'
import { withVisibleBytes } from './byte-text.js'

export const debugFuse = debug('dfs:fuse')
export const debugDfc = debug('dfs:dfc')
export const debugDfs = debug('dfs:dfs')
export const debugWire = debug('dfs:wire')

let write = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

/** Prints one line for users, with the time in front. */
export function notice(line: string): void {
  write(`${new Date().toISOString()} ${withVisibleBytes(line)}`)
}

/** Redirects the notices from standard error to `to`. */
export function redirectNotices(to: (line: string) => void): void {
  write = to
}
