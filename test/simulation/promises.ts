/** What clients have answered before it was stored, as the journals on their machines tell. */
import type { ClientLog } from '../../src/dfc/client.js'
import type { Journal, JournalEntry } from '../../src/dfc/namespace/journal.js'
import type { Transaction } from '../../src/wire/records.js'
import type { Version } from '../../src/wire/version.js'
import { MemoryJournals } from '../fixtures/memory-journals.js'
import type { Operation } from './history.js'
import { currentOperation } from './tap.js'

/** A change in a journal: it is stored, or given up for a reason, whatever becomes of its client. */
export interface Promised {
  readonly machine: Machine
  readonly client: string
  readonly entry: JournalEntry
  /** The operation that was answered with it. */
  readonly operation: Operation | undefined
  readonly atMs: number
  /** Its machine lost its power before the change was on the disk. */
  isLost: boolean
}

type OnAnswer = (client: string, entry: JournalEntry) => void

/** A machine on which clients run one after the other, with a journal that outlives them. */
export class Machine {
  readonly promises: Promised[] = []
  readonly clients = new Set<string>()
  /** Under what was answered that is stored under other ids, since some of it may be missing. */
  readonly renewed = new Set<Version>()
  /** When a client knew that all that was answered under an id is stored or given up. */
  readonly forgottenMs = new Map<Version, number>()
  readonly #journals = new MemoryJournals()
  readonly #nowMs: () => number
  readonly #onAnswer: OnAnswer

  /** `onAnswer` is called when a client is about to answer a change that is in the journal. */
  constructor(nowMs: () => number, onAnswer: OnAnswer) {
    this.#nowMs = nowMs
    this.#onAnswer = onAnswer
  }

  /** Whether this is one of several changes that were answered under one id, under another id by itself. */
  isByItself(id: Version, { writes }: Transaction): boolean {
    const keys = writes.map(({ key }) => key).join()
    const answered = this.promises.find(
      ({ entry }) => entry.id !== id && entry.body.writes.map(({ key }) => key).join() === keys,
    )
    return this.promises.filter(({ entry }) => entry.id === answered?.entry.id).length > 1
  }

  /** The changes that the next client has to store. */
  get left(): readonly JournalEntry[] {
    return this.#journals.left
  }

  /** Contents that could not be stored. */
  get kept(): MemoryJournals['kept'] {
    return this.#journals.kept
  }

  /** The client on it dies, with `tornAt` in the middle of a change that it had not answered. */
  crash(tornAt: number | undefined): void {
    this.#journals.crash(tornAt)
    for (const { id, isPartial } of this.left) if (isPartial === true) this.renewed.add(id)
  }

  /** The machine, on which no client runs, has lost its power: the last changes were not on its disk. Returns whose they were. */
  losePower(count: number): readonly Operation[] {
    const gone = this.#journals.losePower(count)
    for (const { id } of this.left) this.renewed.add(id)
    return gone.flatMap(({ id }) => {
      const promise = this.promises.findLast(({ entry, isLost }) => entry.id === id && !isLost)
      if (promise === undefined) return []
      promise.isLost = true
      return promise.operation ?? []
    })
  }

  /** The log of the next client. */
  logOf(client: string): ClientLog {
    this.clients.add(client)
    return {
      openJournal: () => this.#witnessed(client, this.#journals.openJournal()),
      keepContent: (lost, content) => this.#journals.keepContent(lost, content),
    }
  }

  #witnessed(client: string, journal: Journal): Journal {
    return {
      left: journal.left,
      append: (entry) => {
        journal.append(entry)
        const operation = currentOperation.getStore()
        this.promises.push({
          machine: this,
          client,
          entry,
          operation,
          atMs: this.#nowMs(),
          isLost: false,
        })
        this.#onAnswer(client, entry)
      },
      forget: (id) => {
        this.forgottenMs.set(id, this.#nowMs())
        journal.forget(id)
      },
      close: () => journal.close(),
    }
  }
}
