/**
 * Failures of SQLite and of the disk, in our words. Three things are kept apart: a disk that is full, a disk
 * that does not work, and data that is damaged. Only the last one says anything about the data.
 */
import { DfsError } from '../../errors.js'

/** Codes of a disk that does not work, or that cannot be written at all. */
const diskCodes = new Set([
  'EIO',
  'EROFS',
  'ENXIO',
  'ENODEV',
  'EUCLEAN',
  'ESTALE',
  'ENOTCONN',
  'ETIMEDOUT',
  'EACCES',
  'EPERM',
])

/** SQLite's names of the same, each with names behind it that say where it happened. */
const diskPrefixes = ['SQLITE_IOERR', 'SQLITE_CANTOPEN', 'SQLITE_READONLY'] as const

/**
 * The failure of a disk as a DfsError: `noSpace` where it is full, `damaged` where SQLite finds that what it
 * has read cannot be right, `disk` where it could not be read or written. Anything else is returned as it is.
 */
export function storageError(thrown: unknown): unknown {
  const { code } = (thrown ?? {}) as { code?: unknown }
  if (typeof code !== 'string' || thrown instanceof DfsError) return thrown
  const { syscall = '', message = code } = thrown as { syscall?: string; message?: string }
  const as = (code: 'noSpace' | 'damaged' | 'disk', text?: string): DfsError =>
    new DfsError(code, text, { cause: thrown })
  if (code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'EDQUOT') return as('noSpace')
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') return as('damaged', message)
  const isDisk = diskCodes.has(code) || diskPrefixes.some((prefix) => code.startsWith(prefix))
  // What a client is told names no path of the server.
  const what = syscall === '' ? code : `${code} in ${syscall}`
  return isDisk ? as('disk', `The disk of the server failed: ${what}`) : thrown
}

/** True for the failure of an fsync: the kernel may have dropped what was to be synced. */
export function isSyncFailure({ cause }: DfsError): boolean {
  const { code, syscall } = (cause ?? {}) as { code?: unknown; syscall?: unknown }
  const isOfSqlite = code === 'SQLITE_IOERR_FSYNC' || code === 'SQLITE_IOERR_DIR_FSYNC'
  return isOfSqlite || syscall === 'fsync' || syscall === 'fdatasync'
}
