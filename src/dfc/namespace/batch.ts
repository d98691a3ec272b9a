/** Merges several changes of this client into one transaction, which leaves the registers as they would. */
import assert from 'node:assert/strict'
import { limits } from '../../limits.js'
import {
  decodeInode,
  entryKey,
  inodeKey,
  type Key,
  type Precondition,
  parseKey,
  type RegisterWrite,
  type Transaction,
} from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { PreparedSegment } from '../content/prepared-segment.js'
import { assertWellFormed } from '../quorum/transaction.js'
import type { LoggedChange } from './journal.js'

/** Number of writes at which a batch is sent. A change of more writes than that is a batch by itself. */
const writesMax = limits.transactionWritesMax - 16
const bytesMax = 128 * 1024

export class Batch {
  /** The version of everything that it writes. */
  readonly id: Version
  readonly changes: LoggedChange[] = []
  readonly #writes = new Map<Key, Buffer | null>()
  readonly #writtenAgain = new Set<Key>()
  readonly #preconditions = new Map<Key, Precondition>()
  readonly #emptyFolders = new Set<number>()
  #bytes = 0
  #contents = 0
  #contentBytes = 0

  constructor(id: Version) {
    this.id = id
  }

  /** Whether the change can be one transaction with those before. */
  canAdd(change: LoggedChange): boolean {
    const { preconditions, writes } = change.body
    if (!this.#hasRoomFor(change)) return false
    if (!preconditions.every((one) => this.#agreesWith(one))) return false
    return !writes.some((write) => this.#comesTooLate(write))
  }

  /** Adds a later change. */
  add(change: LoggedChange): void {
    const { body, contents } = change
    assertWellFormed(body)
    this.changes.push(change)
    for (const precondition of body.preconditions) {
      // Of registers that the batch itself writes, the servers see only the final value.
      if (this.#writes.has(precondition.key)) continue
      this.#preconditions.set(precondition.key, precondition)
    }
    for (const { key, value } of body.writes) {
      if (this.#writes.has(key)) this.#writtenAgain.add(key)
      this.#writes.set(key, value)
      this.#bytes += key.length + (value?.length ?? 0)
    }
    for (const folder of body.emptyFolders) this.#emptyFolders.add(folder)
    this.#contents += contents.length
    this.#contentBytes += bytesOf(contents)
  }

  /** The new segments to which the batch as a whole refers. Content that was replaced within it is not stored. */
  contents(): readonly PreparedSegment[] {
    const all = this.changes.flatMap(({ contents }) => contents)
    if (all.length === 0) return all
    const used = new Set<string>()
    for (const [key, value] of this.#writes) {
      if (value === null || parseKey(key).kind !== 'inode') continue
      for (const { id } of decodeInode(value).segments) used.add(id)
    }
    return all.filter(({ segment }) => used.has(segment.id))
  }

  body(): Transaction {
    assert(this.changes.length > 0, 'an empty batch')
    return {
      writes: [...this.#writes].map(([key, value]) => ({ key, value })),
      preconditions: [...this.#preconditions.values()],
      emptyFolders: [...this.#emptyFolders],
    }
  }

  #hasRoomFor({ body: { writes, preconditions }, contents }: LoggedChange): boolean {
    if (this.changes.length === 0) return true
    return (
      this.#contents + contents.length <= limits.inlineSegmentsMax &&
      this.#contentBytes + bytesOf(contents) <= limits.framePayloadBytesMax &&
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

/** Number of bytes of these segments. */
export function bytesOf(contents: readonly PreparedSegment[]): number {
  return contents.reduce((sum, { segment }) => sum + segment.length, 0)
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
