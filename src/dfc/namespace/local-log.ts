/**
 * The log of what this client has answered and not stored yet: creations, contents, names, attributes, in the order in
 * which they were answered. Many of them are one transaction a moment later: one round trip for all instead of one for
 * each. What was answered is in the cache from then on, so that everything that reads it sees it, and in a journal,
 * which outlives this process (journal.ts).
 *
 * Which changes are answered early is the matter of early-answers.ts.
 *
 * What was answered first reaches the servers first, and before whatever is waited for after it. What cannot be stored
 * is tried again for as long as this client lives, and nothing overtakes it (store-attempts.ts). What has become
 * impossible is given up (given-up.ts).
 */
import assert from 'node:assert/strict'
import type { Timer } from '../../clock.js'
import { limits } from '../../limits.js'
import { debugDfc, notice } from '../../log.js'
import type { Key, Transaction } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { PreparedSegment } from '../content/prepared-segment.js'
import type { Lease } from '../quorum/lease.js'
import { Batch, bytesOf, dependOnEachOther } from './batch.js'
import type { CacheMoment } from './cache/node-cache.js'
import { EarlyAnswers, type EarlyAnswersOptions } from './early-answers.js'
import { GivenUp, type KeepContent } from './given-up.js'
import type { Journal, JournalEntry, LoggedChange } from './journal.js'
import { type Due, StoreAttempts, type StoreAttemptsOptions } from './store-attempts.js'

/** Where the contents of changes are read from until they are stored. */
export interface HeldContents {
  hold(content: PreparedSegment): void
  /** Ends what `hold` began. */
  release(id: string): void
}

export interface LocalLogOptions extends EarlyAnswersOptions, StoreAttemptsOptions {
  readonly lease: Pick<Lease, 'exclusiveForMs' | 'use' | 'forgetAll'>
  readonly contents: HeldContents
  readonly keepContent: KeepContent
}

/** How much was answered and is not stored yet. */
export interface LogDepth {
  readonly changes: number
  /** Bytes of contents. */
  readonly bytes: number
  /** The version, which has the time, under which the oldest of them was answered. */
  readonly oldest: Version | undefined
}

/** An answer of the servers, and the moment before they were asked, with which the answer is to be noted in the cache. */
export interface Asked<T> {
  readonly moment: CacheMoment
  readonly answer: T
}

export class LocalLog {
  readonly #options: LocalLogOptions
  readonly #early: EarlyAnswers
  readonly #givenUp: GivenUp
  readonly #attempts: StoreAttempts
  #journal: Journal | undefined
  #open: Batch | undefined
  #timer: Timer | undefined
  /** Transactions to be stored, in this order. */
  readonly #due: Due[] = []
  /** Number of changes that are not stored, and the bytes of their contents. */
  #count = 0
  #bytes = 0
  /** Number of changes that are stored or were given up, and up to which number they are to be stored now. */
  #done = 0
  #wanted = 0
  /** Ids of what is stored or given up, and is in the journal still. */
  readonly #isStored: Version[] = []
  /** Up to which number changes may rely on versions under which nothing is stored. */
  #relyingUpTo = 0
  /** Calls of `settle`, with the number of changes that each waits for. */
  readonly #waiting: { upTo: number; resolve(): void; reject(error: unknown): void }[] = []
  #isStoring = false
  /** The failure that keeps the first of them from being stored. */
  #obstacle: unknown
  #isOver = false

  constructor(options: LocalLogOptions) {
    this.#options = options
    this.#early = new EarlyAnswers(options)
    this.#givenUp = new GivenUp(options.keepContent)
    this.#attempts = new StoreAttempts(options, this.#givenUp)
  }

