/**
 * Keeps two processes from serving one folder, or from editing one file. Node has no flock(2), so an exclusive
 * transaction of SQLite on an empty database stands in: a POSIX record lock that the kernel drops with the process,
 * kill -9 included, and that holds between containers which share the folder. The file stays empty, and stays.
 */
import { chmodSync, closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { DfsError } from '../../errors.js'

export interface FolderLock {
  release(): void
}

/** Throws `busy` when another server has the folder. */
export function lockFolder(folder: string): FolderLock {
  return lockFile(join(folder, 'lock.db'), 0, `${folder} is in use by another server`)
}

/** Waits for at most `waitMs`, and then throws `busy` with the message `taken`. */
export function lockFile(file: string, waitMs: number, taken: string): FolderLock {
  makePrivate(file)
  const database = new Database(file, { timeout: waitMs })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    const code = (cause as { code?: unknown }).code
    if (typeof code !== 'string' || !code.startsWith('SQLITE_BUSY')) throw cause
    throw new DfsError('busy', taken, { cause })
  }
  return { release: () => void database.close() }
}

/** Makes the file readable by its owner alone: a reader could hold a lock on it for ever, and SQLite lets everybody read. */
function makePrivate(file: string): void {
  closeSync(openSync(file, 'a', 0o600))
  try {
    chmodSync(file, 0o600)
  } catch (thrown) {
    // It belongs to somebody else, such as root.
    if ((thrown as NodeJS.ErrnoException).code !== 'EPERM') throw thrown
  }
}
