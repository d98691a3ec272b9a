/**
 * The undecided transactions of an account, in memory because every vote looks at them, and how much
 * they take: the server takes no more of them when they are too many or too large.
 */
import assert from 'node:assert/strict'
import { limits } from '../../limits.js'
import type { Transaction } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { StoredRecord } from '../index/records.js'

/** An undecided transaction; once decided only its id and decision remain, in the index. */
export interface InDoubt extends Omit<StoredRecord, 'body' | 'commit'> {
  readonly body: Transaction | null
}

/** Size that an object with a key, its lock included, has beside the bytes of its value. */
const keyBytes = 512

export class InDoubtRecords {
  readonly #records = new Map<Version, InDoubt>()
  #bytes = 0

  get size(): number {
    return this.#records.size
  }

  get isFull(): boolean {
    return this.size >= limits.undecidedRecordsMax || this.#bytes >= limits.undecidedBytesMax
  }

  get(id: Version): InDoubt | undefined {
    return this.#records.get(id)
  }

  set(id: Version, record: InDoubt): void {
    this.delete(id)
    this.#records.set(id, record)
    this.#bytes += bytesOf(record)
  }

  delete(id: Version): void {
    const record = this.#records.get(id)
    if (record === undefined) return
    this.#records.delete(id)
    this.#bytes -= bytesOf(record)
    assert.ok(this.#bytes >= 0)
    assert.equal(this.#bytes === 0, this.#records.size === 0)
  }

  clear(): void {
    this.#records.clear()
    this.#bytes = 0
  }

  values(): Iterable<InDoubt> {
    return this.#records.values()
  }
}

function bytesOf({ body }: InDoubt): number {
  if (body === null) return keyBytes
  let bytes = (1 + body.writes.length + body.preconditions.length) * keyBytes
  for (const { value } of body.writes) bytes += value?.length ?? 0
  return bytes
}
