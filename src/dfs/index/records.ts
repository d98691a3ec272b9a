/** The records of transactions, undecided and decided. */
import assert from 'node:assert/strict'
import { laterOf, noVersion, type Version } from '../../wire/version.js'
import type { AccountDatabase } from './database.js'
import { type RecordColumns, recordChecksum, rottenRow } from './row-checksums.js'

export interface StoredRecord {
  readonly id: Version
  readonly body: Buffer | null
  readonly yes: boolean
  readonly promised: number
  readonly accepted: number
  readonly acceptedCommit: boolean
  readonly everCommit: boolean
  /** null while undecided. */
  readonly commit: boolean | null
}

export interface RecordRow extends RecordColumns {
  readonly checksum: number
}

export class RecordTable {
  readonly #db: AccountDatabase
  readonly #statements
  /** At least the id of the newest record: most ids that are asked for are newer. */
  #newestRecord: Version

  constructor(db: AccountDatabase) {
    this.#db = db
    this.#statements = prepare(db)
    this.#newestRecord = this.#statements.newestRecord.get() as Version
  }

  get(id: Version): StoredRecord | undefined {
    if (id > this.#newestRecord) return undefined
    const row = this.#statements.getRecord.get(id) as RecordRow | undefined
    return row && recordOf(row)
  }

  undecided(): StoredRecord[] {
    return (this.#statements.undecided.all() as RecordRow[]).map(recordOf)
  }

  put(record: StoredRecord): void {
    const { id, body, yes, promised, accepted, acceptedCommit, everCommit, commit } = record
    assert(accepted <= promised, 'a ballot is accepted that was not promised')
    assert(commit === null || body === null, 'a decided record keeps its decision alone')
    const row = {
      id,
      body,
      yes: Number(yes),
      promised,
      accepted,
      accepted_commit: Number(acceptedCommit),
      ever_commit: Number(everCommit),
      decision: commit === null ? null : Number(commit),
    }
    this.#newestRecord = laterOf(this.#newestRecord, id)
    this.#db.write(() => this.#statements.putRecord.run({ ...row, checksum: recordChecksum(row) }))
  }

  /** Records behind `after` in the order of their ids; `commit` is null for an undecided one. */
  after(
    after: Version,
    undecidedOnly: boolean,
    limit: number,
  ): { readonly id: Version; readonly commit: boolean | null }[] {
    const { undecidedAfter, records } = this.#statements
    const rows = (undecidedOnly ? undecidedAfter : records).all(after, limit)
    return (rows as Pick<RecordRow, 'id' | 'decision'>[]).map(({ id, decision }) => ({
      id,
      commit: decision === null ? null : decision === 1,
    }))
  }

  /** Drops those up to a version that all four servers agree on. */
  dropUpTo(floor: Version): void {
    this.#db.write(() => this.#statements.dropRecords.run(floor))
  }
}

function recordOf(row: RecordRow): StoredRecord {
  if (row.checksum !== recordChecksum(row)) rottenRow('the transactions')
  return {
    id: row.id,
    body: row.body,
    yes: row.yes === 1,
    promised: row.promised,
    accepted: row.accepted,
    acceptedCommit: row.accepted_commit === 1,
    everCommit: row.ever_commit === 1,
    commit: row.decision === null ? null : row.decision === 1,
  }
}

function prepare(db: AccountDatabase) {
  return {
    getRecord: db.prepare('SELECT * FROM records WHERE id = ?'),
    undecided: db.prepare('SELECT * FROM records WHERE decision IS NULL'),
    putRecord: db.prepare(`
      INSERT OR REPLACE INTO records VALUES (@id, @body, @yes, @promised, @accepted,
        @accepted_commit, @ever_commit, @decision, @checksum)`),
    records: db.prepare('SELECT id, decision FROM records WHERE id > ? ORDER BY id LIMIT ?'),
    undecidedAfter: db.prepare(`
      SELECT id, decision FROM records WHERE decision IS NULL AND id > ? ORDER BY id LIMIT ?`),
    newestRecord: db.prepare(`SELECT coalesce(max(id), '${noVersion}') FROM records`).pluck(),
    dropRecords: db.prepare('DELETE FROM records WHERE id <= ?'),
  }
}
