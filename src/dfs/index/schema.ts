/** The tables of an index, which docs/storage.md describes, and their conversion from older versions. */
import type Database from 'better-sqlite3'
import { DfsError } from '../../errors.js'
import type { Version } from '../../wire/version.js'
import type { RecordRow } from './records.js'
import {
  entryChecksum,
  inodeChecksum,
  linksOf,
  recordChecksum,
  stateChecksum,
} from './row-checksums.js'

/** Raised with every change of the tables that an older program could not read. */
const schemaVersion = 4

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
  md5 TEXT NOT NULL, released TEXT NOT NULL, met INTEGER NOT NULL, home INTEGER NOT NULL DEFAULT 0,
  lost INTEGER NOT NULL DEFAULT 0)
  WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS segments_dead ON segments (released, met) WHERE refs = 0;
CREATE INDEX IF NOT EXISTS segments_misplaced ON segments (segment)
  WHERE refs > 0 AND held <> home;
CREATE INDEX IF NOT EXISTS segments_lost ON segments (segment) WHERE refs > 0 AND lost <> 0;
CREATE TABLE IF NOT EXISTS pieces (
  segment TEXT NOT NULL, piece INTEGER NOT NULL, length INTEGER NOT NULL, checksums BLOB NOT NULL,
  content INTEGER, PRIMARY KEY (segment, piece)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
`

/** The bits of the pieces of a row of `segments` that are here. */
export const heldSum = `(
  SELECT coalesce(sum(1 << (piece - 1)), 0) FROM pieces WHERE pieces.segment = segments.segment)`

/** Makes the tables of a new index, and those of an older version like those of a new one. */
export function bringTablesUpToDate(db: Database.Database, path: string): void {
  convert(db, path)
  db.exec(schema)
}

/**
 * Version 1 had no checksums, version 2 counted the pieces that are here, and version 3 did not know of
 * lost ones. An index of a later version of the program is left alone.
 */
function convert(db: Database.Database, path: string): void {
  const version = db.pragma('user_version', { simple: true })
  const isNew = db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() === 0
  if (isNew) db.pragma(`user_version = ${schemaVersion}`)
  else if (version === 1 || version === 2 || version === 3) {
    db.transaction(() => {
      if (version === 1) addChecksums(db)
      if (version !== 3) addHomes(db)
      db.exec('ALTER TABLE segments ADD COLUMN lost INTEGER NOT NULL DEFAULT 0')
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
