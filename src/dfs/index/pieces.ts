/** The pieces that are here, and the bytes of the small ones. */
import assert from 'node:assert/strict'
import { limits } from '../../limits.js'
import type { AccountDatabase, Write } from './database.js'
import { nextTurn, type Pause, rowsAtOnce } from './pages.js'
import type { SegmentTable } from './segments.js'
import type { Totals } from './totals.js'

export interface StoredPieceRow {
  /** In bytes. */
  readonly length: number
  readonly checksums: readonly number[]
  /** Where the bytes of a small piece are; null when they are in a file. */
  readonly content: number | null
}

const none = Buffer.alloc(0)

export class PieceTable {
  readonly #db: AccountDatabase
  readonly #segments: SegmentTable
  readonly #statements
  readonly #totals: Totals

  constructor(db: AccountDatabase, segments: SegmentTable, totals: Totals) {
    this.#db = db
    this.#segments = segments
    this.#totals = totals
    this.#statements = prepare(db)
  }

  /**
   * Takes note of a piece that has been stored, in place of what was known of it. A small one brings
   * its `bytes` along: they rest here and not in a file.
   */
  add(
    segment: string,
    piece: number,
    length: number,
    checksums: readonly number[],
    bytes?: Buffer,
  ): void {
    assert.ok(piece >= 1 && piece <= limits.pieceCount)
    assert.equal(bytes?.length ?? length, length)
    assert.equal(checksums.length, Math.ceil(length / limits.blockBytes))
    const { putPiece, putContent, dropContent } = this.#statements
    this.#db.write((write) => {
      const before = this.get(segment, piece)
      if (before?.content != null) dropContent.run(before.content)
      const content = bytes === undefined ? null : putContent.run(bytes).lastInsertRowid
      putPiece.run(segment, piece, length, packed(checksums), content)
      // Also in place of one that had rotted: it is not lost any more.
      this.#segments.hold(write, segment, [piece])
      this.#count(write, before ? 0 : 1, length - (before?.length ?? 0))
    })
  }

  /** Stores small pieces, with their bytes, of a segment of which nothing is known here. */
  addSmall(
    segment: string,
    pieces: readonly { piece: number; checksums: readonly number[]; bytes: Buffer }[],
  ): void {
    const { putPiece, putContent } = this.#statements
    this.#db.write((write) => {
      for (const { piece, checksums, bytes } of pieces) {
        assert(piece >= 1 && piece <= limits.pieceCount)
        assert.equal(checksums.length, Math.ceil(bytes.length / limits.blockBytes))
        const { lastInsertRowid } = putContent.run(bytes)
        putPiece.run(segment, piece, bytes.length, packed(checksums), lastInsertRowid)
        this.#count(write, 1, bytes.length)
      }
      this.#segments.hold(
        write,
        segment,
        pieces.map(({ piece }) => piece),
      )
    })
  }

  get(segment: string, piece: number): StoredPieceRow | undefined {
    const row = this.#statements.getPiece.get(segment, piece) as
      | { length: number; checksums: Buffer; content: number | null }
      | undefined
    if (row === undefined) return undefined
    const checksums: number[] = []
    for (let at = 0; at < row.checksums.length; at += 4) {
      checksums.push(row.checksums.readUInt32BE(at))
    }
    return { length: row.length, checksums, content: row.content }
  }

  /** The bytes of a small piece, by what `get` says of it. */
  content(content: number): Buffer {
    return (
      (this.#statements.getContent.get(content) as { bytes: Buffer } | undefined)?.bytes ?? none
    )
  }

  /** Yields the pieces that are in files, with other work between the pages of them. */
  async *inFiles(
    pause: Pause = nextTurn,
  ): AsyncGenerator<{ readonly segment: string; readonly piece: number }> {
    for (let last = { segment: '', piece: 0 }; ; ) {
      const rows = this.#statements.inFiles.all(last, rowsAtOnce) as (typeof last)[]
      yield* rows
      last = rows.at(-1) ?? last
      if (rows.length < rowsAtOnce) return
      await pause()
    }
  }

  /** A bit for every piece of the segment that is here: 1 << (piece - 1). */
  held(segment: string): number {
    let mask = 0
    for (const { piece } of this.#statements.heldPieces.all(segment) as { piece: number }[]) {
      mask |= 1 << (piece - 1)
    }
    return mask
  }

  remove(segment: string, piece: number): void {
    const before = this.get(segment, piece)
    if (before === undefined) return
    this.#db.write((write) => {
      this.#statements.dropPiece.run(segment, piece)
      this.#segments.unhold(write, segment, piece)
      if (before.content !== null) this.#statements.dropContent.run(before.content)
      this.#count(write, -1, -before.length)
    })
  }

  #count(write: Write, pieces: number, pieceBytes: number): void {
    this.#totals.add(write, { pieces, pieceBytes })
  }
}

function packed(checksums: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(checksums.length * 4)
  for (const [index, checksum] of checksums.entries()) bytes.writeUInt32BE(checksum, index * 4)
  return bytes
}

function prepare(db: AccountDatabase) {
  return {
    getPiece: db.prepare(
      'SELECT length, checksums, content FROM pieces WHERE segment = ? AND piece = ?',
    ),
    heldPieces: db.prepare('SELECT piece FROM pieces WHERE segment = ?'),
    inFiles: db.prepare(`
      SELECT segment, piece FROM pieces
      WHERE (segment, piece) > (@segment, @piece) AND content IS NULL AND length > 0
      ORDER BY segment, piece LIMIT ?`),
    putPiece: db.prepare('INSERT OR REPLACE INTO pieces VALUES (?, ?, ?, ?, ?)'),
    dropPiece: db.prepare('DELETE FROM pieces WHERE segment = ? AND piece = ?'),
    getContent: db.prepare('SELECT bytes FROM contents WHERE id = ?'),
    putContent: db.prepare('INSERT INTO contents (bytes) VALUES (?)'),
    dropContent: db.prepare('DELETE FROM contents WHERE id = ?'),
  }
}
