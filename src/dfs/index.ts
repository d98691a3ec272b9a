/**
 * What one account knows on one server, in SQLite: registers, transaction records, the pieces held
 * and the references to their segments. Synchronous and deterministic. It stores and finds; what may
 * be stored is decided by the acceptor. The tables are described in docs/storage.md.
 */
import { closeSync, fdatasyncSync, openSync } from 'node:fs'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import { debugDfs, notice } from '../log.js'
import { homeMask, maskOf } from '../wire/placement.js'
import {
  decodeEntry,
  decodeInode,
  encodeEntry,
  entryKey,
  fileType,
  inodeKey,
  type Key,
  parseKey,
  type Segment,
} from '../wire/records.js'
import { laterOf, noVersion, type Version } from '../wire/version.js'
import { FileSync } from './file-sync.js'
import { RecentRegisters, type StoredRegister } from './recent-registers.js'
import {
  type EntryRow,
  entryChecksum,
  type InodeRow,
  inodeChecksum,
  isWholeEntry,
  isWholeInode,
  linksOf,
  recordChecksum,
  stateChecksum,
} from './row-checksums.js'
import { storageError } from './storage-error.js'

const folderType = fileType.folder >> 12

/** Raised with every change of the tables that an older program could not read. */
const schemaVersion = 3

const schema = `
CREATE TABLE IF NOT EXISTS state (
  name TEXT PRIMARY KEY, value NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inodes (
  ino INTEGER PRIMARY KEY, version TEXT NOT NULL, value BLOB, links INTEGER, checksum INTEGER);
CREATE INDEX IF NOT EXISTS inodes_version ON inodes (version);
CREATE TABLE IF NOT EXISTS entries (
  parent INTEGER NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
  ino INTEGER, type INTEGER, checksum INTEGER, PRIMARY KEY (parent, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_version ON entries (version);
CREATE TABLE IF NOT EXISTS folders (
  ino INTEGER PRIMARY KEY, touched TEXT NOT NULL, live INTEGER NOT NULL, subfolders INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS records (
  id TEXT PRIMARY KEY, body BLOB, yes INTEGER NOT NULL DEFAULT 0, promised INTEGER NOT NULL DEFAULT 0,
  accepted INTEGER NOT NULL DEFAULT 0, accepted_commit INTEGER NOT NULL DEFAULT 0,
  ever_commit INTEGER NOT NULL DEFAULT 0, decision INTEGER, checksum INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_undecided ON records (id) WHERE decision IS NULL;
CREATE INDEX IF NOT EXISTS inodes_dead ON inodes (version) WHERE value IS NULL;
CREATE INDEX IF NOT EXISTS inodes_orphans ON inodes (version) WHERE links = 0;
CREATE INDEX IF NOT EXISTS entries_dead ON entries (version) WHERE ino IS NULL;
CREATE TABLE IF NOT EXISTS segments (
  segment TEXT PRIMARY KEY, refs INTEGER NOT NULL, held INTEGER NOT NULL, length INTEGER NOT NULL,
  md5 TEXT NOT NULL, released TEXT NOT NULL, met INTEGER NOT NULL, home INTEGER NOT NULL DEFAULT 0)
  WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS segments_dead ON segments (released, met) WHERE refs = 0;
CREATE INDEX IF NOT EXISTS segments_misplaced ON segments (segment)
  WHERE refs > 0 AND held <> home;
CREATE TABLE IF NOT EXISTS pieces (
  segment TEXT NOT NULL, piece INTEGER NOT NULL, length INTEGER NOT NULL, checksums BLOB NOT NULL,
  content INTEGER, PRIMARY KEY (segment, piece)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
`

interface CheckedRegister extends StoredRegister {
  readonly checksum: number | null
}

export interface StoredFolder {
  readonly touched: Version
  readonly live: number
  readonly subfolders: number
}

export interface StoredEntry {
  readonly name: string
  readonly version: Version
  /** null for a tombstone. */
  readonly ino: number | null
  readonly type: number
  readonly inode: StoredRegister
}

/** A register that changed; what its value is has to be asked for. */
export interface ChangedRegister {
  readonly key: Key
  readonly version: Version
  /** About what the value takes. */
  readonly bytes: number
  /** Of key, version and value. */
  readonly checksum: number
}

interface Place {
  readonly key: Key
  readonly version: Version
  readonly bytes: number
}

export interface StoredRecord {
  readonly id: Version
  readonly body: Buffer | null
  readonly yes: boolean
  readonly promised: number
  readonly accepted: number
  readonly acceptedCommit: boolean
  readonly everCommit: boolean
  /** null while undecided. */
  readonly commit: boolean | null
}

interface ListedRow {
  readonly name: string
  readonly version: Version
  readonly ino: number | null
  readonly type: number
  readonly checksum: number
  readonly inodeVersion: Version | null
  readonly inodeValue: Buffer | null
  readonly inodeChecksum: number | null
}

interface RecordRow {
  readonly id: Version
  readonly body: Buffer | null
  readonly yes: number
  readonly promised: number
  readonly accepted: number
  readonly accepted_commit: number
  readonly ever_commit: number
  readonly decision: number | null
  readonly checksum: number
}

interface ChangedInode {
  readonly ino: number
  readonly version: Version
  /** Of the value. */
  readonly bytes: number
}

interface ChangedEntry {
  readonly parent: number
  readonly name: string
  readonly version: Version
}

interface SegmentRow {
  readonly segment: string
  readonly length: number
  readonly md5: string
  readonly refs: number
}

interface SummedUpRow extends SegmentRow {
  readonly home: number
  readonly isHeldRight: number
}

interface Totals {
  pieces: number
  bytes: number
  /** Live inodes and entries. */
  registers: number
}

export interface StoredPieceRow {
  /** In bytes. */
  readonly length: number
  readonly checksums: readonly number[]
  /** Where the bytes of a small piece are; null when they are in a file. */
  readonly content: number | null
}

