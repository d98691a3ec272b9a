/** Merges several changes of this client into one transaction, which leaves the registers as they would. */
import assert from 'node:assert/strict'
import { limits } from '../../limits.js'
import {
  entryKey,
  inodeKey,
  type Key,
  type Precondition,
  parseKey,
  type RegisterWrite,
  type Transaction,
} from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import { assertWellFormed } from '../quorum/transaction.js'

/** Number of writes at which a batch is sent. A change of more writes than that is a batch by itself. */
const writesMax = limits.transactionWritesMax - 16
const bytesMax = 128 * 1024

export class Batch {
  /** The version of everything that it writes. */
  readonly id: Version
  readonly changes: Transaction[] = []
  readonly #writes = new Map<Key, Buffer | null>()
  readonly #writtenAgain = new Set<Key>()
  readonly #preconditions = new Map<Key, Precondition>()
  readonly #emptyFolders = new Set<number>()
  #bytes = 0

  constructor(id: Version) {
    this.id = id
  }

  /** Adds a later change; returns false when it cannot be one transaction with those before. */
  add(change: Transaction): boolean {
    if (!this.#hasRoomFor(change)) return false
    if (!change.preconditions.every((one) => this.#agreesWith(one))) return false
    if (change.writes.some((write) => this.#comesTooLate(write))) return false
    assertWellFormed(change)
    this.changes.push(change)
    for (const precondition of change.preconditions) {
      // Of registers that the batch itself writes, the servers see only the final value.
      if (this.#writes.has(precondition.key)) continue
      this.#preconditions.set(precondition.key, precondition)
    }
    for (const { key, value } of change.writes) {
      if (this.#writes.has(key)) this.#writtenAgain.add(key)
      this.#writes.set(key, value)
      this.#bytes += key.length + (value?.length ?? 0)
    }
    for (const folder of change.emptyFolders) this.#emptyFolders.add(folder)
    return true
  }

  body(): Transaction {
    assert(this.changes.length > 0, 'an empty batch')
    return {
      writes: [...this.#writes].map(([key, value]) => ({ key, value })),
      preconditions: [...this.#preconditions.values()],
      emptyFolders: [...this.#emptyFolders],
    }
  }

  #hasRoomFor({ writes, preconditions }: Transaction): boolean {
    if (this.changes.length === 0) return true
    return (
      this.#writes.size + writes.length <= writesMax &&
      this.#preconditions.size + preconditions.length <= limits.transactionPreconditionsMax &&
      writes.reduce((sum, { value }) => sum + (value?.length ?? 0), this.#bytes) <= bytesMax
    )
  }

  /**
   * Whether a precondition of a change agrees with the batch: with the value that the batch writes, or with the
   * batch's own precondition for the register.
   */
  #agreesWith({ key, absent, version }: Precondition): boolean {
    const written = this.#writes.get(key)
    if (written !== undefined) {
      return absent ? written === null : written !== null && version === this.id
    }
    const other = this.#preconditions.get(key)
    if (other === undefined) return version < this.id
    return absent === other.absent && (absent || version === other.version)
  }

  /**
   * Whether the write changes an entry of a folder whose inode the batch writes already. A folder's times are those
   * of its newest entry, or its own if they are as new: of two changes with one version, no reader could tell that
   * the entry came after the times were set. A folder that the batch creates is an exception, if nothing else is done
   * to it: its times are those of the entry anyway.
   */
  #comesTooLate({ key }: RegisterWrite): boolean {
    const parsed = parseKey(key)
    if (parsed.kind !== 'entry') return false
    const folder = inodeKey(parsed.parent)
    const isNew = this.#preconditions.get(folder)?.absent === true
    return this.#writes.get(folder) != null && !(isNew && !this.#writtenAgain.has(folder))
  }
}

/** Whether one of the two writes what the other relies on. */
export function dependOnEachOther(a: Transaction, b: Transaction): boolean {
  return writesReliedOn(a, b) || writesReliedOn(b, a)
}

/** Whether `by` relies on something that the other writes. Its writes need no look: each has a precondition. */
function writesReliedOn({ writes }: Transaction, by: Transaction): boolean {
  if (writes.length === 0 || by.preconditions.length === 0) return false
  const written = new Set(writes.map(({ key }) => key))
  if (by.preconditions.some(({ key }) => written.has(key))) return true
  return by.emptyFolders.some((folder) => {
    const prefix = entryKey(folder, '')
    return writes.some(({ key }) => key.startsWith(prefix))
  })
}
