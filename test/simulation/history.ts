/**
 * The history of one run: every operation of every client with its beginning, end and outcome, what it saw, and which
 * transactions it sent; and, on request, a line for every event.
 */
import { crc32 } from 'node:zlib'
import type { ErrorCode } from '../../src/errors.js'
import type { Key } from '../../src/wire/records.js'
import type { Version } from '../../src/wire/version.js'

/** What an operation found out about a register. */
export type Sighting =
  /** The entry named this inode, or nothing. */
  | { readonly key: Key; readonly ino: number | null }
  /** The inode was at this version. */
  | { readonly key: Key; readonly version: Version }

export interface Operation {
  readonly number: number
  readonly client: string
  readonly verb: string
  readonly about: string
  readonly startMs: number
  /** Infinite while it runs. */
  endMs: number
  /** `lost`: its client crashed. `givenUp`: answered, and could not be stored after all. */
  outcome: 'open' | 'lost' | 'ok' | 'givenUp' | ErrorCode
  /** The transactions that were sent for it. */
  readonly transactions: Version[]
  readonly saw: Sighting[]
  /** Entries and inodes that a refusal may be about. */
  readonly entries: readonly Key[]
  readonly inodes: readonly number[]
  /** What is true of entries once it has succeeded. */
  readonly makes: readonly { readonly key: Key; readonly isLive: boolean }[]
  /** What it reads or builds upon: gone when it was replaced so long ago that its segments were swept. */
  readonly segments: readonly string[]
  /** It cannot succeed without a transaction. */
  readonly isChange: boolean
  /** At some time during it its client could reach only one server, and took its word. */
  wasAlone: boolean
  /** It was answered before it was stored, and has ended when it was: with others, in any transaction. */
  isBehind: boolean
}

export type Subject = Pick<Operation, 'about'> &
  Partial<Pick<Operation, 'entries' | 'inodes' | 'makes' | 'segments' | 'isChange'>>

export class History {
  readonly operations: Operation[] = []
  readonly violations: string[] = []
  readonly lines: string[] = []
  readonly #nowMs: () => number
  readonly #isTraced: boolean
  #hash = 0

  constructor(nowMs: () => number, isTraced: boolean) {
    this.#nowMs = nowMs
    this.#isTraced = isTraced
  }

  /** Hash of everything that was noted: the same for the same seed. */
  get hash(): string {
    return this.#hash.toString(16).padStart(8, '0')
  }

  begin(client: string, verb: string, subject: Subject): Operation {
    const operation: Operation = {
      number: this.operations.length + 1,
      client,
      verb,
      startMs: this.#nowMs(),
      endMs: Number.POSITIVE_INFINITY,
      outcome: 'open',
      transactions: [],
      saw: [],
      entries: [],
      inodes: [],
      makes: [],
      segments: [],
      isChange: false,
      wasAlone: false,
      isBehind: false,
      ...subject,
    }
    this.operations.push(operation)
    if (this.#isTraced) this.line(`${client} BEGIN ${nameOf(operation)}`)
    return operation
  }

  end(operation: Operation, outcome: Operation['outcome'], detail = ''): void {
    operation.endMs = this.#nowMs()
    operation.outcome = outcome
    this.note(`${operation.client} END ${nameOf(operation)}: ${outcome} ${detail}`)
  }

  violation(text: string): void {
    this.violations.push(text)
    this.line(`!!! ${text}`)
  }

  /** Something that is part of the run's identity. */
  note(text: string): void {
    this.mix(Buffer.from(text))
    this.line(text)
  }

  mix(bytes: Buffer): void {
    this.#hash = crc32(bytes, this.#hash)
  }

  line(text: string): void {
    if (this.#isTraced) this.lines.push(`${this.#nowMs().toString().padStart(6)} ${text}`)
  }
}

export function nameOf({ number, verb, about }: Operation): string {
  return `#${number} ${verb} ${about}`
}