const never: CheckedRegister = { version: noVersion, value: null, checksum: null }
const none = Buffer.alloc(0)
/** Inodes may be large: so many are read before their size is looked at. */
const rowsAtOnce = 128
const entryBytes = 9
const nextTurn = promisify(setImmediate)
const noDigest = '0'.repeat(32)
/** The bits of the pieces of a row of `segments` that are here. */
const heldSum = `(
  SELECT coalesce(sum(1 << (piece - 1)), 0) FROM pieces WHERE pieces.segment = segments.segment)`
const emptyFolder: StoredFolder = { touched: noVersion, live: 0, subfolders: 0 }

/** Does not jump when the clock of the machine is set: what is an hour old is not a day old then. */
const steadyNow = (): number => performance.timeOrigin + performance.now()

export class AccountIndex {
  readonly #db: Database.Database
  readonly #walFile: number | undefined
  readonly #disk: FileSync | undefined
  readonly #now: () => number
  readonly #position: () => number | null
  /** The position that what is stored of pieces' homes was worked out for. */
  #homePosition: number | undefined
  readonly #statements
  readonly #onRollback: (() => void)[] = []
  readonly #onCommit: (() => void)[] = []
  /** Registers that were found rotten and have not been restored since. */
  readonly #rotten = new Set<Key>()
  readonly #recent = new RecentRegisters()
  /** Segments of which nothing is known here, so that who stores the first piece need not ask again. */
  readonly #unknownSegments = new Set<string>()
  /** At least the id of the newest record: most ids that are asked for are newer. */
  #newestRecord: Version
  /** A register was restored whose old value is not known: references may be counted too high. */
  #mayMiscount = false
  /** Counted when the index opens and kept with every change. */
  #totals: Totals
  #depth = 0
  #syncBeforeReply = false
  #failure: unknown
  #closed = false
  #boot: string | undefined

