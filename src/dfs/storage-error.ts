/** What SQLite and the disk throw, in our words. */
import { DfsError } from '../errors.js'

/** A full disk has several names in SQLite, and so has damage; everything else is a fault. */
export function storageError(thrown: unknown): unknown {
  const code = (thrown as { code?: unknown } | null)?.code
  if (typeof code !== 'string' || thrown instanceof DfsError) return thrown
  if (code === 'SQLITE_FULL' || code === 'SQLITE_IOERR_WRITE' || code === 'ENOSPC') {
    return new DfsError('noSpace', undefined, { cause: thrown })
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return new DfsError('damaged', (thrown as Error).message, { cause: thrown })
  }
  return thrown
}
