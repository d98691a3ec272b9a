/**
 * Three kinds of output: `debug` lines, one per operation, seen with DEBUG=dfs:*; notices (a server went down, repair is
 * done), which a program may show elsewhere; and warnings that something which keeps a user safe does not, which are
 * always shown.
 */
import { format } from 'node:util'
import debug, { type Debugger } from 'debug'
import { visibleLine } from './visible-text.js'

export const debugFuse = debugLines('dfs:fuse')
export const debugDfc = debugLines('dfs:dfc')
export const debugDfs = debugLines('dfs:dfs')
export const debugWire = debugLines('dfs:wire')

/** Makes a function that prints one line for each call. What others have put into it cannot act on a terminal. */
function debugLines(namespace: string): Debugger {
  const log = (...words: readonly unknown[]): void => {
    process.stderr.write(`${visibleLine(format(...words))}\n`)
  }
  // Colours act on a terminal as well.
  return Object.assign(debug(namespace), { log, useColors: false })
}

let write = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

/** Prints one line for users, with the time in front. What others have put into it cannot act on a terminal. */
export function notice(line: string): void {
  write(`${new Date().toISOString()} ${visibleLine(line)}`)
}

let writeWarning = notice

/** Warns users that something which keeps them safe does not. Without another place for it, it is a notice. */
export function warning(line: string): void {
  writeWarning(line)
}

/** Has `to` show the warnings, also where notices go elsewhere. */
export function redirectWarnings(to: (line: string) => void): void {
  writeWarning = to
}

/** Redirects the notices from standard error to `to`. */
export function redirectNotices(to: (line: string) => void): void {
  write = to
}