  private constructor(path: string, position: () => number | null, now: () => number) {
    this.#position = position
    this.#now = now
    this.#db = new Database(path)
    try {
      // One process has a server's folder; without sharing, SQLite needs no locks of its own.
      this.#db.pragma('locking_mode = EXCLUSIVE')
      this.#db.pragma('journal_mode = WAL')
      this.#db.pragma('synchronous = NORMAL')
      this.#db.pragma('wal_autocheckpoint = 10000')
      this.#db.pragma('cache_size = -8000')
      bringUpToDate(this.#db, path)
      this.#db.exec(schema)
      this.#statements = prepare(this.#db)
      this.#totals = this.#countTotals()
      this.#newestRecord = this.#statements.newestRecord.get() as Version
    } catch (thrown) {
      this.#db.close()
      throw thrown
    }
    this.#walFile = path === ':memory:' ? undefined : openSync(`${path}-wal`, 'r+')
    this.#disk = this.#walFile === undefined ? undefined : new FileSync(this.#walFile)
    // What the tables were made or brought up to date with.
    this.#disk?.wrote()
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

  /**
   * Runs `work` in one SQLite transaction; inside another group it joins that one. When anything in
   * it could not be stored, all of the outermost group is undone, its owners are told through
   * `onRollback`, and the failure is thrown: `noSpace` on a full disk.
   */
  group<T>(work: () => T): T {
    if (this.#depth > 0) return work()
    this.#failure = undefined
    this.#syncBeforeReply = false
    this.#depth = 1
    let totals = { ...this.#totals }
    try {
      const result = work()
      if (this.#failure !== undefined) throw this.#failure
      if (this.#db.inTransaction) {
        this.#statements.commit.run()
        this.#disk?.wrote()
      }
      if (this.#syncBeforeReply && this.#walFile !== undefined) {
        fdatasyncSync(this.#walFile)
        this.#disk?.isSynced()
      }
      totals = { ...this.#totals }
      for (const note of this.#onCommit) note()
      return result
    } catch (thrown) {
      if (this.#db.inTransaction) this.#statements.rollback.run()
      this.#totals = totals
      this.#homePosition = undefined
      this.#recent.clear()
      this.#unknownSegments.clear()
      for (const undo of this.#onRollback) undo()
      throw storageError(this.#failure ?? thrown)
    } finally {
      this.#depth = 0
    }
  }

  /** In whole milliseconds since 1970, by this server's clock. */
  now(): number {
    return Math.floor(this.#now())
  }

  /** Calls `undo` whenever a group was rolled back: what was derived from it must be read again. */
  onRollback(undo: () => void): void {
    this.#onRollback.push(undo)
  }

  /** Calls `note` whenever a group was stored. */
  onCommit(note: () => void): void {
    this.#onCommit.push(note)
  }

  /** The group that is running is on the disk before it returns. */
  syncBeforeReply(): void {
    this.#syncBeforeReply = true
  }

  /**
   * Whether the machine was started anew since this index was open last and was not closed, so that
   * what was answered last may be missing. From now on it counts as open in this `boot`.
   */
  openedUnclean(boot: string): boolean {
    const before = this.state('open')
    this.group(() => {
      this.setState('open', boot)
      this.syncBeforeReply()
    })
    this.#boot = boot
    return before !== undefined && before !== '' && before !== boot
  }

  /**
   * Whether this is another `file` than the index was in when it was open last: a copy, of which nobody
   * knows how old it is. From now on it is in this one.
   */
  isCopy(file: string): boolean {
    const before = this.state('file')
    if (before === file) return false
    this.group(() => {
      this.setState('file', file)
      this.syncBeforeReply()
    })
    return before !== undefined
  }

  /**
   * Looks, a little at a time, whether what is summed up of segments fits the inodes that refer to them
   * and the pieces that are here, and sums it up anew where it does not.
   */
  async checkSums(): Promise<void> {
    if (await this.#areSumsRight()) return
    notice('what an index says of its segments has rotted: it is summed up anew')
    this.group(() =>
      this.#write(() => {
        this.#sumUpReferences(noVersion)
        this.#statements.sumUpHeld.run()
      }),
    )
  }

  async #areSumsRight(): Promise<boolean> {
    const { inodesAfter, segmentOf, summedUp } = this.#statements
    for (let after = -1; ; ) {
      const rows = inodesAfter.all(after, rowsAtOnce) as (InodeRow & { ino: number })[]
      for (const row of rows) {
        if (row.value === null || !isWholeInode(row.ino, row)) continue
        for (const { id, length, md5 } of decodeInode(row.value).segments) {
          const known = segmentOf.get(id) as SegmentRow | undefined
          if (known?.length !== length || known.md5 !== md5 || known.refs <= 0) return false
        }
      }
      after = rows.at(-1)?.ino ?? after
      if (rows.length < rowsAtOnce) break
      await nextTurn()
    }
    for (let after = ''; ; ) {
      const rows = summedUp.all(after, rowsAtOnce) as SummedUpRow[]
      const isRight = ({ refs, length, md5, home, isHeldRight }: SummedUpRow): boolean =>
        isHeldRight === 1 && (refs <= 0 || home === this.#homeOf(length, md5))
      if (!rows.every(isRight)) return false
      after = rows.at(-1)?.segment ?? after
      if (rows.length < rowsAtOnce) return true
      await nextTurn()
    }
  }

  /** Throws `damaged` when a register would not be found by its version. */
  assertListed(): void {
    const { inodesByRow, inodesByVersion, entriesByRow, entriesByVersion } = this.#statements
    const isListed =
      inodesByRow.get() === inodesByVersion.get() && entriesByRow.get() === entriesByVersion.get()
    if (!isListed) rottenRow('an index')
  }

  /** Reads all of it, which takes its time. Throws `damaged` when its structure is broken. */
  assertWhole(): void {
    const found = this.#db.pragma('quick_check(1)', { simple: true })
    if (found !== 'ok') throw new DfsError('damaged', `${found}`)
  }

  // -- state -------------------------------------------------------------------------------------

  state(name: string): string | number | undefined {
    const row = this.#statements.getState.get(name) as
      | { value: string | number; checksum: number }
      | undefined
    if (row !== undefined && row.checksum !== stateChecksum(name, row.value)) rottenRow('the state')
    return row?.value
  }

  setState(name: string, value: string | number): void {
    this.#write(() => this.#statements.setState.run(name, value, stateChecksum(name, value)))
  }

  // -- registers ---------------------------------------------------------------------------------

  /** Throws `corrupt` when it has rotted: then nobody here knows even its version. */
  register(key: Key): StoredRegister {
    return this.recentRegister(key) ?? this.#rot(key)
  }

  /** Undefined when it has rotted, unless it was read or written a moment ago. */
  recentRegister(key: Key): StoredRegister | undefined {
    const recent = this.#recent.get(key)
    if (recent !== undefined) return recent
    const stored = this.wholeRegister(key)
    if (stored !== undefined) this.#recent.set(key, stored)
    return stored
  }

  /** As it is on the disk; undefined when it has rotted. */
  wholeRegister(key: Key): CheckedRegister | undefined {
    const parsed = parseKey(key)
    if (parsed.kind === 'inode') {
      const row = this.#inodeRow(parsed.ino)
      if (row === undefined) return never
      return isWholeInode(parsed.ino, row) ? row : undefined
    }
    const row = this.#entryRow(parsed.parent, parsed.name)
    if (row === undefined) return never
    if (!isWholeEntry(parsed.parent, parsed.name, row)) return undefined
    const { version, checksum } = row
    return { version, value: entryValue(row.ino, row.type), checksum }
  }

  inode(ino: number): StoredRegister {
    const row = this.#inodeRow(ino)
    if (row === undefined) return never
    return isWholeInode(ino, row) ? row : this.#rot(inodeKey(ino))
  }

  entry(parent: number, name: string): StoredRegister {
    const row = this.#entryRow(parent, name)
    if (row === undefined) return never
    if (!isWholeEntry(parent, name, row)) return this.#rot(entryKey(parent, name))
    return { version: row.version, value: entryValue(row.ino, row.type) }
  }

  #inodeRow(ino: number): InodeRow | undefined {
    return this.#statements.getInode.get(ino) as InodeRow | undefined
  }

  #entryRow(parent: number, name: string): EntryRow | undefined {
    return this.#statements.getEntry.get(parent, name) as EntryRow | undefined
  }

  /** Registers that somebody came across and that have rotted. */
  rottenKeys(): ReadonlySet<Key> {
    return this.#rotten
  }

  #rot(key: Key): never {
    this.#noteRotten(key)
    throw new DfsError('corrupt', 'A register has rotted on the disk of this server')
  }

  #noteRotten(key: Key): void {
    this.#recent.delete(key)
    if (this.#rotten.size >= limits.badCopiesMax) return
    if (this.#rotten.size === 0) notice(`a register has rotted on the disk: ${JSON.stringify(key)}`)
    this.#rotten.add(key)
  }

  folder(ino: number): StoredFolder {
    return (this.#statements.getFolder.get(ino) as StoredFolder | undefined) ?? emptyFolder
  }

  /**
   * Up to `limit` entries of a folder behind the name `after`, in byte order, with their inodes. It
   * ends earlier, but not with the first few, when the inodes together are more than `bytesMax`.
   */
  entries(parent: number, after: string, limit: number, bytesMax: number): StoredEntry[] {
    const entries: StoredEntry[] = []
    let bytes = 0
    while (entries.length < limit && bytes <= bytesMax) {
      const from = entries.at(-1)?.name ?? after
      const wanted = Math.min(rowsAtOnce, limit - entries.length)
      const rows = this.#statements.listEntries.all(parent, from, wanted) as ListedRow[]
      for (const row of rows) {
        const { name, version, ino, type } = row
        if (!isWholeEntry(parent, name, row)) this.#rot(entryKey(parent, name))
        const inode = this.#listedInode(row)
        entries.push({ name, version, ino, type, inode })
        bytes += inode.value?.length ?? 0
      }
      if (rows.length < wanted) break
    }
    return entries
  }

  #listedInode({ ino, inodeVersion, inodeValue, inodeChecksum }: ListedRow): StoredRegister {
    if (ino === null || inodeVersion === null) return never
    const row = { version: inodeVersion, value: inodeValue, checksum: inodeChecksum }
    return isWholeInode(ino, row) ? row : this.#rot(inodeKey(ino))
  }

  /** A name in the folder with a live entry, if there is one. */
  someLiveName(parent: number): string | undefined {
    return (this.#statements.liveName.get(parent) as { name: string } | undefined)?.name
  }

  /**
   * Stores a decided value, whatever was there, and keeps what is derived from it: the folder's
   * summary for an entry, the references to segments for an inode. `before` is what is there, for who
   * has just read it.
   */
  setRegister(
    key: Key,
    version: Version,
    value: Buffer | null,
    before: StoredRegister = this.register(key),
  ): void {
    const parsed = parseKey(key)
    this.#write(() => {
      if (parsed.kind === 'inode') this.#setInode(parsed.ino, version, value, before)
      else this.#setEntry(parsed.parent, parsed.name, version, value, before)
      this.#recent.set(key, { version, value })
    })
  }

  /**
   * A decided value that was replaced before it came here. Pieces that came with the vote for it are
   * garbage, unless something else refers to them.
   */
  passOver(key: Key, version: Version, value: Buffer): void {
    if (parseKey(key).kind !== 'inode') return
    this.#write(() => {
      for (const { id } of decodeInode(value).segments) this.#statements.passOver.run(version, id)
    })
  }

  #setInode(ino: number, version: Version, value: Buffer | null, before: StoredRegister): void {
    const { putInode, dropFolder } = this.#statements
    this.#countReferences(before.value, value, version)
    putInode.run(ino, version, value, linksOf(value), inodeChecksum(ino, version, value))
    if (value === null) dropFolder.run(ino)
    this.#totals.registers += Number(value !== null) - Number(before.value !== null)
  }

  #setEntry(
    parent: number,
    name: string,
    version: Version,
    value: Buffer | null,
    before: StoredRegister,
  ): void {
    const { putEntry, touchFolder } = this.#statements
    const was = before.value === null ? undefined : decodeEntry(before.value)
    const entry = value === null ? undefined : decodeEntry(value)
    const [ino, type] = [entry?.ino ?? null, entry?.type ?? 0]
    const checksum = entryChecksum(parent, name, { version, ino, type })
    putEntry.run(parent, name, version, ino, type, checksum)
    const live = Number(entry !== undefined) - Number(was !== undefined)
    const subfolders = Number(entry?.type === folderType) - Number(was?.type === folderType)
    touchFolder.run(parent, version, live, subfolders)
    this.#totals.registers += live
  }

  /**
   * Puts a value in the place of one that has rotted; a version of `noVersion` says that there is no
   * such register. What is derived from registers is summed up anew where the old value is missing.
   */
  restoreRegister(key: Key, version: Version, value: Buffer | null): void {
    const parsed = parseKey(key)
    this.#write(() => {
      if (parsed.kind === 'inode') this.#statements.dropInode.run(parsed.ino)
      else this.#statements.dropEntry.run(parsed.parent, parsed.name)
      this.#rotten.delete(key)
      this.#recent.delete(key)
      if (version !== noVersion) this.setRegister(key, version, value)
      if (parsed.kind === 'entry') this.#sumUpFolder(parsed.parent)
      else this.#mayMiscount = true
      if (this.#mayMiscount && this.#rotten.size === 0) this.#sumUpReferences(version)
      this.#totals = this.#countTotals()
    })
  }

  #sumUpFolder(ino: number): void {
    const { dropFolder, sumUpFolder } = this.#statements
    const { touched } = this.folder(ino)
    dropFolder.run(ino)
    sumUpFolder.run({ ino, touched, folderType })
  }

  /**
   * Walks all inodes: seldom, and only when none of them is known to be rotten, because what such a
   * one refers to must not be taken for garbage.
   */
  #sumUpReferences(version: Version): void {
    const counts = new Map<string, number>()
    const referred = new Map<string, Segment>()
    for (const row of this.#statements.allInodes.iterate() as IterableIterator<
      InodeRow & { ino: number }
    >) {
      if (!isWholeInode(row.ino, row)) this.#noteRotten(inodeKey(row.ino))
      if (this.#rotten.size > 0) return
      const segments = row.value === null ? [] : decodeInode(row.value).segments
      for (const segment of new Map(segments.map((one) => [one.id, one])).values()) {
        counts.set(segment.id, (counts.get(segment.id) ?? 0) + 1)
        referred.set(segment.id, segment)
      }
    }
    const wrong = (this.#statements.referred.all() as { segment: string; refs: number }[]).filter(
      ({ segment, refs }) => refs !== (counts.get(segment) ?? 0),
    )
    for (const { segment } of wrong) {
      this.#statements.setReferences.run(counts.get(segment) ?? 0, version, segment)
    }
    this.#unknownSegments.clear()
    for (const { id, length, md5 } of referred.values()) {
      const home = this.#homeOf(length, md5)
      this.#statements.describe.run(id, counts.get(id) ?? 0, length, md5, this.now(), home)
    }
    this.#mayMiscount = false
  }

  /** Files without a name, not written since `before`: those of programs that died, most likely. */
  orphans(before: Version, limit: number): number[] {
    return this.#statements.orphans.all(before, limit) as number[]
  }

  #countReferences(before: Buffer | null, after: Buffer | null, version: Version): void {
    const old = new Set(before === null ? [] : decodeInode(before).segments.map(({ id }) => id))
    const now = this.now()
    if (after !== null) {
      for (const { id, length, md5 } of decodeInode(after).segments) {
        if (old.delete(id)) continue
        this.#statements.refer.run(id, length, md5, now, this.#homeOf(length, md5))
        this.#unknownSegments.delete(id)
      }
    }
    for (const id of old) this.#statements.unrefer.run(version, id)
  }

  // -- records -----------------------------------------------------------------------------------

  record(id: Version): StoredRecord | undefined {
    if (id > this.#newestRecord) return undefined
    const row = this.#statements.getRecord.get(id) as RecordRow | undefined
    return row && recordOf(row)
  }

  undecidedRecords(): StoredRecord[] {
    return (this.#statements.undecided.all() as RecordRow[]).map(recordOf)
  }

  putRecord(record: StoredRecord): void {
    const { id, body, yes, promised, accepted, acceptedCommit, everCommit, commit } = record
    const row = {
      id,
      body,
      yes: Number(yes),
      promised,
      accepted,
      accepted_commit: Number(acceptedCommit),
      ever_commit: Number(everCommit),
      decision: commit === null ? null : Number(commit),
    }
    this.#newestRecord = laterOf(this.#newestRecord, id)
    this.#write(() => this.#statements.putRecord.run({ ...row, checksum: recordChecksum(row) }))
  }

  /** Records behind `after` in the order of their ids; `commit` is null for an undecided one. */
  recordsAfter(
    after: Version,
    undecidedOnly: boolean,
    limit: number,
  ): { readonly id: Version; readonly commit: boolean | null }[] {
    const { undecidedAfter, records } = this.#statements
    const rows = (undecidedOnly ? undecidedAfter : records).all(after, limit)
    return (rows as Pick<RecordRow, 'id' | 'decision'>[]).map(({ id, decision }) => ({
      id,
      commit: decision === null ? null : decision === 1,
    }))
  }

  /** Registers behind (version, key) in that order; those that have rotted are left out. */
  changes(
    afterVersion: Version,
    afterKey: Key,
    limit: number,
  ): { readonly registers: ChangedRegister[]; readonly more: boolean } {
    // A page of nothing would begin where it ends, for ever.
    if (limit === 0) return { registers: [], more: true }
    const registers: ChangedRegister[] = []
    let last = { version: afterVersion, key: afterKey }
    for (let more = true; more && registers.length === 0; ) {
      const places = this.#places(last.version, last.key, limit)
      for (const { key, version, bytes } of places) {
        const whole = this.wholeRegister(key)
        if (whole === undefined) this.#noteRotten(key)
        // The row is in order and the database's own index of it is not: others may be missing in it.
        else if (whole.version !== version) rottenRow('an index')
        else registers.push({ key, version, bytes, checksum: whole.checksum ?? 0 })
      }
      more = places.length === limit
      if (!more) return { registers, more }
      last = places.at(-1) ?? last
    }
    return { registers, more: true }
  }

  #places(afterVersion: Version, afterKey: Key, limit: number): Place[] {
    // All writes of one transaction have one version: as many rows may have to be passed over, and
    // as many more may belong to the last version of the page.
    const some = limit + 2 * limits.transactionWritesMax
    const inodes = this.#statements.changedInodes.all(afterVersion, some) as ChangedInode[]
    const entries = this.#statements.changedEntries.all(afterVersion, some) as ChangedEntry[]
    const places: Place[] = [
      ...inodes.map(({ ino, version, bytes }) => ({ key: inodeKey(ino), version, bytes })),
      ...entries.map(({ parent, name, version }) => ({
        key: entryKey(parent, name),
        version,
        bytes: entryBytes,
      })),
    ]
    return places
      .filter(({ version, key }) => version > afterVersion || key > afterKey)
      .sort((a, b) =>
        a.version === b.version ? (a.key < b.key ? -1 : 1) : a.version < b.version ? -1 : 1,
      )
      .slice(0, limit)
  }

  /** Drops tombstones and records up to a version that all four servers agree on. */
  dropUpTo(floor: Version): void {
    const { dropDeadInodes, dropDeadEntries, dropRecords } = this.#statements
    this.#write(() => {
      this.#recent.clear()
      dropDeadInodes.run(floor)
      dropDeadEntries.run(floor)
      dropRecords.run(floor)
    })
  }

