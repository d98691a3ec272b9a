/**
 * The SQLite database of an account: what arrives together is one transaction, all of which is undone
 * when a part of it could not be stored; and what has been written gets to the disk.
 */
import { closeSync, fdatasyncSync, openSync } from 'node:fs'
import Database from 'better-sqlite3'
import { DfsError, isError } from '../../errors.js'
import { FileSync } from '../disk/file-sync.js'
import { storageError } from '../disk/storage-error.js'
import { bringTablesUpToDate } from './schema.js'

export class AccountDatabase {
  readonly #db: Database.Database
  readonly #walFile: number | undefined
  readonly #disk: FileSync | undefined
  readonly #begin: Database.Statement
  readonly #commit: Database.Statement
  readonly #rollback: Database.Statement
  readonly #onRollback: (() => void)[] = []
  readonly #beforeCommit: (() => void)[] = []
  readonly #onCommit: (() => void)[] = []
  readonly #onEnd: (() => void)[] = []
  #depth = 0
  /** The running group has changed something. */
  #isChanged = false
  #syncBeforeReply = false
  #failure: unknown

  /** `path` may be ':memory:'. */
  constructor(path: string) {
    this.#db = new Database(path)
    try {
      // One process has a server's folder; without sharing, SQLite needs no locks of its own.
      this.#db.pragma('locking_mode = EXCLUSIVE')
      this.#db.pragma('journal_mode = WAL')
      this.#db.pragma('synchronous = NORMAL')
      // Everybody waits for one: with fewer pages it comes more often, and takes no more in all.
      this.#db.pragma('wal_autocheckpoint = 2500')
      this.#db.pragma('cache_size = -8000')
      bringTablesUpToDate(this.#db, path)
      this.#begin = this.#db.prepare('BEGIN')
      this.#commit = this.#db.prepare('COMMIT')
      this.#rollback = this.#db.prepare('ROLLBACK')
    } catch (thrown) {
      this.#db.close()
      throw thrown
    }
    this.#walFile = path === ':memory:' ? undefined : openSync(`${path}-wal`, 'r+')
    this.#disk = this.#walFile === undefined ? undefined : new FileSync(this.#walFile)
    // What the tables were made or brought up to date with.
    this.#disk?.wrote()
  }

  get name(): string {
    return this.#db.name
  }

  prepare(statement: string): Database.Statement {
    return this.#db.prepare(statement)
  }

  /** A function for statements, which gives the same for the same. */
  define(name: string, work: (...values: unknown[]) => unknown): void {
    this.#db.function(name, { deterministic: true }, work)
  }

  /**
   * Runs `work` in one SQLite transaction; inside another group it joins that one. When anything in
   * it could not be stored, all of the outermost group is undone, its owners are told through
   * `onRollback`, and the failure is thrown: `noSpace` on a full disk. With `leaveOpen` what it changes
   * is stored, or undone, together with what the next group changes that is not to be left open.
   */
  group<T>(work: () => T, leaveOpen = false): T {
    if (this.#depth > 0) return work()
    this.#failure = undefined
    this.#syncBeforeReply = false
    this.#isChanged = false
    this.#depth = 1
    try {
      const result = work()
      if (this.#failure !== undefined) throw this.#failure
      if (this.#isChanged && !leaveOpen) {
        for (const change of this.#beforeCommit) change()
        this.#commit.run()
        this.#disk?.wrote()
      }
      if (this.#syncBeforeReply && this.#walFile !== undefined) {
        fdatasyncSync(this.#walFile)
        this.#disk?.isSynced()
      }
      if (!this.#db.inTransaction) for (const note of this.#onCommit) note()
      for (const note of this.#onEnd) note()
      return result
    } catch (thrown) {
      const failure = storageError(this.#failure ?? thrown)
      try {
        if (this.#db.inTransaction) this.#rollback.run()
        for (const undo of this.#onRollback) undo()
      } catch (further) {
        // What a disk says that does not work is more than what was undone for it.
        throw isError(failure, 'disk') ? failure : storageError(further)
      }
      throw failure
    } finally {
      this.#depth = 0
    }
  }

  /** Runs a change and remembers its failure, so that nobody can overlook it. */
  write(change: () => void): void {
    try {
      if (this.#depth > 0) {
        // A group that only reads and votes needs no transaction.
        if (!this.#db.inTransaction) this.#begin.run()
        this.#isChanged = true
        change()
      } else this.group(() => this.write(change))
    } catch (thrown) {
      this.#failure ??= thrown
      throw storageError(thrown)
    }
  }

  /** What a group has changed waits for another group to be stored. */
  get isLeftOpen(): boolean {
    return this.#db.inTransaction
  }

  /** What is left open is stored with the running group, whether that changes anything or not. */
  storeOpen(): void {
    this.#isChanged ||= this.#db.inTransaction
  }

  /** As when the process ends while something is left open. */
  rollBack(): void {
    if (!this.#db.inTransaction) return
    this.#rollback.run()
    for (const undo of this.#onRollback) undo()
  }

  /** Calls `undo` whenever a group was rolled back: what was derived from it must be read again. */
  onRollback(undo: () => void): void {
    this.#onRollback.push(undo)
  }

  /** Calls `change` before a group is stored: what it changes is stored with it. */
  beforeCommit(change: () => void): void {
    this.#beforeCommit.push(change)
  }

  /** Calls `note` whenever a group was stored. */
  onCommit(note: () => void): void {
    this.#onCommit.push(note)
  }

  /** Calls `note` after that, also when it was left open. What it throws is thrown to whoever ran the group. */
  onEnd(note: () => void): void {
    this.#onEnd.push(note)
  }

  /** The group that is running is on the disk before it returns. */
  syncBeforeReply(): void {
    this.#syncBeforeReply = true
  }

  /**
   * Reads all of it, which takes its time. Throws `damaged` when its structure is broken, `disk` when it
   * cannot be read.
   */
  assertWhole(): void {
    try {
      const found = this.#db.pragma('quick_check(1)', { simple: true })
      if (found !== 'ok') throw new DfsError('damaged', `${found}`)
    } catch (thrown) {
      throw storageError(thrown)
    }
  }

  /** Resolves when every group that has returned is on the disk. */
  async sync(): Promise<void> {
    await this.#disk?.sync()
  }

  /** Closes all that is open, also when closing a part of it fails. */
  close(): void {
    try {
      if (this.#walFile !== undefined) closeSync(this.#walFile)
    } finally {
      this.#db.close()
    }
  }
}
