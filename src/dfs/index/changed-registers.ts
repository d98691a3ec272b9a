/** The registers in the order of (version, key), in which repair compares what servers have. */
import { entryKey, inodeKey, type Key } from '../../wire/records.js'
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

  /** Walks the registers behind (version, key). Nothing may be written meanwhile. */
  *after(afterVersion: Version, afterKey: Key): Generator<Change, void> {
    const { inodesFrom, entriesFrom } = this.#statements
    const inodes = inodesFrom.iterate(afterVersion) as IterableIterator<NumberedInodeRow>
    const entries = entriesFrom.iterate(afterVersion) as IterableIterator<NamedEntryRow>
    try {
      let inode = inodes.next()
      let entry = entries.next()
      for (;;) {
        const version = earlierOf(inode.done ? undefined : inode, entry.done ? undefined : entry)
        if (version === undefined) break
        const changes: Change[] = []
        for (; !inode.done && inode.value.version === version; inode = inodes.next()) {
          changes.push(inodeChange(inode.value))
        }
        for (; !entry.done && entry.value.version === version; entry = entries.next()) {
          changes.push(entryChange(entry.value))
        }
        // All writes of one transaction have one version.
        for (const change of changes.sort((a, b) => (a.key < b.key ? -1 : 1))) {
          if (version > afterVersion || change.key > afterKey) yield change
        }
      }
    } finally {
      inodes.return?.()
      entries.return?.()
    }
  }
}

interface Versioned {
  readonly value: { readonly version: Version }
}

function earlierOf(a: Versioned | undefined, b: Versioned | undefined): Version | undefined {
  if (a === undefined || b === undefined) return (a ?? b)?.value.version
  return a.value.version < b.value.version ? a.value.version : b.value.version
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
    inodesFrom: db.prepare(`
      SELECT ino, version, value, checksum FROM inodes WHERE version >= ? ORDER BY version`),
    entriesFrom: db.prepare(`
      SELECT parent, name, version, ino, type, checksum FROM entries
      WHERE version >= ? ORDER BY version`),
  }
}
