/**
 * The registers, which are inodes and entries: found by key, by folder and by version, each with a
 * checksum, and what is derived from them kept with every change.
 */
import assert from 'node:assert/strict'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { notice } from '../../log.js'
import {
  changedSegments,
  decodeEntry,
  encodeEntry,
  entryKey,
  inodeKey,
  type Key,
  parseKey,
  type Segment,
  segmentsOfInode,
} from '../../wire/records.js'
import { laterOf, noVersion, type Version } from '../../wire/version.js'
import { type ChangedRegister, ChangedRegisters } from './changed-registers.js'
import type { AccountDatabase, Write } from './database.js'
import type { FolderTable } from './folders.js'
import { nextTurn, type Pause, rowsAtOnce } from './pages.js'
import { RecentRegisters, type StoredRegister } from './recent-registers.js'
import {
  type EntryRow,
  entryChecksum,
  type InodeRow,
  inodeChecksum,
  isWholeEntry,
  isWholeInode,
  linksOf,
  rottenRow,
} from './row-checksums.js'
import type { Reference, SegmentTable } from './segments.js'
import type { Totals } from './totals.js'

interface CheckedRegister extends StoredRegister {
  readonly checksum: number | null
}

export interface StoredEntry {
  readonly name: string
  readonly version: Version
  /** null for a tombstone. */
  readonly ino: number | null
  readonly type: number
  readonly inode: StoredRegister
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

type NumberedInodeRow = InodeRow & { readonly ino: number }
type IndexedInodeRow = { readonly ino: number; readonly isListed: number }
type IndexedEntryRow = { readonly parent: number; readonly name: string; readonly isListed: number }

const never: CheckedRegister = { version: noVersion, value: null, checksum: null }

export class RegisterTable {
  readonly #db: AccountDatabase
  readonly #folders: FolderTable
  readonly #segments: SegmentTable
  readonly #statements
  readonly #changed: ChangedRegisters
  /** Registers that were found rotten and have not been restored since. */
  readonly #rotten = new Set<Key>()
  readonly #recent = new RecentRegisters()
  /** A register was restored whose old value is not known: references may be counted too high. */
  #mayMiscount = false
  readonly #totals: Totals

  constructor(db: AccountDatabase, folders: FolderTable, segments: SegmentTable, totals: Totals) {
    this.#db = db
    this.#folders = folders
    this.#segments = segments
    this.#totals = totals
    this.#statements = prepare(db)
    this.#changed = new ChangedRegisters(db)
    db.onRollback(() => {
      this.#recent.clear()
    })
  }

  // -- finding -----------------------------------------------------------------------------------

  /** The register of a key. Throws `corrupt` when it has rotted: then even its version is not known here. */
  get(key: Key): StoredRegister {
    return this.recent(key) ?? this.#rot(key)
  }

  /** The register of a key; undefined when it has rotted, unless it was read or written a moment ago. */
  recent(key: Key): StoredRegister | undefined {
    const recent = this.#recent.get(key)
    if (recent !== undefined) return recent
    const stored = this.whole(key)
    if (stored !== undefined) this.#recent.set(key, stored)
    return stored
  }

  /** The newest version of all registers. */
  newest(): Version {
    const { inode, entry } = this.#statements.newest.get() as Record<
      'inode' | 'entry',
      Version | null
    >
    return laterOf(inode ?? noVersion, entry ?? noVersion)
  }

  /** The register of a key as it is on the disk; undefined when it has rotted. */
  whole(key: Key): CheckedRegister | undefined {
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

  /** The registers that were read, were found rotten, and have not been restored. */
  rottenKeys(): ReadonlySet<Key> {
    return this.#rotten
  }

  #rot(key: Key): never {
    this.#noteRotten(key)
    throw new DfsError('corrupt', 'A register is corrupt on the disk of this server')
  }

