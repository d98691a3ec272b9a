/**
 * The history of an account, which a server keeps beside its index, so that an index that is gone is never taken
 * for an account that never was: that it was founded, what was set aside of it, and whether the disk may have
 * dropped what it was to sync.
 */
import { type Dirent, readdirSync, renameSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { exists, makeFolder, syncFolder, writeDurably } from '../../durable.js'
import { DfsError } from '../../errors.js'
import { storageError } from '../disk/storage-error.js'
import { AccountIndex } from './account-index.js'

export interface AccountHistory {
  /** An account was here before: where its index is gone it is lost, and not new. */
  readonly wasHere: boolean
  /** Remembers, on the disk, that an account is here from now on. */
  markFounded(): void
  /** True when the disk may have dropped what was written last: see `distrust`. */
  readonly isDistrusted: boolean
  /** The account has been told that it is distrusted, and that is on the disk. */
  trust(): void
}

/** The history of an account that is in memory only. */
export const noHistory: AccountHistory = {
  wasHere: false,
  markFounded() {},
  isDistrusted: false,
  trust() {},
}

/** The files that are one state of an account only together. */
const indexFiles = ['index.db', 'index.db-wal', 'votes'] as const
const readBytes = 1024 * 1024

/** The folder of one account: all but its pieces. `folder` need not be there yet. */
export class AccountFolder implements AccountHistory {
  readonly folder: string
  readonly wasHere: boolean
  readonly #founded: string
  readonly #distrusted: string
  readonly #damaged: string

  /** Throws what the disk says when it cannot tell what is there. */
  constructor(folder: string) {
    this.folder = folder
    this.#founded = join(folder, 'founded')
    this.#distrusted = join(folder, 'unsynced')
    this.#damaged = join(folder, 'damaged')
    this.wasHere = exists(this.#founded) || this.asides().length > 0 || this.#hasPieces()
  }

  markFounded(): void {
    if (exists(this.#founded)) return
    writeDurably(
      this.#founded,
      'An account was founded here: it is not new without its index.\n',
      0o600,
    )
  }

  get isDistrusted(): boolean {
    return exists(this.#distrusted)
  }

  trust(): void {
    rmSync(this.#distrusted, { force: true })
    syncFolder(this.folder)
  }

  /** Notes that what was written here last may not be on the disk: repair has to confirm what is. */
  distrust(): void {
    writeDurably(this.#distrusted, 'The disk may have dropped what was written last.\n', 0o600)
  }

  /** Lists the folders that were set aside, the newest first. */
  asides(): readonly string[] {
    if (!exists(this.#damaged)) return []
    const numbers = readdirSync(this.#damaged).filter((name) => /^\d+$/.test(name))
    return numbers.sort((a, b) => Number(b) - Number(a)).map((name) => join(this.#damaged, name))
  }

  /** Moves the index and its logs out of the way. Nothing that was set aside before is touched. */
  setAside(): void {
    const [newest = join(this.#damaged, '0')] = this.asides()
    const aside = join(this.#damaged, String(Number(newest.slice(this.#damaged.length + 1)) + 1))
    makeFolder(aside)
    moveFiles(this.folder, aside)
    rmSync(join(this.folder, 'index.db-shm'), { force: true })
    syncFolder(this.#damaged)
  }

  /** Puts back what was set aside, in the place of the index that was begun without it. */
  takeBack(aside: string): void {
    this.distrust()
    this.setAside()
    moveFiles(aside, this.folder)
    rmSync(aside, { recursive: true })
  }

  /**
   * Reads every byte of the index and its logs, and then looks whether they are whole. `at`: the account's
   * folder, or one that was set aside. Throws `disk` when something cannot be read, which says nothing
   * about the data, and `damaged` when all of it can and it is not an index.
   */
  async examine(at = this.folder): Promise<void> {
    try {
      for (const name of indexFiles) await readThrough(join(at, name))
    } catch (thrown) {
      throw storageError(thrown)
    }
    if (!exists(join(at, 'index.db'))) throw new DfsError('damaged', 'there is no index')
    const index = AccountIndex.open(join(at, 'index.db'))
    try {
      await index.assertSound()
      const state = index.state.get('state')
      // What was begun in the place of a lost index has nothing that would be missed.
      if (at !== this.folder && state !== 'voting' && state !== 'unsure') {
        throw new DfsError('damaged', 'it contains no account')
      }
    } catch (thrown) {
      throw storageError(thrown)
    } finally {
      index.close()
    }
  }

  #hasPieces(): boolean {
    const pieces = join(this.folder, 'pieces')
    return exists(pieces) && foldersIn(pieces).some((one) => readdirSync(one).length > 0)
  }
}

function foldersIn(folder: string): readonly string[] {
  const isFolder = (entry: Dirent): boolean => entry.isDirectory()
  const found = readdirSync(folder, { withFileTypes: true })
  return found.filter(isFolder).map(({ name }) => join(folder, name))
}

/** Moves the files of an account, the index last: without it nothing is taken for an account. */
function moveFiles(from: string, to: string): void {
  for (const name of indexFiles.toReversed()) {
    if (exists(join(from, name))) renameSync(join(from, name), join(to, name))
  }
  syncFolder(to)
  syncFolder(from)
}

/** Reads a file to its end, if there is one. */
async function readThrough(path: string): Promise<void> {
  if (!exists(path)) return
  const file = await open(path, 'r')
  try {
    const buffer = Buffer.allocUnsafe(readBytes)
    while ((await file.read(buffer, 0, readBytes, null)).bytesRead > 0);
  } finally {
    await file.close()
  }
}