  // -- pieces ------------------------------------------------------------------------------------

  /**
   * Takes note of a piece that has been stored, in place of what was known of it. A small one brings
   * its `bytes` along: they rest here and not in a file.
   */
  addPiece(
    segment: string,
    piece: number,
    length: number,
    checksums: readonly number[],
    bytes?: Buffer,
  ): void {
    const { putPiece, putContent, dropContent } = this.#statements
    this.#write(() => {
      const before = this.pieceOf(segment, piece)
      if (before?.content != null) dropContent.run(before.content)
      const content = bytes === undefined ? null : putContent.run(bytes).lastInsertRowid
      putPiece.run(segment, piece, length, packed(checksums), content)
      if (before === undefined) this.#hold(segment, [piece])
      this.#totals.pieces += before ? 0 : 1
      this.#totals.bytes += length - (before?.length ?? 0)
    })
  }

  /** As `addPiece` for small pieces of a segment of which nothing is known here. */
  addPieces(
    segment: string,
    pieces: readonly { piece: number; checksums: readonly number[]; bytes: Buffer }[],
  ): void {
    const { putPiece, putContent } = this.#statements
    this.#write(() => {
      for (const { piece, checksums, bytes } of pieces) {
        const { lastInsertRowid } = putContent.run(bytes)
        putPiece.run(segment, piece, bytes.length, packed(checksums), lastInsertRowid)
        this.#totals.bytes += bytes.length
      }
      this.#hold(
        segment,
        pieces.map(({ piece }) => piece),
      )
      this.#totals.pieces += pieces.length
    })
  }

  #hold(segment: string, pieces: readonly number[]): void {
    this.#statements.holdPieces.run(segment, maskOf(pieces), this.now())
    this.#unknownSegments.delete(segment)
  }

  /** Whether a piece of it is here, or a register refers to it. */
  knowsSegment(segment: string): boolean {
    if (this.#unknownSegments.has(segment)) return false
    if (this.#statements.segment.get(segment) !== undefined) return true
    if (this.#unknownSegments.size >= limits.unknownSegmentsMax) this.#unknownSegments.clear()
    this.#unknownSegments.add(segment)
    return false
  }

  /** A register refers to it, and just the pieces of it that belong here are here. */
  isPlaced(segment: string): boolean {
    this.#settleHomes()
    return this.#statements.placed.get(segment) !== undefined
  }

  pieceOf(segment: string, piece: number): StoredPieceRow | undefined {
    const row = this.#statements.getPiece.get(segment, piece) as
      | { length: number; checksums: Buffer; content: number | null }
      | undefined
    if (row === undefined) return undefined
    const checksums: number[] = []
    for (let at = 0; at < row.checksums.length; at += 4) {
      checksums.push(row.checksums.readUInt32BE(at))
    }
    return { length: row.length, checksums, content: row.content }
  }

  /** The bytes of a small piece, by what `pieceOf` says of it. */
  contentOf(content: number): Buffer {
    return (
      (this.#statements.getContent.get(content) as { bytes: Buffer } | undefined)?.bytes ?? none
    )
  }

  /** A bit for every piece of the segment that is here: 1 << (piece - 1). */
  heldPieces(segment: string): number {
    let mask = 0
    for (const { piece } of this.#statements.heldPieces.all(segment) as { piece: number }[]) {
      mask |= 1 << (piece - 1)
    }
    return mask
  }

  removePiece(segment: string, piece: number): void {
    const before = this.pieceOf(segment, piece)
    if (before === undefined) return
    this.#write(() => {
      this.#statements.dropPiece.run(segment, piece)
      this.#statements.dropHeld.run(maskOf([piece]), segment)
      if (before.content !== null) this.#statements.dropContent.run(before.content)
      this.#totals.pieces -= 1
      this.#totals.bytes -= before.length
    })
  }

  pieceTotals(): { readonly pieces: number; readonly bytes: number } {
    return this.#totals
  }

  /** Live registers: inodes and entries. */
  registerTotal(): number {
    return this.#totals.registers
  }

  #countTotals(): Totals {
    return this.#statements.totals.get() as Totals
  }

  /**
   * Segments behind the id `after`, in order: all, or only those referred to of which other pieces are
   * here than belong here.
   */
  segments(
    after: string,
    misplacedOnly: boolean,
    limit: number,
  ): { readonly segment: Segment; readonly referred: boolean }[] {
    if (misplacedOnly) this.#settleHomes()
    const { misplaced, segments } = this.#statements
    const rows = (misplacedOnly ? misplaced : segments).all(after, limit) as SegmentRow[]
    return rows.map(({ segment, length, md5, refs }) => ({
      segment: { id: segment, length, md5: md5 === '' ? noDigest : md5 },
      referred: refs > 0,
    }))
  }

  /** How many are misplaced. */
  misplacedTotal(): number {
    this.#settleHomes()
    return (this.#statements.misplacedCount.get() as { count: number }).count
  }

  /** The bits of the pieces that belong here; none while nobody knows where this server stands. */
  #homeOf(length: number, md5: string): number {
    this.#settleHomes()
    const position = this.#position()
    return position === null ? 0 : homeMask(position, length, md5)
  }

  /**
   * A server learns its position after its first account is opened, and an index of an older program
   * does not say where pieces belong: then that is worked out for all segments.
   */
  #settleHomes(): void {
    const position = this.#position()
    if (position === null || position === this.#homePosition) return
    this.#homePosition = position
    if (this.state('position') === position) return
    this.#write(() => {
      this.#statements.setHomes.run(position)
      this.setState('position', position)
    })
  }

  /**
   * Segments that nothing refers to: those whose last reference went by a version up to `released`,
   * and those never referred to that came before `abandonedMs` (since 1970).
   */
  deadSegments(released: Version, abandonedMs: number, limit: number): string[] {
    const { released: gone, abandoned } = this.#statements
    const rows = [...gone.all(released, limit), ...abandoned.all(Math.floor(abandonedMs), limit)]
    return (rows as { segment: string }[]).map(({ segment }) => segment)
  }

  /** Forgets a dead segment; its pieces must have been removed. */
  forgetSegment(segment: string): void {
    this.#write(() => this.#statements.forgetSegment.run(segment))
  }

  // -- life --------------------------------------------------------------------------------------

  /** Resolves when every group that has returned is on the disk. */
  async sync(): Promise<void> {
    await this.#disk?.sync()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#boot !== undefined) this.#closeClean()
    if (this.#walFile !== undefined) closeSync(this.#walFile)
    this.#db.close()
  }

  /** A full disk may keep this from being noted: then the next boot is careful for nothing. */
  #closeClean(): void {
    try {
      this.group(() => {
        this.setState('open', '')
        this.syncBeforeReply()
      })
    } catch (error) {
      debugDfs('%s: not closed cleanly: %o', this.#db.name, error)
    }
  }

  /** Runs a change and remembers its failure, so that nobody can overlook it. */
  #write(change: () => void): void {
    try {
      if (this.#depth > 0) {
        // A group that only reads and votes needs no transaction.
        if (!this.#db.inTransaction) this.#statements.begin.run()
        change()
      } else this.group(() => this.#write(change))
    } catch (thrown) {
      this.#failure ??= thrown
      throw storageError(thrown)
    }
  }
}

/**
 * Version 1 had no checksums, and version 2 counted the pieces that are here. An index of a later version
 * of the program is left alone.
 */
function bringUpToDate(db: Database.Database, path: string): void {
  const version = db.pragma('user_version', { simple: true })
  const isNew = db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() === 0
  if (isNew) db.pragma(`user_version = ${schemaVersion}`)
  else if (version === 1 || version === 2) {
    db.transaction(() => {
      if (version === 1) addChecksums(db)
      addHomes(db)
      db.pragma(`user_version = ${schemaVersion}`)
    })()
  } else if (version !== schemaVersion) {
    throw new DfsError(
      'configuration',
      `${path}: expected an index of version ${schemaVersion}, got version ${version}`,
    )
  }
}

function addChecksums(db: Database.Database): void {
  for (const table of ['state', 'inodes', 'entries', 'records']) {
    db.exec(`ALTER TABLE ${table} ADD COLUMN checksum INTEGER`)
  }
  // Where a new index has it, before the checksum, it would need the table to be written anew.
  db.exec('ALTER TABLE inodes ADD COLUMN links INTEGER')
  db.function('inode_checksum', (ino, version, value) =>
    inodeChecksum(ino as number, version as Version, value as Buffer | null),
  )
  db.function('links_of', (value) => linksOf(value as Buffer | null))
  db.function('entry_checksum', (parent, name, version, ino, type) =>
    entryChecksum(parent as number, name as string, {
      version: version as Version,
      ino: ino as number | null,
      type: type as number,
    }),
  )
  db.function('state_checksum', (name, value) =>
    stateChecksum(name as string, value as string | number),
  )
  db.exec(`
    UPDATE state SET checksum = state_checksum(name, value);
    UPDATE inodes SET links = links_of(value), checksum = inode_checksum(ino, version, value);
    UPDATE entries SET checksum = entry_checksum(parent, name, version, ino, type);`)
  const rows = db.prepare('SELECT * FROM records').all() as RecordRow[]
  const put = db.prepare('UPDATE records SET checksum = ? WHERE id = ?')
  for (const row of rows) put.run(recordChecksum(row), row.id)
}

/** Where pieces belong is worked out when the index knows the server's position. */
function addHomes(db: Database.Database): void {
  db.exec(`
    DROP INDEX IF EXISTS segments_misplaced;
    ALTER TABLE segments ADD COLUMN home INTEGER NOT NULL DEFAULT 0;
    UPDATE segments SET held = ${heldSum};`)
}

/** A row that everything else relies on: the account cannot go on with it. */
function rottenRow(where: string): never {
  throw new DfsError('damaged', `a row of ${where} has rotted`)
}

function prepare(db: Database.Database) {
  db.function('home_mask', { deterministic: true }, (position, length, md5) =>
    homeMask(position as number, length as number, md5 as string),
  )
  return {
    begin: db.prepare('BEGIN'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    getState: db.prepare('SELECT value, checksum FROM state WHERE name = ?'),
    setState: db.prepare('INSERT OR REPLACE INTO state VALUES (?, ?, ?)'),
    getInode: db.prepare('SELECT version, value, checksum FROM inodes WHERE ino = ?'),
    putInode: db.prepare(
      'INSERT OR REPLACE INTO inodes (ino, version, value, links, checksum) VALUES (?, ?, ?, ?, ?)',
    ),
    dropInode: db.prepare('DELETE FROM inodes WHERE ino = ?'),
    allInodes: db.prepare('SELECT ino, version, value, checksum FROM inodes'),
    orphans: db
      .prepare('SELECT ino FROM inodes WHERE links = 0 AND version < ? ORDER BY version LIMIT ?')
      .pluck(),
    inodesAfter: db.prepare(
      'SELECT ino, version, value, checksum FROM inodes WHERE ino > ? ORDER BY ino LIMIT ?',
    ),
    segmentOf: db.prepare('SELECT segment, length, md5, refs FROM segments WHERE segment = ?'),
    summedUp: db.prepare(`
      SELECT segment, length, md5, refs, home, held = ${heldSum} AS isHeldRight
      FROM segments WHERE segment > ? ORDER BY segment LIMIT ?`),
    inodesByRow: db
      .prepare('SELECT coalesce(sum(ino & 4294967295), 0) FROM inodes NOT INDEXED')
      .pluck(),
    inodesByVersion: db
      .prepare(`
        SELECT coalesce(sum(ino & 4294967295), 0) FROM inodes INDEXED BY inodes_version
        WHERE version > ''`)
      .pluck(),
    entriesByRow: db.prepare('SELECT count(*) FROM entries NOT INDEXED').pluck(),
    entriesByVersion: db
      .prepare("SELECT count(*) FROM entries INDEXED BY entries_version WHERE version > ''")
      .pluck(),
    getEntry: db.prepare(
      'SELECT version, ino, type, checksum FROM entries WHERE parent = ? AND name = ?',
    ),
    putEntry: db.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?)'),
    dropEntry: db.prepare('DELETE FROM entries WHERE parent = ? AND name = ?'),
    listEntries: db.prepare(`
      SELECT e.name, e.version, e.ino, e.type, e.checksum, i.version AS inodeVersion,
        i.value AS inodeValue, i.checksum AS inodeChecksum
      FROM entries e LEFT JOIN inodes i ON i.ino = e.ino
      WHERE e.parent = ? AND e.name > ? ORDER BY e.name LIMIT ?`),
    liveName: db.prepare('SELECT name FROM entries WHERE parent = ? AND ino IS NOT NULL LIMIT 1'),
    getFolder: db.prepare('SELECT touched, live, subfolders FROM folders WHERE ino = ?'),
    dropFolder: db.prepare('DELETE FROM folders WHERE ino = ?'),
    touchFolder: db.prepare(`
      INSERT INTO folders VALUES (?, ?, ?, ?) ON CONFLICT (ino) DO UPDATE SET
        touched = max(touched, excluded.touched), live = live + excluded.live,
        subfolders = subfolders + excluded.subfolders`),
    sumUpFolder: db.prepare(`
      INSERT INTO folders SELECT @ino, max(@touched, coalesce(max(version), '${noVersion}')),
        count(ino), count(iif(type = @folderType, ino, NULL))
      FROM entries WHERE parent = @ino`),
    getRecord: db.prepare('SELECT * FROM records WHERE id = ?'),
    undecided: db.prepare('SELECT * FROM records WHERE decision IS NULL'),
    putRecord: db.prepare(`
      INSERT OR REPLACE INTO records VALUES (@id, @body, @yes, @promised, @accepted,
        @accepted_commit, @ever_commit, @decision, @checksum)`),
    refer: db.prepare(`
      INSERT INTO segments VALUES (?, 1, 0, ?, ?, '${noVersion}', ?, ?)
      ON CONFLICT (segment) DO UPDATE SET
        refs = refs + 1, length = excluded.length, md5 = excluded.md5, home = excluded.home`),
    unrefer: db.prepare('UPDATE segments SET refs = refs - 1, released = ? WHERE segment = ?'),
    referred: db.prepare('SELECT segment, refs FROM segments WHERE refs <> 0'),
    describe: db.prepare(`
      INSERT INTO segments VALUES (?, ?, 0, ?, ?, '${noVersion}', ?, ?)
      ON CONFLICT (segment) DO UPDATE SET
        refs = excluded.refs, length = excluded.length, md5 = excluded.md5, home = excluded.home`),
    sumUpHeld: db.prepare(`UPDATE segments SET held = ${heldSum}`),
    setHomes: db.prepare('UPDATE segments SET home = home_mask(?, length, md5) WHERE refs > 0'),
    setReferences: db.prepare(
      'UPDATE segments SET refs = ?, released = max(released, ?) WHERE segment = ?',
    ),
    passOver: db.prepare(
      'UPDATE segments SET released = max(released, ?) WHERE segment = ? AND refs = 0',
    ),
    segment: db.prepare('SELECT 1 FROM segments WHERE segment = ?').pluck(),
    placed: db
      .prepare('SELECT 1 FROM segments WHERE segment = ? AND refs > 0 AND held = home')
      .pluck(),
    holdPieces: db.prepare(`
      INSERT INTO segments VALUES (?, 0, ?, 0, '', '${noVersion}', ?, 0)
      ON CONFLICT (segment) DO UPDATE SET held = held | excluded.held`),
    dropHeld: db.prepare('UPDATE segments SET held = held & ~? WHERE segment = ?'),
    segments: db.prepare(`
      SELECT segment, length, md5, refs FROM segments WHERE segment > ? ORDER BY segment LIMIT ?`),
    misplaced: db.prepare(`
      SELECT segment, length, md5, refs FROM segments
      WHERE refs > 0 AND held <> home AND segment > ? ORDER BY segment LIMIT ?`),
    misplacedCount: db.prepare(
      'SELECT count(*) AS count FROM segments WHERE refs > 0 AND held <> home',
    ),
    released: db.prepare(`
      SELECT segment FROM segments
      WHERE refs = 0 AND released > '${noVersion}' AND released <= ? LIMIT ?`),
    abandoned: db.prepare(`
      SELECT segment FROM segments
      WHERE refs = 0 AND released = '${noVersion}' AND met < ? LIMIT ?`),
    forgetSegment: db.prepare('DELETE FROM segments WHERE segment = ? AND refs = 0'),
    dropDeadInodes: db.prepare('DELETE FROM inodes WHERE value IS NULL AND version <= ?'),
    dropDeadEntries: db.prepare('DELETE FROM entries WHERE ino IS NULL AND version <= ?'),
    dropRecords: db.prepare('DELETE FROM records WHERE id <= ?'),
    newestRecord: db.prepare(`SELECT coalesce(max(id), '${noVersion}') FROM records`).pluck(),
    records: db.prepare('SELECT id, decision FROM records WHERE id > ? ORDER BY id LIMIT ?'),
    undecidedAfter: db.prepare(`
      SELECT id, decision FROM records WHERE decision IS NULL AND id > ? ORDER BY id LIMIT ?`),
    changedInodes: db.prepare(`
      SELECT ino, version, coalesce(length(value), 0) AS bytes
      FROM inodes WHERE version >= ? ORDER BY version LIMIT ?`),
    changedEntries: db.prepare(`
      SELECT parent, name, version FROM entries WHERE version >= ? ORDER BY version LIMIT ?`),
    getPiece: db.prepare(
      'SELECT length, checksums, content FROM pieces WHERE segment = ? AND piece = ?',
    ),
    heldPieces: db.prepare('SELECT piece FROM pieces WHERE segment = ?'),
    putPiece: db.prepare('INSERT OR REPLACE INTO pieces VALUES (?, ?, ?, ?, ?)'),
    dropPiece: db.prepare('DELETE FROM pieces WHERE segment = ? AND piece = ?'),
    getContent: db.prepare('SELECT bytes FROM contents WHERE id = ?'),
    putContent: db.prepare('INSERT INTO contents (bytes) VALUES (?)'),
    dropContent: db.prepare('DELETE FROM contents WHERE id = ?'),
    totals: db.prepare(`
      SELECT
        (SELECT count(*) FROM pieces) AS pieces,
        (SELECT coalesce(sum(length), 0) FROM pieces) AS bytes,
        (SELECT count(*) FROM inodes WHERE value IS NOT NULL) +
          (SELECT count(*) FROM entries WHERE ino IS NOT NULL) AS registers`),
  }
}

function packed(checksums: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(checksums.length * 4)
  for (const [index, checksum] of checksums.entries()) bytes.writeUInt32BE(checksum, index * 4)
  return bytes
}

function entryValue(ino: number | null, type: number): Buffer | null {
  return ino === null ? null : encodeEntry({ ino, type })
}

function recordOf(row: RecordRow): StoredRecord {
  if (row.checksum !== recordChecksum(row)) rottenRow('the transactions')
  return {
    id: row.id,
    body: row.body,
    yes: row.yes === 1,
    promised: row.promised,
    accepted: row.accepted,
    acceptedCommit: row.accepted_commit === 1,
    everCommit: row.ever_commit === 1,
    commit: row.decision === null ? null : row.decision === 1,
  }
}
