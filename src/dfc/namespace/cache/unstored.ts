/**
 * Registers that this client has changed, with an answer, and that the servers may not have like that yet. While a change
 * waits, what it left is the value of the register here. Once the servers have refused it, it is undecided until it is
 * stored in another way or given up, and nobody can tell the value of the register.
 */
import assert from 'node:assert/strict'
import type { Key, Transaction } from '../../../wire/records.js'
import { noVersion, type Version } from '../../../wire/version.js'

interface Waiting {
  /** Number of changes that wait. */
  readonly count: number
  /** Under which version the last of them was answered. */
  readonly id: Version
  /** Under which version an earlier change was stored last, which may be greater than `id`. */
  readonly storedAs: Version
}

type Writes = Pick<Transaction, 'writes'>

export class Unstored {
  readonly #waiting = new Map<Key, Waiting>()
  /** Number of undecided changes of each register. */
  readonly #undecided = new Map<Key, number>()
  #refusals = 0

  /** The number of registers. */
  get size(): number {
    return this.#waiting.size
  }

  keys(): Iterable<Key> {
    return this.#waiting.keys()
  }

  has(key: Key): boolean {
    return this.#waiting.has(key)
  }

  /** Returns the version under which the last change of the register was answered, if it waits. */
  idOf(key: Key): Version | undefined {
    return this.#waiting.get(key)?.id
  }

  /** Whether servers that have the register under `version` lack the last change, which waits. */
  isBefore(key: Key, version: Version): boolean {
    const waiting = this.#waiting.get(key)
    // A newer one is of another client, which was let in meanwhile.
    return waiting !== undefined && (version < waiting.id || version <= waiting.storedAs)
  }

  /** Notes that a change, answered under `id`, waits. */
  hold({ writes }: Writes, id: Version): void {
    for (const { key } of writes) {
      const { count = 0, storedAs = noVersion } = this.#waiting.get(key) ?? {}
      this.#waiting.set(key, { count: count + 1, id, storedAs })
    }
  }

  /** Ends what `hold` began. Returns the registers of which no other change waits. */
  release({ writes }: Writes): readonly Key[] {
    return writes.map(({ key }) => key).filter((key) => this.#releaseOne(key))
  }

  #releaseOne(key: Key): boolean {
    const waiting = this.#waiting.get(key)
    assert(waiting !== undefined, 'a change is stored once')
    if (waiting.count > 1) this.#waiting.set(key, { ...waiting, count: waiting.count - 1 })
    else this.#waiting.delete(key)
    return waiting.count === 1
  }

  /** Notes that an earlier change of a register was stored, if a later one waits. */
  noteStored(key: Key, version: Version): void {
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) this.#waiting.set(key, { ...waiting, storedAs: version })
  }

  /** How often `refuse` and `decide` were called. */
  get refusals(): number {
    return this.#refusals
  }

  /** Notes that the servers have refused a change. */
  refuse({ writes }: Writes): void {
    this.#refusals += 1
    for (const { key } of writes) this.#undecided.set(key, (this.#undecided.get(key) ?? 0) + 1)
  }

  /** Ends what `refuse` began: the change was stored in another way, or given up. */
  decide({ writes }: Writes): void {
    this.#refusals += 1
    for (const { key } of writes) {
      const count = this.#undecided.get(key) ?? 0
      assert(count > 0, 'a change is decided once')
      if (count > 1) this.#undecided.set(key, count - 1)
      else this.#undecided.delete(key)
    }
  }

  isUndecided(key: Key): boolean {
    return this.#undecided.has(key)
  }

  get hasUndecided(): boolean {
    return this.#undecided.size > 0
  }

  /** Returns the registers of which a change is undecided. */
  undecided(): readonly Key[] {
    return [...this.#undecided.keys()]
  }
}
