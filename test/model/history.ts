/** The notes of an observer who sees everything during a schedule, for invariants.ts to judge. */
import type { EventQueue } from './events.js'
import type { Body, Key, TransactionId, Value, Version } from './vocabulary.js'

export interface Read {
  readonly key: Key
  readonly version: Version
  readonly value: Value
  readonly startedAt: number
  readonly endedAt: number
}

export class History {
  /** Every transaction that was ever sent. */
  readonly bodies = new Map<TransactionId, Body>()
  /** When it became certain that a transaction commits, in the order of that. */
  readonly committed = new Map<TransactionId, number>()
  /** When the user was told that a transaction is committed. */
  readonly acknowledged = new Map<TransactionId, number>()
  /** Transactions that were reported as failed to the user. */
  readonly failed = new Set<TransactionId>()
  readonly reads: Read[] = []
  readonly violations: string[] = []
  readonly #events: EventQueue
  readonly #trace: ((text: string) => void) | undefined

  constructor(events: EventQueue, trace: ((text: string) => void) | undefined) {
    this.#events = events
    this.#trace = trace
  }

  noteCommitted(id: TransactionId, cause: string): void {
    if (this.committed.has(id)) return
    this.committed.set(id, this.#events.now)
    this.#trace?.(`commit of ${id} is certain: ${cause}`)
  }

  noteAcknowledged(id: TransactionId, cause: string): void {
    this.noteCommitted(id, cause)
    this.acknowledged.set(id, this.#events.now)
  }

  noteViolation(text: string): void {
    this.violations.push(text)
    this.#trace?.(`!!! ${text}`)
  }

  bodyOf(id: TransactionId): Body {
    const body = this.bodies.get(id)
    if (body === undefined) throw new Error(`transaction ${id} was never sent`)
    return body
  }
}
