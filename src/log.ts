/**
 * Two kinds of output: `debug` lines, one per operation, seen with DEBUG=dfs:*; and notices, which a
 * person must know (a server went down, repair is done) and which are printed always.
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

/** Prints one line for people, with the time in front. */
export function notice(line: string): void {
  write(`${new Date().toISOString()} ${withVisibleBytes(line)}`)
}

/** Sends the notices somewhere else than to standard error. */
export function redirectNotices(to: (line: string) => void): void {
  write = to
}
