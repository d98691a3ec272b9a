/**
 * Where a server keeps everything: a folder of the disk, or memory in a simulation. The folder holds
 * the server's identity, its lock, and one folder per user.
 */
import assert from 'node:assert/strict'
import { chmodSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Clock, Random } from '../../clock.js'
import { exists, makeFolder, syncFolder } from '../../durable.js'
import { sentenceOf } from '../../error-message.js'
import { asDfsError, DfsError } from '../../errors.js'
import { debugDfs } from '../../log.js'
import { PageMemory } from '../../memory/page-memory.js'
import { bootId } from '../disk/boot.js'
import { type FolderLock, lockFolder } from '../disk/folder-lock.js'
import { Identity } from '../disk/identity.js'
import { Membership } from '../disk/membership.js'
import { AccountFolder, type AccountHistory, noHistory } from '../index/account-history.js'
import { AccountIndex } from '../index/account-index.js'
import { FolderPieces } from '../pieces/folder-pieces.js'
import { MemoryPieces } from '../pieces/memory-pieces.js'
import type { PieceStore } from '../pieces/piece-store.js'
import { FileVoteLog, MemoryVoteLog, type VoteLog } from '../quorum/vote-log.js'

export interface AccountStorage {
  readonly index: AccountIndex
  readonly pieces: PieceStore
  readonly votes: VoteLog
  readonly history: AccountHistory
  readonly membership: Membership
  /** The start of the machine that this was opened in. */
  readonly boot: string
  /** The file that the index is in: not the same for a copy of it. */
  readonly file: string
  /** Votes written in one turn, in place of `limits.lateCountAtOnce`. */
  readonly lateCountAtOnce?: number
  close(): void
}

export interface Storage {
  readonly identity: Identity
  /** For parts of pieces, if they go to a disk. */
  readonly memory?: PageMemory
  /** Opens the user's part, made on first use. Its owner closes it before it is opened again. */
  openAccount(user: string): AccountStorage
  /**
   * Reads all of the user's index, which is not open, and looks whether it is whole. Throws `damaged` when it is
   * not, and `disk` when it cannot be read: that says nothing about it.
   */
  examine(user: string): Promise<void>
  /** Moves the user's index, which is damaged, out of the way. The next one says that the account is lost. */
  setAside(user: string): void
  /**
   * Finds an index of a lost account that was set aside and is intact after all. The function returned puts it
   * back, and is called when the account has been closed.
   */
  findAside(user: string): Promise<(() => void) | undefined>
  /** Notes on the disk that it may have dropped what was written to the user's index last. */
  distrust(user: string): void
  close(): void
}

/** Throws `configuration` when the folder cannot be made or used, `busy` when it is in use. */
export function folderStorage(folder: string, random: Random): Storage {
  const lock = lockOf(folder)
  try {
    const identity = Identity.open(folder, random)
    const memory = new PageMemory()
    const open = new Set<string>()
    const folderOf = (user: string): AccountFolder => {
      assert(!open.has(user), 'the index of an open account is its own')
      return new AccountFolder(join(folder, user))
    }
    return {
      identity,
      memory,
      openAccount(user) {
        assert(!open.has(user), 'an account is closed before it is opened again')
        const account = openFolder(folder, user, identity, memory)
        open.add(user)
        return {
          ...account,
          close() {
            open.delete(user)
            account.close()
          },
        }
      },
      examine: (user) => folderOf(user).examine(),
      setAside: (user) => folderOf(user).setAside(),
      findAside: (user) => findAside(new AccountFolder(join(folder, user))),
      distrust: (user) => new AccountFolder(join(folder, user)).distrust(),
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
  const founded = new Set<string>()
  const memberships = new Map<string, Membership>()
  const identity = Identity.inMemory(random)
  return {
    identity,
    openAccount(user) {
      const known = accounts.get(user)
      if (known !== undefined) return known
      const membership = memberships.get(user) ?? Membership.inMemory()
      memberships.set(user, membership)
      const index = AccountIndex.open(
        ':memory:',
        () => membership.position,
        () => clock.now(),
      )
      const pieces = new MemoryPieces(() => clock.now())
      const votes = new MemoryVoteLog()
      const account: AccountStorage = {
        index,
        pieces,
        votes,
        membership,
        history: {
          ...noHistory,
          wasHere: founded.has(user),
          markFounded: () => void founded.add(user),
        },
        boot: 'memory',
        file: 'memory',
        // Fewer than ever wait at once, so that both cases come.
        lateCountAtOnce: 2,
        close: () => {},
      }
      accounts.set(user, account)
      return account
    },
    async examine(user) {
      const index = accounts.get(user)?.index
      await index?.assertSound()
    },
    setAside: (user) => void accounts.delete(user),
    findAside: async () => undefined,
    distrust: () => {},
    close: () => {},
  }
}

function lockOf(folder: string): FolderLock {
  try {
    makeFolder(resolve(folder))
    if (!statSync(folder).isDirectory()) {
      throw new DfsError(
        'configuration',
        `${folder}: cannot be a server's folder: it is not a folder`,
      )
    }
    return lockFolder(folder)
  } catch (thrown) {
    if (thrown instanceof DfsError) throw thrown
    const why = `${folder}: cannot be a server's folder: ${sentenceOf(thrown)}`
    throw new DfsError(asDfsError(thrown).code, why, { cause: thrown })
  }
}

/** Finds the newest index that is intact; one that cannot be read now is looked at another time. */
async function findAside(account: AccountFolder): Promise<(() => void) | undefined> {
  for (const aside of account.asides()) {
    try {
      await account.examine(aside)
      return () => account.takeBack(aside)
    } catch (thrown) {
      debugDfs('%s: %o', aside, thrown)
    }
  }
  return undefined
}

function openFolder(
  folder: string,
  user: string,
  identity: Identity,
  memory: PageMemory,
): AccountStorage {
  const own = join(folder, user)
  const isNew = !exists(own)
  // Before anything is made in it.
  const history = new AccountFolder(own)
  makeFolder(own)
  // Everything of the account is in it, with whatever mode an older version or a copy has given to the files.
  chmodSync(own, 0o700)
  const pieces = new FolderPieces(own, memory)
  const membership = Membership.open(own, history.wasHere ? identity.place : undefined)
  const index = AccountIndex.open(join(own, 'index.db'), () => membership.position)
  const file = fileOf(join(own, 'index.db'))
  const votes = new FileVoteLog(join(own, 'votes'))
  // Both have just made files that a sync relies on.
  syncFolder(own)
  if (isNew) syncFolder(folder)
  const close = (): void => {
    let isOnDisk = false
    try {
      isOnDisk = index.close()
    } finally {
      votes.close(isOnDisk)
    }
  }
  return { index, pieces, votes, history, membership, boot: bootId(), file, close }
}

/** Names a file by its number and, where the file system tells, when it was made: numbers are given again. */
function fileOf(path: string): string {
  const { ino, birthtimeNs } = statSync(path, { bigint: true })
  return `${ino} ${birthtimeNs}`
}
