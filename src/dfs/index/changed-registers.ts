/** The registers in the order of (version, `compareKeys`), in which repair compares what servers have. */
import {
  beforeKeys,
  behindKeys,
  entryKey,
  inodeKey,
  type Key,
  parseKey,
} from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { AccountDatabase } from './database.js'
import { type EntryRow, type InodeRow, isWholeEntry, isWholeInode } from './row-checksums.js'

/** A register that changed; what its value is has to be asked for. */
export interface ChangedRegister {
  readonly key: Key
  readonly version: Version
  /** Size of the value, roughly. */
  readonly bytes: number
  /** Checksum of key, version and value. */
  readonly checksum: number
}

interface Change extends ChangedRegister {
  /** False when the row has rotted, or is not the one that the index of versions means. */
  readonly isWhole: boolean
}

type NumberedInodeRow = InodeRow & { readonly ino: number }
type NamedEntryRow = EntryRow & { readonly parent: number; readonly name: string }

const entryBytes = 9

export class ChangedRegisters {
  readonly #statements

  constructor(db: AccountDatabase) {
    this.#statements = prepare(db)
  }

  /** Walks the registers behind (version, key), and reads no more than is taken. Nothing may be written meanwhile. */
  *after(afterVersion: Version, afterKey: Key): Generator<Change, void> {
    const inodes = this.#inodesAfter(afterVersion, afterKey)
    const entries = this.#entriesAfter(afterVersion, afterKey)
    try {
      let inode = inodes.next()
      let entry = entries.next()
      while (!inode.done || !entry.done) {
        // All writes of one transaction have one version: among them entries come first.
        if (inode.done || (!entry.done && entry.value.version <= inode.value.version)) {
          if (!entry.done) yield entryChange(entry.value)
          entry = entries.next()
        } else {
          yield inodeChange(inode.value)
          inode = inodes.next()
        }
      }
    } finally {
      inodes.return()
      entries.return()
    }
  }

  *#inodesAfter(version: Version, key: Key): Generator<NumberedInodeRow, void> {
    const { inodesOf, inodesFrom } = this.#statements
    const after = isBound(key) ? undefined : parseKey(key)
    const ino = after?.kind === 'inode' ? after.ino : -1
    if (key !== behindKeys) yield* rowsOf<NumberedInodeRow>(inodesOf, version, ino)
    yield* rowsOf<NumberedInodeRow>(inodesFrom, version)
  }

  *#entriesAfter(version: Version, key: Key): Generator<NamedEntryRow, void> {
    const { entriesOf, foldersFrom, entriesFrom } = this.#statements
    const after = isBound(key) ? undefined : parseKey(key)
    if (after?.kind === 'entry') {
      yield* rowsOf<NamedEntryRow>(entriesOf, version, after.parent, after.name)
      yield* rowsOf<NamedEntryRow>(foldersFrom, version, after.parent)
    } else if (key === beforeKeys) yield* rowsOf<NamedEntryRow>(foldersFrom, version, -1)
    yield* rowsOf<NamedEntryRow>(entriesFrom, version)
  }
}

function isBound(key: Key): boolean {
  return key === beforeKeys || key === behindKeys
}

function rowsOf<Row>(
  statement: ReturnType<AccountDatabase['prepare']>,
  ...values: readonly unknown[]
): IterableIterator<Row> {
  return statement.iterate(...values) as IterableIterator<Row>
}

function inodeChange(row: NumberedInodeRow): Change {
  const { ino, version, value, checksum } = row
  const bytes = value?.length ?? 0
  const isWhole = isWholeInode(ino, row)
  return { key: inodeKey(ino), version, bytes, checksum: checksum ?? 0, isWhole }
}

function entryChange(row: NamedEntryRow): Change {
  const { parent, name, version, checksum } = row
  const isWhole = isWholeEntry(parent, name, row)
  return {
    key: entryKey(parent, name),
    version,
    bytes: entryBytes + Buffer.byteLength(name),
    checksum: checksum ?? 0,
    isWhole,
  }
}

function prepare(db: AccountDatabase) {
  return {
    inodesOf: db.prepare(`
      SELECT ino, version, value, checksum FROM inodes WHERE version = ? AND ino > ? ORDER BY ino`),
    inodesFrom: db.prepare(`
      SELECT ino, version, value, checksum FROM inodes WHERE version > ? ORDER BY version, ino`),
    entriesOf: db.prepare(`
      SELECT parent, name, version, ino, type, checksum FROM entries INDEXED BY entries_version
      WHERE version = ? AND parent = ? AND name > ? ORDER BY name`),
    foldersFrom: db.prepare(`
      SELECT parent, name, version, ino, type, checksum FROM entries INDEXED BY entries_version
      WHERE version = ? AND parent > ? ORDER BY parent, name`),
    entriesFrom: db.prepare(`
      SELECT parent, name, version, ino, type, checksum FROM entries
      WHERE version > ? ORDER BY version, parent, name`),
  }
}