  #noteRotten(key: Key): void {
    this.#recent.delete(key)
    if (this.#rotten.size >= limits.badCopiesMax) return
    if (this.#rotten.size === 0)
      notice(
        `the register ${JSON.stringify(key)} is corrupt on the disk; repair will replace it`,
        'warning',
        'registers that are corrupt on the disk',
      )
    this.#rotten.add(key)
  }

  /**
   * Walks the entries of a folder behind the name `after`, in byte order, with their inodes. No more is read than
   * is taken; nothing may be written meanwhile.
   */
  *entries(parent: number, after: string): Generator<StoredEntry, void> {
    for (const row of this.#statements.listEntries.iterate(parent, after) as Iterable<ListedRow>) {
      const { name, version, ino, type } = row
      if (!isWholeEntry(parent, name, row)) this.#rot(entryKey(parent, name))
      yield { name, version, ino, type, inode: this.#listedInode(row) }
    }
  }

  #listedInode({ ino, inodeVersion, inodeValue, inodeChecksum }: ListedRow): StoredRegister {
    if (ino === null || inodeVersion === null) return never
    const row = { version: inodeVersion, value: inodeValue, checksum: inodeChecksum }
    return isWholeInode(ino, row) ? row : this.#rot(inodeKey(ino))
  }

  /** Names in the folder with a live entry, at most `limit` of them. */
  liveNames(parent: number, limit: number): string[] {
    return this.#statements.liveNames.all(parent, limit) as string[]
  }

  /** Files without a name that were not written since `before`: those of programs that died, most likely. */
  orphans(before: Version, limit: number): number[] {
    return this.#statements.orphans.all(before, limit) as number[]
  }

  /**
   * Registers behind (version, key) in that order; those that have rotted are left out. It ends with the first one
   * by which more than `surveyBytesMax` were read.
   */
  changes(
    afterVersion: Version,
    afterKey: Key,
    limit: number,
  ): { readonly registers: ChangedRegister[]; readonly more: boolean } {
    // A page of nothing would begin where it ends, for ever.
    if (limit === 0) return { registers: [], more: true }
    const registers: ChangedRegister[] = []
    let bytes = 0
    for (const change of this.#changed.after(afterVersion, afterKey)) {
      const isFull = registers.length === limit || bytes > limits.surveyBytesMax
      // A page without any would begin where it ends.
      if (isFull && registers.length > 0) return { registers, more: true }
      bytes += change.bytes
      if (change.isWhole) registers.push(change)
      else if (this.whole(change.key) === undefined) this.#noteRotten(change.key)
      // The row is in order and the database's own index of it is not: others may be missing in it.
      else rottenRow('an index')
    }
    return { registers, more: false }
  }

  // -- changing ----------------------------------------------------------------------------------

  /**
   * Stores a decided value, whatever was there, and keeps what is derived from it: the folder's
   * summary for an entry, the references to segments for an inode. `before` is what is there, where the
   * caller has just read it.
   */
  set(
    key: Key,
    version: Version,
    value: Buffer | null,
    before: StoredRegister = this.get(key),
  ): void {
    assert(version > before.version, 'the version of a register only grows')
    assert(before.version !== noVersion || before.value === null, 'what never was has a value')
    const parsed = parseKey(key)
    this.#db.write((write) => {
      if (parsed.kind === 'inode') this.#setInode(write, parsed.ino, version, value, before)
      else this.#setEntry(write, parsed.parent, parsed.name, version, value, before)
      this.#recent.set(key, { version, value })
    })
  }

  /**
   * Notes a decided value that was replaced before it came here. Pieces that came with the vote for it are
   * garbage, unless something else refers to them.
   */
  passOver(key: Key, version: Version, value: Buffer): void {
    if (parseKey(key).kind === 'inode') this.#segments.passOver(segmentsOf(value), version)
  }

