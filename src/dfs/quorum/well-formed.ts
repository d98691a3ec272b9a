/** Checks of what came with a message, before anything of it is done. */
import { DfsError } from '../../errors.js'
import type { Decision } from '../../wire/messages.js'
import {
  assertInode,
  decodeEntry,
  inodeKey,
  type Key,
  parseKey,
  type Transaction,
} from '../../wire/records.js'

/**
 * Throws `protocol` for a value that cannot be stored: a transaction that was voted for must be possible to
 * apply.
 */
export function assertValue(key: Key, value: Buffer | null): void {
  const { kind } = parseKey(key)
  if (value === null) return
  if (kind === 'inode') assertInode(value)
  else decodeEntry(value)
}

/**
 * Throws `protocol` when a body that came with a decision cannot be applied: nothing of a message is done when a
 * part of it cannot be.
 */
export function assertDecisions(decisions: readonly Decision[]): void {
  for (const { body } of decisions) {
    for (const { key, value } of body?.writes ?? []) assertValue(key, value)
  }
}

/**
 * Throws `protocol` for a malformed transaction. Every write has a precondition, and every emptied folder is
 * written: the locks rely on both.
 */
export function assertWellFormed(body: Transaction): void {
  const guarded = new Set(body.preconditions.map(({ key }) => key))
  const written = new Set(body.writes.map(({ key }) => key))
  for (const { key } of body.preconditions) parseKey(key)
  for (const { key, value } of body.writes) assertValue(key, value)
  const wellFormed =
    written.size === body.writes.length &&
    guarded.size === body.preconditions.length &&
    [...written].every((key) => guarded.has(key)) &&
    body.emptyFolders.every((ino) => written.has(inodeKey(ino)))
  if (!wellFormed) throw new DfsError('protocol', 'malformed transaction')
}
