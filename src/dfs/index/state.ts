/** Single values that an account keeps, by name. */

import assert from 'node:assert/strict'
import type { AccountDatabase } from './database.js'
import { rottenRow, stateChecksum } from './row-checksums.js'

export class StateTable {
  readonly #db: AccountDatabase
  readonly #statements

  constructor(db: AccountDatabase) {
    this.#db = db
    this.#statements = prepare(db)
  }

  get(name: string): string | number | undefined {
    const row = this.#statements.get.get(name) as
      | { value: string | number; checksum: number }
      | undefined
    if (row !== undefined && row.checksum !== stateChecksum(name, row.value)) rottenRow('the state')
    return row?.value
  }

  set(name: string, value: string | number): void {
    assert(typeof value === 'string' || Number.isSafeInteger(value), 'it would be read as another')
    this.#db.write(() => this.#statements.put.run(name, value, stateChecksum(name, value)))
  }
}

function prepare(db: AccountDatabase) {
  return {
    get: db.prepare('SELECT value, checksum FROM state WHERE name = ?'),
    put: db.prepare('INSERT OR REPLACE INTO state VALUES (?, ?, ?)'),
  }
}
