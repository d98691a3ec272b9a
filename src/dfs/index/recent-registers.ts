/**
 * Registers that were read or written a moment ago. A transaction looks at the same ones when it is
 * voted on and when it is decided, and the next one often at those again; a row of SQLite costs as
 * much as all the rest of such a look. Only small values are kept, and none that was not on the disk.
 */
import assert from 'node:assert/strict'
import { limits } from '../../limits.js'
import type { Key } from '../../wire/records.js'
import { noVersion, type Version } from '../../wire/version.js'

/** A register as stored: `value` null is a tombstone; a version of `noVersion` was never written. */
export interface StoredRegister {
  readonly version: Version
  readonly value: Buffer | null
}

export class RecentRegisters {
  /** When there are too many new ones the old ones go, all at once: cheaper than one by one. */
  #new = new Map<Key, StoredRegister>()
  #old = new Map<Key, StoredRegister>()

  get(key: Key): StoredRegister | undefined {
    return this.#new.get(key) ?? this.#old.get(key)
  }

  /** A large one is forgotten instead. Of the value a copy is kept: it may be a view into a frame. */
  set(key: Key, { version, value }: StoredRegister): void {
    assert(version >= (this.get(key)?.version ?? noVersion), 'a register goes back')
    if (value !== null && value.length > limits.recentValueBytesMax) {
      this.delete(key)
      return
    }
    if (this.#new.size >= limits.recentRegistersMax / 2) {
      this.#old = this.#new
      this.#new = new Map()
    }
    this.#new.set(key, { version, value: value && Buffer.from(value) })
    assert(this.#new.size <= limits.recentRegistersMax / 2)
  }

  delete(key: Key): void {
    this.#new.delete(key)
    this.#old.delete(key)
  }

  clear(): void {
    this.#new.clear()
    this.#old.clear()
  }
}
