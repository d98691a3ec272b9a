/**
 * The log of a program, and how much each line of it matters: `debug` lines, one per operation, seen with
 * DEBUG=dfs:*; notices (a server went down, repair is done), which a program may show elsewhere; and warnings that
 * something which keeps a user safe does not, which are always shown.
 *
 * A line goes to standard error, or to a file (log-file.ts). There it begins with the time and its level. The journal
 * of systemd has the time by itself and takes the level as `<4>` in front (sd-daemon(3)).
 */
import { fstatSync } from 'node:fs'
import { format } from 'node:util'
import debug, { type Debugger } from 'debug'
import { DfsError } from './errors.js'
import { LogFile } from './log-file.js'
import { RepeatedLines } from './repeated-lines.js'
import { visibleLine } from './visible-text.js'

/** `error`: data, or all service, is at stake. `warning`: someone should look. `info`: what happened. */
export type Level = 'error' | 'warning' | 'info' | 'debug'

/** The numbers of levels in the journal, as in syslog(3). */
const priorities: Readonly<Record<Level, number>> = { error: 3, warning: 4, info: 6, debug: 7 }
const standardError = 2

export const debugFuse = debugLines('dfs:fuse')
export const debugDfc = debugLines('dfs:dfc')
export const debugDfs = debugLines('dfs:dfs')
export const debugWire = debugLines('dfs:wire')

let file: LogFile | undefined
const repeated = new RepeatedLines<Level>(put)
let write = (_line: string, level: Level, kind: string | undefined, text: string): void => {
  repeated.tell(text, level, kind)
}

/** Makes a function that prints one line for each call. What others have put into it cannot act on a terminal. */
function debugLines(namespace: string): Debugger {
  const log = (...words: readonly unknown[]): void => {
    // Every line of the log has its time from `put`.
    put(visibleLine(format(...words)).replace(/^\S+Z /, ''), 'debug')
  }
  // Colours act on a terminal as well.
  return Object.assign(debug(namespace), { log, useColors: false })
}

/** Writes a line as its reader wants it. */
function put(text: string, level: Level): void {
  if (file !== undefined) file.write(`${now()} ${level} ${text}\n`)
  else if (isJournal()) process.stderr.write(`<${priorities[level]}>${text}\n`)
  else process.stderr.write(`${now()} ${level} ${text}\n`)
}

function now(): string {
  return new Date().toISOString()
}

let journal: boolean | undefined

/** Whether standard error is the journal of systemd, which says so with the file's device and inode number. */
export function isJournal(): boolean {
  journal ??= isStream(process.env.JOURNAL_STREAM, standardError)
  return journal
}

function isStream(named: string | undefined, fd: number): boolean {
  if (named === undefined) return false
  try {
    const { dev, ino } = fstatSync(fd)
    return named === `${dev}:${ino}`
  } catch {
    return false
  }
}

/**
 * Has all lines go to this file from now on. Returns how to open it anew, as a program does that is sent SIGHUP. Throws
 * `configuration` when the file cannot be written.
 */
export function logTo(path: string): () => void {
  try {
    const opened = new LogFile(path)
    file = opened
    return () => opened.reopen()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new DfsError('configuration', `the log cannot be written: ${why}`, { cause })
  }
}

/**
 * Prints one line for users. What others have put into it cannot act on a terminal. Lines of one `kind` are one cause:
 * of many of them some are printed, and the others counted under that name.
 */
export function notice(line: string, level: Level = 'info', kind?: string): void {
  const text = visibleLine(line)
  write(`${now()} ${text}`, level, kind, text)
}

/** Prints why a program ends: as a command says it on standard error, and in the journal as an error. */
export function complain(line: string): void {
  process.stderr.write(`${isJournal() ? `<${priorities.error}>` : ''}${visibleLine(line)}\n`)
}

let writeWarning = (line: string): void => notice(line, 'warning')

/** Warns users that something which keeps them safe does not. Without another place for it, it is a notice. */
export function warning(line: string): void {
  writeWarning(line)
}

/** Has `to` show the warnings, also where notices go elsewhere. */
export function redirectWarnings(to: (line: string) => void): void {
  writeWarning = to
}

/** Redirects the notices, each with the time in front, from the log to `to`. There none is counted. */
export function redirectNotices(
  to: (line: string, level: Level, kind: string | undefined) => void,
): void {
  write = to
}
