/** The notes of an observer who sees everything during a schedule, for invariants.ts to judge. */
import type { EventQueue } from './events.js'
import type { Body, Key, TransactionId, Value, Version } from './vocabulary.js'

export interface Read {
  readonly key: Key
  readonly version: Version
  readonly value: Value
  readonly startedAt: number
  readonly endedAt: number
  /** Fewer than four servers were asked: a lie cannot always be told from the truth. */
  readonly isByFew: boolean
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
  /** The highest version of each key that two servers which do not lie had at once. */
  readonly settled = new Map<Key, Version>()
  readonly violations: string[] = []
  readonly #held = new Map<Key, Map<number, Version>>()
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

  /** A server has stored a register. */
  noteHeld(server: number, key: Key, version: Version): void {
    const held = this.#held.get(key) ?? new Map<number, Version>()
    this.#held.set(key, held.set(server, version))
    const holders = [...held.values()].filter((other) => other === version).length
    const known = this.settled.get(key) ?? 0
    if (holders > 1 && version > known) this.settled.set(key, version)
  }

  /** A server has applied a transaction, which somebody must have sent. */
  noteDecided(id: TransactionId): void {
    if (this.bodies.has(id)) this.noteCommitted(id, 'decided')
    else this.noteViolation(`invented ${id}`)
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