  /**
   * Begins with a journal. Resolves when what earlier clients have left in it is stored, given up, or cannot be stored
   * now; and changes may be answered early, or it is known that they may not yet.
   */
  async begin(journal: Journal | undefined): Promise<void> {
    assert(this.#journal === undefined, 'a log begins once')
    this.#journal = journal
    if (journal === undefined) return
    for (const { id, isPartial: _, ...change } of journal.left) {
      if (this.#open !== undefined && (this.#open.id !== id || !this.#open.canAdd(change))) {
        this.#close()
      }
      this.#add(this.#open ?? this.#opened(id), change)
    }
    this.#close()
    this.#renewPartial(journal.left)
    if (this.#count > 0) {
      notice(`Storing ${this.#count} changes that a mount of before had answered`)
      await this.settle().catch((error: unknown) => debugDfc('journal: %o', error))
    }
    await this.#early.prepare()
  }

  /**
   * Gives new ids to what is not all that was answered under the one that it has. A server may have voted for all of it
   * as one transaction, and would commit that in the place of this.
   */
  #renewPartial(left: readonly JournalEntry[]): void {
    const partial = new Set(left.flatMap(({ id, isPartial }) => (isPartial === true ? [id] : [])))
    // This release may put less into a transaction than the one that answered.
    const seen = new Set<Version>()
    for (const { knownAs } of this.#due) (seen.has(knownAs) ? partial : seen).add(knownAs)
    for (const due of this.#due) if (partial.has(due.knownAs)) due.id = undefined
  }

  get depth(): LogDepth {
    const oldest = this.#due[0]?.knownAs ?? this.#open?.id
    return { changes: this.#count, bytes: this.#bytes, oldest }
  }

  /**
   * Accepts a change to be stored later and returns its version, which is visible here from now on. Undefined when
   * the change must be committed before it is answered.
   */
  take(change: LoggedChange): Version | undefined {
    const { cluster, cache } = this.#options
    if (this.#obstacle !== undefined || this.#journal === undefined || this.#isOver)
      return undefined
    if (!this.#early.areAllowedFor(change.body)) return undefined
    const bytes = bytesOf(change.contents)
    if (this.#count >= limits.logChangesMax || this.#bytes + bytes > limits.logBytesMax) {
      return undefined
    }
    // The folder's times, which follow from its newest version, would not advance.
    const isLate = this.#open !== undefined && !cache.isNewest(this.#open.id, change.body)
    if (isLate || this.#open?.canAdd(change) === false) this.#close()
    const batch = this.#open ?? this.#opened(cluster.versionFor(change.body))
    assert(batch.canAdd(change), 'a batch takes any change that is its first')
    try {
      this.#journal.append({ id: batch.id, ...change })
    } catch (error) {
      debugDfc('journal: %o', error)
      if (batch.changes.length === 0) this.#open = undefined
      return undefined
    }
    this.#add(batch, change)
    this.#storeIn(limits.behindMs)
    return batch.id
  }

  #opened(id: Version): Batch {
    assert(this.#open === undefined, 'one batch is open at a time')
    this.#open = new Batch(id)
    return this.#open
  }

  #add(batch: Batch, change: LoggedChange): void {
    batch.add(change)
    this.#count += 1
    this.#bytes += bytesOf(change.contents)
    this.#options.cache.hold(change.body, batch.id)
    for (const content of change.contents) this.#options.contents.hold(content)
  }

  /** Throws, once, if a change of the inode was given up that had been answered. */
  assertKept(ino: number): void {
    this.#givenUp.assertKept(ino)
  }

  /**
   * Runs `commit`, which commits `body`, after earlier changes were sent, or stored if one depends on the other; with
   * `isOnDisk`, after all of them are stored. Throws the failure that prevents it.
   */
  async inOrder<T>(body: Transaction, isOnDisk: boolean, commit: () => Promise<T>): Promise<T> {
    await (isOnDisk ? this.settle() : this.#ahead(body))
    return commit()
  }

  async #ahead(body: Transaction): Promise<void> {
    while (this.#count > 0) {
      this.#close()
      const [first, second] = this.#due
      const isFree =
        second === undefined && first !== undefined && !dependOnEachOther(first.body, body)
      if (isFree && this.#obstacle === undefined) {
        // It is sent before this returns.
        this.#storeSoon()
        return
      }
      await this.settle()
    }
  }

  /**
   * Resolves when all changes so far are stored or given up; changes that follow are not waited for, which might never
   * end. Throws the failure that prevents it.
   */
  async settle(): Promise<void> {
    if (this.#count === 0) return
    const upTo = this.#done + this.#count
    const settled = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ upTo, resolve, reject })
    })
    this.#storeSoon()
    await settled
  }

  /**
   * Asks the servers for these registers: after what there is was stored, as far as that can be done now, if they would be
   * found locked. Of others the answer is right without that, since the cache applies the log to it.
   */
  askForRegisters<T>(keys: readonly Key[], ask: () => Promise<T>): Promise<Asked<T>> {
    return this.#ask(() => keys.some((key) => this.#options.cache.isUnstored(key)), ask)
  }

  /** Asks the servers for the names in these folders, as `askForRegisters` does for registers. */
  askForNames<T>(folders: readonly number[], ask: () => Promise<T>): Promise<Asked<T>> {
    return this.#ask(() => folders.some((one) => this.#options.cache.hasUnstoredIn(one)), ask)
  }

  /** Asks the servers, after what there is was stored, as far as that can be done now. */
  askForAny<T>(ask: () => Promise<T>): Promise<Asked<T>> {
    return this.#ask(() => true, ask)
  }

  async #ask<T>(isConcerned: () => boolean, ask: () => Promise<T>): Promise<Asked<T>> {
    const { cache } = this.#options
    for (;;) {
      // What was refused the cache does not have any more, and the servers do not have it yet: a name that was answered
      // must not be missing just because another client has changed the mode of its folder.
      if (this.#count > 0 && (cache.hasUndecided || isConcerned())) await this.settleForAll()
      const { refusals } = cache
      const moment = cache.moment()
      const answer = await ask()
      if (cache.refusals === refusals) return { moment, answer }
    }
  }

  /** Stores what there is, as far as that can be done now. */
  async settleForAll(): Promise<void> {
    if (this.#obstacle !== undefined && !this.#options.cache.hasUndecided) return
    await this.settle().catch((error: unknown) => debugDfc('log: %o', error))
  }

  /** Flushes like `settle`. Throws, once, if a change had to be given up. */
  async sync(): Promise<void> {
    await this.settle()
    this.#givenUp.assertAllKept()
  }

  /** Ends all retries: the client is about to be closed. The journal keeps what is not stored. */
  end(): void {
    this.#isOver = true
    this.#timer?.cancel()
    this.#close()
    if (this.#count > 0) {
      notice(
        `${this.#count} changes could not be stored. They are kept on this machine, and the next mount of the ` +
          'account here stores them',
        'warning',
      )
    }
    this.#journal?.close()
  }

  // -- storing -----------------------------------------------------------------------------------

  /** Stores all changes so far, in the order in which they were answered. The first are sent before this returns. */
  #storeSoon(): void {
    this.#wanted = this.#done + this.#count
    if (this.#isStoring) return
    this.#isStoring = true
    void this.#store()
  }

  /** Never rejects. */
  async #store(): Promise<void> {
    let obstacle: unknown
    try {
      do await this.#storeAll()
      while (this.#due.length > 0 || this.#done < this.#wanted)
    } catch (error) {
      obstacle = error
    }
    this.#isStoring = false
    this.#ended(obstacle)
  }

  #ended(obstacle: unknown): void {
    if (obstacle !== undefined && this.#obstacle === undefined) {
      const why = obstacle instanceof Error ? obstacle.message : String(obstacle)
      notice(`Recent changes are not stored yet, retrying: ${why}`, 'warning')
    }
    if (obstacle === undefined && this.#obstacle !== undefined)
      notice('Recent changes are stored now.')
    this.#obstacle = obstacle
    if (obstacle !== undefined) {
      for (const { reject } of this.#waiting.splice(0)) reject(obstacle)
    }
    if (this.#count === 0 || this.#timer !== undefined || this.#isOver) return
    this.#storeIn(obstacle === undefined ? limits.behindMs : limits.behindRetryMs)
  }

  #storeIn(ms: number): void {
    this.#timer ??= this.#options.cluster.clock.after(ms, () => {
      this.#timer = undefined
      this.#storeSoon()
    })
  }

  /** Closes the open batch. */
  #close(): void {
    const batch = this.#open
    if (batch === undefined) return
    this.#open = undefined
    assert(batch.changes.length > 0, 'an empty batch')
    const { id, changes } = batch
    const [body, contents] = [batch.body(), batch.contents()]
    this.#due.push({
      id,
      knownAs: id,
      isKnown: true,
      changes,
      body,
      contents,
      refusals: 0,
      hadNoRoom: false,
    })
  }

  /** The first transaction is sent before this returns. */
  async #storeAll(): Promise<void> {
    for (;;) {
      // Changes that came meanwhile wait for their own time, unless somebody waits for them.
      if (this.#due.length === 0 && this.#done < this.#wanted) this.#close()
      const [due] = this.#due
      if (due === undefined) return
      const left = await this.#attempts.attempt(due, this.#due)
      if (this.#attempts.takeIsRenamed()) this.#relyingUpTo = this.#done + this.#count
      if (left.length === 0) this.#remove(due)
      else this.#due.splice(0, 1, ...left)
    }
  }

  /** Removes the first transaction, which is stored or given up. */
  #remove(due: Due): void {
    assert(this.#due[0] === due, 'the first is done first')
    this.#due.shift()
    this.#count -= due.changes.length
    this.#done += due.changes.length
    const settled = this.#waiting.filter(({ upTo }) => upTo <= this.#done)
    for (const one of settled) {
      this.#waiting.splice(this.#waiting.indexOf(one), 1)
      one.resolve()
    }
    this.#attempts.release(due)
    for (const { contents } of due.changes) {
      this.#bytes -= bytesOf(contents)
      for (const { segment } of contents) this.#options.contents.release(segment.id)
    }
    assert(this.#count >= 0 && this.#bytes >= 0, 'a change is done once')
    // The changes of a batch that was refused are done one after the other.
    if (this.#due[0]?.knownAs === due.knownAs) return
    this.#isStored.push(due.knownAs)
    this.#forgetStored()
  }

  /**
   * Removes from the journal what is stored or given up. What was stored under other versions than those that were answered
   * stays until all that may rely on it is stored: the next client finds out the versions from it.
   */
  #forgetStored(): void {
    if (this.#done < this.#relyingUpTo) return
    this.#attempts.forgetVersions()
    for (const id of this.#isStored.splice(0)) this.#journal?.forget(id)
  }
}
