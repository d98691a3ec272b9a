/**
 * The SQLite database of an account: what arrives together is one transaction, all of which is undone
 * when a part of it could not be stored; and what has been written gets to the disk.
 */
import assert from 'node:assert/strict'
import { closeSync, fdatasyncSync, openSync } from 'node:fs'
import Database from 'better-sqlite3'
import { DfsError, isError } from '../../errors.js'
import { FileSync } from '../disk/file-sync.js'
import { storageError } from '../disk/storage-error.js'
import { bringTablesUpToDate } from './schema.js'

/**
 * Where the database is between two groups, and inside one:
 *
 *             group               write
 *     idle ----------> reading -----------> writing <---+
 *      ^                  |                    |        |
 *      |                  +----------+---------+        | write, storeOpen
 *      |                             v                  |
 *      +-------------------------- ended <-------- readingOpen
 *                                   |  ^                ^
 *                                   v  | rollBack       | group
 *                                 leftOpen -------------+
 *
 * In `writing`, `leftOpen` and `readingOpen` a transaction of SQLite is open. `ended` lasts while notes are
 * called about a group that was stored, left open or undone; nothing is written then.
 */
type State = 'idle' | 'leftOpen' | 'reading' | 'readingOpen' | 'writing' | 'ended'

const nextStates: Readonly<Record<State, readonly State[]>> = {
  idle: ['reading'],
  leftOpen: ['readingOpen', 'ended'],
  reading: ['writing', 'ended'],
  readingOpen: ['writing', 'ended'],
  writing: ['ended'],
  ended: ['idle', 'leftOpen'],
}

declare const proof: unique symbol

/** Proof that a write is running: only `AccountDatabase.write` has one to give, to what runs in it. */
export interface Write {
  readonly [proof]: true
}

const running = {} as Write

export class AccountDatabase {
  readonly #db: Database.Database
  readonly #walFile: number | undefined
  readonly #disk: FileSync | undefined
  readonly #begin: Database.Statement
  readonly #commit: Database.Statement
  readonly #rollback: Database.Statement
  readonly #onRollback: (() => void)[] = []
  readonly #beforeCommit: (() => void)[] = []
  readonly #onEnd: ((isStored: boolean) => void)[] = []
  #state: State = 'idle'
  /** The running group is synced before it ends. */
  #mustSync = false
  /** The first failure of a write in the running group. */
  #failure: unknown

  /** `path` may be ':memory:'. */
  constructor(path: string) {
    this.#db = new Database(path)
    try {
      // One process has a server's folder; without sharing, SQLite needs no locks of its own.
      this.#db.pragma('locking_mode = EXCLUSIVE')
      this.#db.pragma('journal_mode = WAL')
      this.#db.pragma('synchronous = NORMAL')
      // All clients wait for a checkpoint: with fewer pages it comes more often, and takes no more in all.
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

  /** Defines a function for statements, which gives the same for the same values. */
  define(name: string, work: (...values: unknown[]) => unknown): void {
    this.#db.function(name, { deterministic: true }, work)
  }

  /**
   * Runs `work` in one SQLite transaction; inside another group it joins that one. When anything in
   * it could not be stored, all of the outermost group is undone, what was registered with `onRollback` is
   * called, and the failure is thrown: `noSpace` on a full disk. With `leaveOpen` what it changes
   * is stored, or undone, together with what the next group changes that is not to be left open.
   */
  group<T>(work: () => T, leaveOpen = false): T {
    if (this.#isInGroup) return work()
    this.#become(this.#state === 'leftOpen' ? 'readingOpen' : 'reading')
    this.#failure = undefined
    this.#mustSync = false
    try {
      const result = work()
      this.#end(leaveOpen)
      return result
    } catch (thrown) {
      throw this.#undo(storageError(this.#failure ?? thrown))
    }
  }

  /** Stores what the running group has changed, or leaves it open, and says so. */
  #end(leaveOpen: boolean): void {
    if (this.#failure !== undefined) throw this.#failure
    let isOpen = this.#state !== 'reading'
    assert.equal(this.#db.inTransaction, isOpen)
    if (this.#state === 'writing' && !leaveOpen) {
      for (const change of this.#beforeCommit) change()
      this.#commit.run()
      this.#disk?.wrote()
      isOpen = false
    }
    if (this.#mustSync && this.#walFile !== undefined) {
      fdatasyncSync(this.#walFile)
      this.#disk?.isSynced()
    }
    this.#become('ended')
    for (const note of this.#onEnd) note(!isOpen)
    this.#become(isOpen ? 'leftOpen' : 'idle')
  }

  /** Undoes what is open, and returns what is to be thrown: `failure`, or what a disk said meanwhile. */
  #undo(failure: unknown): unknown {
    if (this.#state !== 'ended') this.#become('ended')
    try {
      // SQLite has done it by itself where the disk failed.
      if (this.#db.inTransaction) this.#rollback.run()
      for (const undo of this.#onRollback) undo()
      return failure
    } catch (further) {
      // What a disk says that does not work is more than what was undone for it.
      return isError(failure, 'disk') ? failure : storageError(further)
    } finally {
      this.#become(this.#db.inTransaction ? 'leftOpen' : 'idle')
    }
  }

  /** Runs a change and remembers its failure, so that the group cannot overlook it. */
  write(change: (write: Write) => void): void {
    if (!this.#isInGroup) {
      this.group(() => this.write(change))
      return
    }
    try {
      if (this.#state !== 'writing') this.#become('writing')
      // A group that only reads and votes has none, nor has one whose disk has failed.
      if (!this.#db.inTransaction) this.#begin.run()
      change(running)
    } catch (thrown) {
      this.#failure ??= thrown
      throw storageError(thrown)
    }
  }

  get #isInGroup(): boolean {
    return this.#state !== 'idle' && this.#state !== 'leftOpen'
  }

  #become(state: State): void {
    if (!nextStates[this.#state].includes(state)) assert.fail(`${this.#state} to ${state}`)
    this.#state = state
  }

  /** Stops the program where no group is running. */
  assertInGroup(): void {
    assert.ok(this.#isInGroup, 'outside of a group')
  }

  /** Stores what is left open with the running group, whether that changes anything or not. */
  storeOpen(): void {
    this.assertInGroup()
    if (this.#state === 'readingOpen') this.#become('writing')
  }

  /** Undoes what is left open, as the end of the process does. */
  rollBack(): void {
    if (this.#state !== 'leftOpen') return
    const failure = this.#undo(undefined)
    if (failure !== undefined) throw failure
  }

  /** Calls `undo` whenever a group was rolled back: what was derived from it must be read again. */
  onRollback(undo: () => void): void {
    this.#onRollback.push(undo)
  }

  /** Calls `change` before a group is stored: what it changes is stored with it. */
  beforeCommit(change: () => void): void {
    this.#beforeCommit.push(change)
  }

  /**
   * Calls `note` whenever a group has ended in order: everything is stored, or some of it is left open. What
   * `note` throws is thrown by the group.
   */
  onEnd(note: (isStored: boolean) => void): void {
    this.#onEnd.push(note)
  }

  /** Syncs the running group to the disk before it ends. */
  syncBeforeReply(): void {
    this.assertInGroup()
    this.#mustSync = true
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
