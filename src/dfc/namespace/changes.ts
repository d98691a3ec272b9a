/**
 * The loop of every change: plan from cached values, answer it by the log or commit it, and when another client was
 * faster plan again from fresh values. Changes of this client to the same registers take turns.
 */
import assert from 'node:assert/strict'
import type { Clock } from '../../clock.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { type Key, parseKey, type Transaction } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import { ownCopy, type PreparedSegment } from '../content/prepared-segment.js'
import type { MakesRoom } from '../content/segment-writer.js'
import type { Lease } from '../quorum/lease.js'
import type { Committed, Transactions } from '../quorum/transaction.js'
import { bytesOf, dependOnEachOther } from './batch.js'
import type { NodeCache, Written } from './cache/node-cache.js'
import type { LoggedChange } from './journal.js'
import { KeyLocks } from './key-locks.js'
import type { LocalLog } from './local-log.js'

/** One attempt of a change: what to commit, and what is true once it is committed. */
export interface Plan<T> {
  readonly body: Transaction
  readonly inline?: PreparedSegment | undefined
  readonly onDisk?: boolean | undefined
  /** The file whose content the change stores, with a name of it for messages. */
  readonly file?: LoggedChange['file']
  /** Brings the cache up to date and gives the result. */
  readonly done: (written: Written) => T
}

/** A plan, or with no body the result of a change that changes nothing. */
export type Planned<T> = Plan<T> | { readonly body: undefined; readonly result: T } | undefined

/** Makes a plan. With `fresh`, no value comes from the cache. */
export type Planner<T> = (fresh: boolean) => Promise<Planned<T>>

/** To be planned once more. */
const again = Symbol('again')

type Outcome<T> =
  | { readonly committed: true; readonly result: T }
  | Extract<Committed, { committed: false }>

export class Changes {
  readonly #clock: Clock
  readonly #transactions: Transactions
  readonly #lease: Pick<Lease, 'forgetAll'>
  readonly #cache: NodeCache
  readonly #log: LocalLog
  readonly #makeRoom: MakesRoom
  readonly #locks = new KeyLocks()
  /** Transactions that have been sent and not answered: the cache does not have their effects yet. */
  readonly #underWay = new Set<Transaction>()

  constructor(
    clock: Clock,
    transactions: Transactions,
    lease: Pick<Lease, 'forgetAll'>,
    cache: NodeCache,
    log: LocalLog,
    makeRoom: MakesRoom = async () => false,
  ) {
    this.#makeRoom = makeRoom
    this.#clock = clock
    this.#transactions = transactions
    this.#lease = lease
    this.#cache = cache
    this.#log = log
  }

  /**
   * Plans and commits; plans again from fresh values when another client was faster. Throws `busy` after several
   * attempts.
   */
  make<T>(exclusive: readonly Key[], shared: readonly Key[], plan: Planner<T>): Promise<T> {
    return this.#locks.hold(exclusive, shared, async () => {
      const startedMs = this.#clock.monotonic()
      for (let attempt = 0; ; attempt += 1) {
        this.#transactions.assertWritable()
        const planned = await this.#planned(plan, attempt > 0).catch(
          async (error: unknown): Promise<typeof again> => {
            // Fewer servers may have an old value, which must not be the reason for a refusal.
            const mayBeOld = await this.#transactions.awaitWritable()
            if (mayBeOld && attempt < limits.conflictAttemptsMax) return again
            // The name was there and its inode was gone a moment later: another client removed both.
            const isEntry = exclusive[0]?.startsWith('e') === true
            throw isEntry && isError(error, 'stale') ? new DfsError('notFound') : error
          },
        )
        if (planned === again) continue
        if (planned === undefined) return undefined as T
        if (planned.body === undefined) return planned.result
        // The caller may write over the bytes as soon as it has the answer, and a slow server gets them later.
        const contents = planned.inline === undefined ? [] : [ownCopy(planned.inline)]
        const taken = this.#answered(planned, contents)
        if (taken !== undefined) {
          return planned.done({ id: taken, askedMs: this.#clock.monotonic() })
        }
        const outcome = await this.#committed(planned, contents).catch(async (error: unknown) => {
          // Only contents take room that the trash could give back.
          const bytes = bytesOf(contents)
          const mayTry = bytes > 0 && attempt < limits.trashRoomAttemptsMax
          if (!mayTry || !(await this.#makeRoom(error, bytes))) throw error
        })
        if (outcome === undefined) continue
        if (outcome.committed) return outcome.result
        if (outcome.why === 'notEmpty') {
          // When values came from the cache, the name may mean another folder by now, or none.
          const isSure = attempt > 0 || exclusive.every((key) => this.#isCertain(key))
          if (isSure) throw new DfsError('notEmpty')
        } else this.#doubt(outcome.key)
        const elapsedMs = this.#clock.monotonic() - startedMs
        if (attempt >= limits.conflictAttemptsMax || elapsedMs > limits.transactionPatienceMs) {
          throw new DfsError('busy', 'gave up: other clients keep changing the same names')
        }
      }
    })
  }

  /**
   * Returns the version of a change that may be answered before it is stored, undefined when it must be stored first.
   */
  #answered<T>(
    { body, onDisk, file }: Plan<T>,
    contents: readonly PreparedSegment[],
  ): Version | undefined {
    if (onDisk === true) return undefined
    // The values that it was planned from would be outdated when it is stored.
    for (const other of this.#underWay) if (dependOnEachOther(other, body)) return undefined
    return this.#log.take({ body, contents, file })
  }

  async #committed<T>(plan: Plan<T>, contents: readonly PreparedSegment[]): Promise<Outcome<T>> {
    const { body, onDisk } = plan
    assert(!this.#underWay.has(body), 'a plan is committed once')
    this.#underWay.add(body)
    try {
      const [askedMs, outcome] = await this.#log.inOrder(body, onDisk === true, () =>
        this.#cache.asked(() => this.#transactions.commit(body, { contents, onDisk })),
      )
      if (!outcome.committed) return outcome
      const { id } = outcome
      assert(
        body.preconditions.every(({ version }) => version < id),
        'a change is newer than what it relies on',
      )
      return { committed: true, result: plan.done({ id, askedMs }) }
    } finally {
      this.#underWay.delete(body)
    }
  }

  /** Whether no other client can have changed the name since this client read it. */
  #isCertain(key: Key): boolean {
    const parsed = parseKey(key)
    return (
      parsed.kind === 'entry' && this.#cache.leasedEntry(parsed.parent, parsed.name) !== undefined
    )
  }

  /**
   * Drops the cached value of `key`, which was wrong. While this client is alone that happens only when an in-doubt
   * transaction of a dead client was decided. A name that did not exist may have been removed before, which is no
   * reason to drop other values.
   */
  #doubt(key: Key): void {
    const parsed = parseKey(key)
    const isAbsence =
      parsed.kind === 'entry' && this.#cache.staleEntry(parsed.parent, parsed.name)?.ino == null
    if (!isAbsence) this.#lease.forgetAll()
  }

  /** Makes a plan from cached values. Before it refuses the change, it is made again from fresh ones. */
  async #planned<T>(plan: Planner<T>, fresh: boolean): Promise<Planned<T>> {
    try {
      return await plan(fresh)
    } catch (error) {
      if (fresh || !(error instanceof DfsError)) throw error
      return await plan(true)
    }
  }
}
