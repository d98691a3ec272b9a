/**
 * Tells whether standard input and output can be used. Node opens /dev/null in the place of one that is closed; bin/dfc
 * is there before, and opens it for the other direction, so that a use of it fails.
 */
import { readFileSync } from 'node:fs'
import { DfsError } from '../../errors.js'

/** O_ACCMODE of open(2), and the modes of the descriptor that do not serve. */
const accessMask = 3
const readOnly = 0
const writeOnly = 1

/** Throws `invalid` when standard input is closed: what is stored would be empty. */
export function assertInputIsOpen(): void {
  if (accessModeOf(0) !== writeOnly) return
  throw new DfsError('invalid', 'standard input is closed, or not open for reading')
}

/** Throws `invalid` when standard output is closed: what is written would be lost. */
export function assertOutputIsOpen(): void {
  if (accessModeOf(1) !== readOnly) return
  throw new DfsError('invalid', 'standard output is closed, or not open for writing')
}

function accessModeOf(descriptor: number): number {
  const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1')
  const flags = /^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? '2'
  return Number.parseInt(flags, 8) & accessMask
}
