/**
 * The index of one account on one server, in SQLite: registers, transaction records, the pieces held and the
 * references to their segments. Synchronous and deterministic. It stores and finds; the acceptor decides what
 * may be stored. The tables are described in docs/storage.md.
 */
import assert from 'node:assert/strict'
import { debugDfs, notice } from '../../log.js'
import { noVersion, type Version } from '../../wire/version.js'
import { storageError } from '../disk/storage-error.js'
import { AccountDatabase } from './database.js'
import { FolderTable } from './folders.js'
import type { Pause } from './pages.js'
import { PieceTable } from './pieces.js'
import { RecordTable } from './records.js'
import { RegisterTable } from './registers.js'
import { SegmentTable } from './segments.js'
import { StateTable } from './state.js'
import { Totals } from './totals.js'

/**
 * Tells a wall time that does not jump when the clock of the machine is set: what is an hour old is not a day
 * old then.
 */
const steadyNow = (): number => performance.timeOrigin + performance.now()

/** Called with what becomes of each group: `ended` in order, stored or left open, or `undone`. */
export interface GroupFollower {
  readonly ended: (isStored: boolean) => void
  readonly undone: () => void
}

const stateNames = [
  'state',
  'session',
  'epoch',
  'incarnation',
  'fence',
  'floor',
  'open',
  'file',
  'lease',
]

export class AccountIndex {
  readonly state: StateTable
  readonly totals: Totals
  readonly registers: RegisterTable
  readonly folders: FolderTable
  readonly records: RecordTable
  readonly segments: SegmentTable
  readonly pieces: PieceTable
  readonly #db: AccountDatabase
  readonly #now: () => number
  #closed = false
  #isOnDisk = false
  #boot: string | undefined
  #follower: GroupFollower | undefined

  private constructor(path: string, position: () => number | null, now: () => number) {
    this.#now = now
    this.#db = new AccountDatabase(path)
    try {
      this.state = new StateTable(this.#db)
      this.totals = new Totals(this.#db, this.state)
      this.folders = new FolderTable(this.#db)
      this.records = new RecordTable(this.#db)
      this.segments = new SegmentTable(this.#db, this.state, position, () => this.now())
      this.pieces = new PieceTable(this.#db, this.segments, this.totals)
      this.registers = new RegisterTable(this.#db, this.folders, this.segments, this.totals)
    } catch (thrown) {
      this.#db.close()
      throw thrown
    }
    this.#db.onRollback(() => this.#follower?.undone())
    this.#db.onEnd((isStored) => this.#follower?.ended(isStored))
  }

  /**
   * Opens or creates the index at `path` (':memory:' for a simulation). `position` of the
   * server in its cluster, 0..3, or null while it has none; `now` in ms since 1970. Throws `damaged`
   * when what is there cannot be an index any more.
   */
  static open(
    path: string,
    position: () => number | null = () => 0,
    now: () => number = steadyNow,
  ): AccountIndex {
    try {
      return new AccountIndex(path, position, now)
    } catch (thrown) {
      throw storageError(thrown)
    }
  }

  /** See `AccountDatabase.group`: all of `work` is stored, or nothing. */
  group<T>(work: () => T, leaveOpen = false): T {
    return this.#db.group(work, leaveOpen)
  }

  /** Stops the program where no group is running. */
  assertInGroup(): void {
    this.#db.assertInGroup()
  }

  /** Stores what is left open with the running group, whether that changes anything or not. */
  storeOpen(): void {
    this.#db.storeOpen()
  }

  /** Undoes what is left open, as the end of the process does. */
  rollBack(): void {
    this.#db.rollBack()
  }

  /** In whole milliseconds since 1970, by this server's clock. */
  now(): number {
    return Math.floor(this.#now())
  }

  /**
   * Calls `follower` from now on, in the place of the one before: an index in memory outlasts the server that
   * used it.
   */
  follow(follower: GroupFollower): void {
    this.#follower = follower
  }

  /** Syncs the running group to the disk before it ends. */
  syncBeforeReply(): void {
    this.#db.syncBeforeReply()
  }

  /**
   * Whether the machine was started anew since this index was open last and was not closed, so that
   * what was answered last may be missing. From now on it counts as open in this `boot`.
   */
  openedUnclean(boot: string): boolean {
    const before = this.state.get('open')
    this.group(() => {
      this.state.set('open', boot)
      this.syncBeforeReply()
    })
    this.#boot = boot
    return before !== undefined && before !== '' && before !== boot
  }

  /**
   * Whether this is another `file` than the index was in when it was open last: a copy, whose age is not
   * known. From now on it is in this one.
   */
  isCopy(file: string): boolean {
    const before = this.state.get('file')
    if (before === file) return false
    this.group(() => {
      this.state.set('file', file)
      this.syncBeforeReply()
    })
    return before !== undefined
  }

  /**
   * Looks, a little at a time, whether what is summed up of segments fits the inodes that refer to them
   * and the pieces that are here, and sums it up anew where it does not.
   */
  async checkSums(pause?: Pause): Promise<void> {
    const { registers, segments } = this
    if ((await registers.areReferencesRight(pause)) && (await segments.areSumsRight(pause))) return
    notice('the segment totals of an index are wrong; computing them again', 'warning')
    this.group(() =>
      this.#db.write((write) => {
        this.registers.sumUpReferences(write, noVersion)
        this.segments.sumUpHeld(write)
      }),
    )
  }

  /** Reads all of it, which takes its time. Throws `damaged` when its structure is broken. */
  assertWhole(): void {
    this.#db.assertWhole()
  }

  /**
   * Looks at all that an account must be able to read to be opened, and whether registers are found by their
   * versions. Throws `damaged` when something of it is broken or has rotted.
   */
  async assertSound(): Promise<void> {
    this.assertWhole()
    for (const name of stateNames) this.state.get(name)
    this.records.undecided()
    await this.registers.assertListed()
  }

  /** Drops tombstones and records up to a version that all four servers agree on. */
  dropUpTo(floor: Version): void {
    this.assertInGroup()
    assert(floor > noVersion, 'nothing is below no version')
    this.registers.dropUpTo(floor)
    this.records.dropUpTo(floor)
  }

  /** Resolves when every group that has returned is on the disk. */
  sync(): Promise<void> {
    return this.#db.sync()
  }

  /** True when all that was answered is on the disk. */
  close(): boolean {
    if (this.#closed) return this.#isOnDisk
    this.#closed = true
    if (this.#boot !== undefined) this.#isOnDisk = this.#closeClean()
    this.#db.close()
    return this.#isOnDisk
  }

  /**
   * Notes that the index was closed. Where a full disk keeps this from being noted, the next boot is careful.
   */
  #closeClean(): boolean {
    try {
      this.group(() => {
        this.state.set('open', '')
        this.syncBeforeReply()
      })
      return true
    } catch (error) {
      debugDfs('%s: not closed cleanly: %o', this.#db.name, error)
      return false
    }
  }
}
