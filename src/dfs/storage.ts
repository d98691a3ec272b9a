/**
 * Where a server keeps everything: a folder of the disk, or memory in a simulation. The folder holds
 * the server's identity, its lock, and one folder per user.
 */
import { existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Clock, Random } from '../clock.js'
import { asDfsError, DfsError } from '../errors.js'
import { PageMemory } from '../page-memory.js'
import { bootId } from './boot.js'
import { makeFolder, syncFolder } from './durable.js'
import { type FolderLock, lockFolder } from './folder-lock.js'
import { FolderPieces } from './folder-pieces.js'
import { Identity } from './identity.js'
import { AccountIndex } from './index.js'
import { MemoryPieces } from './memory-pieces.js'
import type { PieceStore } from './piece-store.js'
import { FileVoteLog, MemoryVoteLog, type VoteLog } from './vote-log.js'

export interface AccountStorage {
  readonly index: AccountIndex
  readonly pieces: PieceStore
  readonly votes: VoteLog
  /** The start of the machine that this was opened in. */
  readonly boot: string
  /** The file that the index is in: not the same for a copy of it. */
  readonly file: string
  /** In place of `limits.lateCountAtOnce`. */
  readonly lateCountAtOnce?: number
  close(): void
}

export interface Storage {
  readonly identity: Identity
  /** For parts of pieces, if they go to a disk. */
  readonly memory?: PageMemory
  /** The user's part, made on first use. Its owner closes it before it is opened again. */
  openAccount(user: string): AccountStorage
  /** The user's index is damaged: out of the way with it, so that the next one begins blank. */
  setAside(user: string): void
  close(): void
}

/** Throws `configuration` when the folder cannot be made or used, `busy` when it is in use. */
export function folderStorage(folder: string, random: Random): Storage {
  const lock = lockOf(folder)
  try {
    const identity = Identity.open(folder, random)
    const memory = new PageMemory()
    return {
      identity,
      memory,
      openAccount: (user) => openFolder(folder, user, identity, memory),
      setAside: (user) => setAside(join(folder, user)),
      close: lock.release,
    }
  } catch (thrown) {
    lock.release()
    throw thrown
  }
}

/** Survives the server that uses it, as a disk does: open accounts with another server to restart. */
export function memoryStorage(random: Random, clock: Clock): Storage {
  const accounts = new Map<string, AccountStorage>()
  const identity = Identity.inMemory(random)
  return {
    identity,
    openAccount(user) {
      const known = accounts.get(user)
      if (known !== undefined) return known
      const index = AccountIndex.open(
        ':memory:',
        () => identity.position,
        () => clock.now(),
      )
      const pieces = new MemoryPieces(() => clock.now())
      const votes = new MemoryVoteLog()
      const account: AccountStorage = {
        index,
        pieces,
        votes,
        boot: 'memory',
        file: 'memory',
        // Fewer than ever wait at once, so that both cases come.
        lateCountAtOnce: 2,
        close: () => {},
      }
      accounts.set(user, account)
      return account
    },
    setAside: (user) => void accounts.delete(user),
    close: () => {},
  }
}

function lockOf(folder: string): FolderLock {
  try {
    makeFolder(resolve(folder))
    if (!statSync(folder).isDirectory()) {
      throw new DfsError('configuration', `${folder}: cannot be a server's folder: it is a file`)
    }
    return lockFolder(folder)
  } catch (thrown) {
    if (thrown instanceof DfsError) throw thrown
    const why = asDfsError(thrown).message
    throw new DfsError('configuration', `${folder}: cannot be a server's folder: ${why}`, {
      cause: thrown,
    })
  }
}

/** Kept for somebody who looks at it; there is only the latest. */
function setAside(own: string): void {
  for (const name of ['index.db', 'index.db-wal', 'votes']) {
    const file = join(own, name)
    if (existsSync(file)) renameSync(file, `${file}.damaged`)
  }
  rmSync(join(own, 'index.db-shm'), { force: true })
  syncFolder(own)
}

function openFolder(
  folder: string,
  user: string,
  identity: Identity,
  memory: PageMemory,
): AccountStorage {
  const own = join(folder, user)
  const isNew = !existsSync(own)
  makeFolder(own)
  const pieces = new FolderPieces(own, memory)
  const index = AccountIndex.open(join(own, 'index.db'), () => identity.position)
  const file = fileOf(join(own, 'index.db'))
  const votes = new FileVoteLog(join(own, 'votes'))
  // Both have just made files that a sync relies on.
  syncFolder(own)
  if (isNew) syncFolder(folder)
  const close = (): void => {
    const isOnDisk = index.close()
    votes.close(isOnDisk)
  }
  return { index, pieces, votes, boot: bootId(), file, close }
}

/** Its number, and when it was made, where the file system tells: numbers are given again. */
function fileOf(path: string): string {
  const { ino, birthtimeNs } = statSync(path, { bigint: true })
  return `${ino} ${birthtimeNs}`
}
