/**
 * Keeps two processes from serving one folder. Node has no flock(2), so an exclusive transaction of
 * SQLite on an empty database stands in: a POSIX record lock that the kernel drops with the process,
 * kill -9 included, and that holds between containers which share the folder.
 */
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { DfsError } from '../../errors.js'

export interface FolderLock {
  release(): void
}

/** Throws `busy` when another server has the folder. */
export function lockFolder(folder: string): FolderLock {
  const database = new Database(join(folder, 'lock.db'), { timeout: 0 })
  try {
    database.pragma('locking_mode = EXCLUSIVE')
    database.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    const code = (cause as { code?: unknown }).code
    if (typeof code !== 'string' || !code.startsWith('SQLITE_BUSY')) throw cause
    throw new DfsError('busy', `${folder} is in use by another server`, { cause })
  }
  return { release: () => void database.close() }
}