  #setInode(
    write: Write,
    ino: number,
    version: Version,
    value: Buffer | null,
    before: StoredRegister,
  ): void {
    const { gone, come } = changedSegments(before.value, value)
    this.#segments.refer(write, gone, come, version)
    const checksum = inodeChecksum(ino, version, value)
    this.#statements.putInode.run(ino, version, value, linksOf(value), checksum)
    if (value === null) this.#folders.drop(write, ino)
    this.#totals.add(write, { registers: Number(value !== null) - Number(before.value !== null) })
  }

  #setEntry(
    write: Write,
    parent: number,
    name: string,
    version: Version,
    value: Buffer | null,
    before: StoredRegister,
  ): void {
    const was = before.value === null ? undefined : decodeEntry(before.value)
    const entry = value === null ? undefined : decodeEntry(value)
    const [ino, type] = [entry?.ino ?? null, entry?.type ?? 0]
    const checksum = entryChecksum(parent, name, { version, ino, type })
    this.#statements.putEntry.run(parent, name, version, ino, type, checksum)
    this.#folders.touch(write, parent, version, was, entry)
    this.#totals.add(write, { registers: Number(entry !== undefined) - Number(was !== undefined) })
  }

  /**
   * Puts a value in the place of one that has rotted, or where there is none; a version of `noVersion` says that
   * there is no such register. What is derived from registers is summed up anew where the old value is not known.
   */
  restore(key: Key, version: Version, value: Buffer | null): void {
    const parsed = parseKey(key)
    if (this.whole(key) === never) {
      this.#rotten.delete(key)
      if (version !== noVersion) this.set(key, version, value)
      return
    }
    this.#db.write((write) => {
      if (parsed.kind === 'inode') this.#statements.dropInode.run(parsed.ino)
      else this.#statements.dropEntry.run(parsed.parent, parsed.name)
      this.#rotten.delete(key)
      this.#recent.delete(key)
      if (version !== noVersion) this.set(key, version, value)
      if (parsed.kind === 'entry') this.#folders.sumUp(write, parsed.parent)
      else this.#mayMiscount = true
      if (this.#mayMiscount && this.#rotten.size === 0) this.sumUpReferences(write, version)
      this.#totals.countAgain(write)
    })
  }

  /** Drops tombstones up to a version that all four servers agree on. */
  dropUpTo(floor: Version): void {
    this.#db.write(() => {
      this.#recent.clear()
      this.#statements.dropDeadInodes.run(floor)
      this.#statements.dropDeadEntries.run(floor)
    })
  }

  // -- what is derived ---------------------------------------------------------------------------

  /**
   * Counts anew what refers to each segment, in a walk over all inodes. It gives up when one of them has
   * rotted, because what such a one refers to must not be taken for garbage.
   */
  sumUpReferences(write: Write, version: Version): void {
    const references = new Map<string, Reference>()
    for (const row of this.#statements.allInodes.iterate() as IterableIterator<NumberedInodeRow>) {
      if (!isWholeInode(row.ino, row)) this.#noteRotten(inodeKey(row.ino))
      if (this.#rotten.size > 0) return
      for (const segment of new Map(segmentsOf(row.value).map((one) => [one.id, one])).values()) {
        const count = (references.get(segment.id)?.count ?? 0) + 1
        references.set(segment.id, { segment, count })
      }
    }
    this.#segments.setReferences(write, references, version)
    this.#mayMiscount = false
  }

  /** Whether the segments are known that the inodes refer to, looked at a little at a time. */
  async areReferencesRight(pause: Pause = nextTurn): Promise<boolean> {
    for (let after = -1; ; ) {
      const rows = this.#statements.inodesAfter.all(after, rowsAtOnce) as NumberedInodeRow[]
      for (const row of rows) {
        if (row.value === null || !isWholeInode(row.ino, row)) continue
        const segments = segmentsOf(row.value)
        if (!segments.every((segment) => this.#segments.isReferred(segment))) return false
      }
      after = rows.at(-1)?.ino ?? after
      if (rows.length < rowsAtOnce) return true
      await pause()
    }
  }

  /** Throws `damaged` when a register would not be found by its version, looked at a little at a time. */
  async assertListed(pause: Pause = nextTurn): Promise<void> {
    const { inodesListed, entriesListed } = this.#statements
    for (let after = -1; ; ) {
      const rows = inodesListed.all(after, rowsAtOnce) as IndexedInodeRow[]
      if (rows.some(({ isListed }) => isListed === 0)) rottenRow('an index')
      after = rows.at(-1)?.ino ?? after
      if (rows.length < rowsAtOnce) break
      await pause()
    }
    for (let [parent, name] = [-1, '']; ; ) {
      const rows = entriesListed.all(parent, name, rowsAtOnce) as IndexedEntryRow[]
      if (rows.some(({ isListed }) => isListed === 0)) rottenRow('an index')
      const last = rows.at(-1)
      if (last === undefined || rows.length < rowsAtOnce) return
      parent = last.parent
      name = last.name
      await pause()
    }
  }
}

function entryValue(ino: number | null, type: number): Buffer | null {
  return ino === null ? null : encodeEntry({ ino, type })
}

function segmentsOf(value: Buffer | null): readonly Segment[] {
  return value === null ? [] : segmentsOfInode(value)
}

function prepare(db: AccountDatabase) {
  return {
    newest: db.prepare(`
      SELECT (SELECT max(version) FROM inodes) AS inode, (SELECT max(version) FROM entries) AS entry`),
    getInode: db.prepare('SELECT version, value, checksum FROM inodes WHERE ino = ?'),
    putInode: db.prepare(
      'INSERT OR REPLACE INTO inodes (ino, version, value, links, checksum) VALUES (?, ?, ?, ?, ?)',
    ),
    dropInode: db.prepare('DELETE FROM inodes WHERE ino = ?'),
    allInodes: db.prepare('SELECT ino, version, value, checksum FROM inodes'),
    inodesAfter: db.prepare(
      'SELECT ino, version, value, checksum FROM inodes WHERE ino > ? ORDER BY ino LIMIT ?',
    ),
    orphans: db
      .prepare('SELECT ino FROM inodes WHERE links = 0 AND version < ? ORDER BY version LIMIT ?')
      .pluck(),
    inodesListed: db.prepare(`
      SELECT ino, EXISTS (
        SELECT 1 FROM inodes l INDEXED BY inodes_version
        WHERE l.version = i.version AND l.ino = i.ino) AS isListed
      FROM inodes i NOT INDEXED WHERE ino > ? ORDER BY ino LIMIT ?`),
    getEntry: db.prepare(
      'SELECT version, ino, type, checksum FROM entries WHERE parent = ? AND name = ?',
    ),
    putEntry: db.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?)'),
    dropEntry: db.prepare('DELETE FROM entries WHERE parent = ? AND name = ?'),
    listEntries: db.prepare(`
      SELECT e.name, e.version, e.ino, e.type, e.checksum, i.version AS inodeVersion,
        i.value AS inodeValue, i.checksum AS inodeChecksum
      FROM entries e LEFT JOIN inodes i ON i.ino = e.ino
      WHERE e.parent = ? AND e.name > ? ORDER BY e.name`),
    liveNames: db
      .prepare('SELECT name FROM entries WHERE parent = ? AND ino IS NOT NULL LIMIT ?')
      .pluck(),
    entriesListed: db.prepare(`
      SELECT parent, name, EXISTS (
        SELECT 1 FROM entries l INDEXED BY entries_version
        WHERE l.version = e.version AND l.parent = e.parent AND l.name = e.name) AS isListed
      FROM entries e NOT INDEXED WHERE (parent, name) > (?, ?) ORDER BY parent, name LIMIT ?`),
    dropDeadInodes: db.prepare('DELETE FROM inodes WHERE value IS NULL AND version <= ?'),
    dropDeadEntries: db.prepare('DELETE FROM entries WHERE ino IS NULL AND version <= ?'),
  }
}
