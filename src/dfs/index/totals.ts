/**
 * How many registers and pieces there are. They are counted once and then kept, in the table of state too, with
 * every change: to count takes as long as to read the whole index from the disk, which would make clients wait
 * after a start of the machine.
 */
import assert from 'node:assert/strict'
import type { AccountDatabase, Write } from './database.js'
import type { StateTable } from './state.js'

export interface Counted {
  /** Inodes and entries that are live. */
  readonly registers: number
  readonly pieces: number
  readonly pieceBytes: number
}

const stateName = 'totals'

export class Totals {
  readonly #state: StateTable
  readonly #statements
  #now: Counted
  /** The totals as the last group that was stored has left them, and their text in the table of state. */
  #stored: Counted
  #written: string | undefined

  constructor(db: AccountDatabase, state: StateTable) {
    this.#state = state
    this.#statements = prepare(db)
    const text = state.get(stateName)
    this.#now = (typeof text === 'string' ? parsed(text) : undefined) ?? this.#counted()
    this.#stored = this.#now
    this.#written = typeof text === 'string' ? text : undefined
    db.beforeCommit(() => this.#write())
    db.onEnd((isStored) => {
      if (isStored) this.#stored = this.#now
    })
    db.onRollback(() => {
      this.#now = this.#stored
      this.#written = undefined
    })
  }

  get now(): Counted {
    return this.#now
  }

  /** Adds what has become more, or less. */
  add(_: Write, more: Partial<Counted>): void {
    this.#now = {
      registers: this.#now.registers + (more.registers ?? 0),
      pieces: this.#now.pieces + (more.pieces ?? 0),
      pieceBytes: this.#now.pieceBytes + (more.pieceBytes ?? 0),
    }
    // Not so the bytes: the rows of pieces have no checksums, and a length may rot.
    assert(this.#now.registers >= 0, 'more registers are gone than there were')
    assert(this.#now.pieces >= 0, 'more pieces are gone than there were')
  }

  /** Counts everything anew, after the removal of a register of unknown value. */
  countAgain(_: Write): void {
    this.#now = this.#counted()
  }

  #counted(): Counted {
    const registers = this.#statements.registers.get() as Pick<Counted, 'registers'>
    const pieces = this.#statements.pieces.get() as Pick<Counted, 'pieces' | 'pieceBytes'>
    return { ...registers, ...pieces }
  }

  #write(): void {
    const { registers, pieces, pieceBytes } = this.#now
    const text = `${registers} ${pieces} ${pieceBytes}`
    if (text === this.#written) return
    this.#state.set(stateName, text)
    this.#written = text
  }
}

function parsed(text: string): Counted | undefined {
  const [registers, pieces, pieceBytes, ...rest] = text.split(' ').map(Number)
  const areNumbers = [registers, pieces, pieceBytes].every((count) => Number.isSafeInteger(count))
  if (!areNumbers || rest.length > 0) return undefined
  const counted = { registers: registers ?? 0, pieces: pieces ?? 0, pieceBytes: pieceBytes ?? 0 }
  return counted.registers >= 0 && counted.pieces >= 0 ? counted : undefined
}

function prepare(db: AccountDatabase) {
  return {
    registers: db.prepare(`
      SELECT (SELECT count(*) FROM inodes WHERE value IS NOT NULL) +
        (SELECT count(*) FROM entries WHERE ino IS NOT NULL) AS registers`),
    pieces: db.prepare(
      'SELECT count(*) AS pieces, coalesce(sum(length), 0) AS pieceBytes FROM pieces',
    ),
  }
}
