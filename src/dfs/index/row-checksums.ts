/**
 * Checksums of what the index keeps in rows. SQLite has none of its own: a bit that rots inside a page
 * that is otherwise in order would be believed. Each covers the whole row, its key included.
 */

import { crc32 } from 'node:zlib'
import { DfsError } from '../../errors.js'
import { fileType, linksOfInode, modeOfInode, typeOf } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'

export interface InodeRow {
  readonly version: Version
  readonly value: Buffer | null
  readonly checksum: number | null
}

export interface EntryRow {
  readonly version: Version
  readonly ino: number | null
  readonly type: number
  readonly checksum: number | null
}

export interface RecordColumns {
  readonly id: Version
  readonly body: Buffer | null
  readonly yes: number
  readonly promised: number
  readonly accepted: number
  readonly accepted_commit: number
  readonly ever_commit: number
  readonly decision: number | null
}

export function inodeChecksum(ino: number, version: Version, value: Buffer | null): number {
  return ofValue(`i${ino} ${version}`, value)
}

/** Rot may have changed what SQLite takes a column for. */
export function isWholeInode(ino: number, { version, value, checksum }: InodeRow): boolean {
  const isBytes = value === null || Buffer.isBuffer(value)
  return isBytes && checksum === inodeChecksum(ino, version, value)
}

export function entryChecksum(
  parent: number,
  name: string,
  { version, ino, type }: Omit<EntryRow, 'checksum'>,
): number {
  return crc32(`e${parent}/${name} ${version} ${ino} ${type}`)
}

export function isWholeEntry(parent: number, name: string, row: EntryRow): boolean {
  return row.checksum === entryChecksum(parent, name, row)
}

export function stateChecksum(name: string, value: string | number): number {
  return crc32(`${name} ${value}`)
}

export function recordChecksum(row: RecordColumns): number {
  const { id, yes, promised, accepted, accepted_commit, ever_commit, decision } = row
  const columns = [id, yes, promised, accepted, accepted_commit, ever_commit, decision]
  return ofValue(columns.join(' '), row.body)
}

/** The names of a file; null for a folder and for what is no more. */
export function linksOf(value: Buffer | null): number | null {
  if (value === null || typeOf(modeOfInode(value)) === fileType.folder) return null
  return linksOfInode(value)
}

function ofValue(text: string, value: Buffer | null): number {
  return value === null ? crc32(`${text} -`) : crc32(value, crc32(`${text} +`))
}

/** A row that everything else relies on: the account cannot go on with it. */
export function rottenRow(where: string): never {
  throw new DfsError('damaged', `a row of ${where} does not match its checksum`)
}
