/**
 * Changes of names and attributes that are answered before the servers have them, many of them in one
 * transaction a moment later: one round trip for all instead of one for each. Only where this client
 * is alone (lease.ts), knows everything that a change relies on, and all four servers are there; and when
 * nothing is undecided that a client has left, since that may be decided against what is known.
 *
 * What was answered first reaches the servers first, and before whatever is waited for after it. So
 * what a crash of this client takes are its last `behindMs`, as with a local file system; fsync(2) waits for
 * all. What cannot be stored is tried again for as long as this client lives, and nothing overtakes it;
 * what others have made impossible since is given up: the log says so, and the next fsync of a folder.
 */
import assert from 'node:assert/strict'
import { SingleFlight } from '../../async/single-flight.js'
import type { Timer } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc, notice } from '../../log.js'
import { parseKey, type Transaction } from '../../wire/records.js'
import { isAhead, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Lease } from '../quorum/lease.js'
import type { Registers } from '../quorum/registers.js'
import type { Transactions } from '../quorum/transaction.js'
import { Batch, dependOnEachOther } from './batch.js'
import type { NodeCache } from './cache/node-cache.js'

/** A transaction to be stored: a batch, or a single change of a batch that was refused. */
interface Due {
  /** The id of the attempt. Attempts with the same id are done once at most. */
  id: Version | undefined
  body: Transaction
  readonly changes: readonly Transaction[]
  readonly knownAs: Version
  refusals: number
}

/** Decides in-doubt transactions of other clients; false when that cannot be done now. */
export type FinishOthers = () => Promise<boolean>

/** Least remaining time of the lease in ms: longer than it takes to store an answered change. */
const leaseLeftMsMin = 300
/** Attempts of one change. A refusal may be about the id, which a repair has passed. */
const refusalsMax = 3

export class WriteBehind {
  readonly #cluster: Cluster
  readonly #registers: Registers
  readonly #transactions: Transactions
  readonly #lease: Pick<Lease, 'exclusiveForMs' | 'use' | 'forgetAll'>
  readonly #cache: NodeCache
  readonly #finishOthers: FinishOthers | undefined
  /** Since when this client is alone with no transaction of another client in doubt. */
  #clearSinceMs: number | undefined
  readonly #clearing = new SingleFlight<void>()
  #open: Batch | undefined
  #timer: Timer | undefined
  /** Transactions to be stored, in this order. */
  readonly #due: Due[] = []
  readonly #storing = new SingleFlight<void>()
  /** The failure that keeps the first of them from being stored. */
  #obstacle: unknown
  /** Versions under which registers were stored, by register and the version that was answered. */
  readonly #storedAs = new Map<string, Version>()
  #givenUp: DfsError | undefined
  #isOver = false

  /** Without `finishOthers`, every change is stored before it is answered. */
  constructor(
    cluster: Cluster,
    registers: Registers,
    transactions: Transactions,
    lease: Pick<Lease, 'exclusiveForMs' | 'use' | 'forgetAll'>,
    cache: NodeCache,
    finishOthers: FinishOthers | undefined,
  ) {
    this.#cluster = cluster
    this.#registers = registers
    this.#transactions = transactions
    this.#lease = lease
    this.#cache = cache
    this.#finishOthers = finishOthers
  }

  /** Whether anything may be answered before it is stored. */
  get isWanted(): boolean {
    return this.#finishOthers !== undefined
  }

  /** Resolves when changes may be answered early, or it is known that they may not yet. */
  async begin(): Promise<void> {
    const finishOthers = this.#finishOthers
    if (finishOthers !== undefined) await this.#clearing.run(() => this.#clear(finishOthers))
  }

  /**
   * Accepts a change to be stored later and returns its version, which is visible here from now on. Undefined when
   * the change must be committed before it is answered.
   */
  take(change: Transaction): Version | undefined {
    if (this.#obstacle !== undefined) return undefined
    if (this.#cluster.voters.length < limits.serverCount || !this.#isClear()) return undefined
    if (this.#lease.exclusiveForMs < leaseLeftMsMin || !this.#isCertain(change)) return undefined
    // A version in the future would give its time to all changes in the batch.
    const nowMs = this.#cluster.clock.now()
    if (change.preconditions.some(({ version }) => isAhead(version, nowMs))) return undefined
    // The folder's times, which follow from its newest version, would not advance.
    if (this.#open !== undefined && !this.#cache.isNewest(this.#open.id, change)) this.#close()
    const batch = this.#open ?? new Batch(this.#cluster.versionFor(change))
    if (!batch.add(change)) return undefined
    this.#open = batch
    this.#timer ??= this.#cluster.clock.after(limits.behindMs, () => this.#isDue())
    return batch.id
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
    if (this.#open === undefined && this.#due.length === 0) return
    if (this.#obstacle !== undefined) await this.settle()
    if (this.#open !== undefined && this.#storing.running !== undefined) {
      await this.#storing.running
    }
    this.#storeSoon()
    if (this.#due.some((due) => dependOnEachOther(due.body, body))) await this.#storing.running
    assert(!this.#due.some((due) => dependOnEachOther(due.body, body)), 'it would be overtaken')
  }

  /** Resolves when all changes so far are stored. Throws the failure that prevents it. */
  async settle(): Promise<void> {
    const open = this.#open
    // The current run stores earlier changes. Changes that follow are not awaited, which might never end.
    if (this.#storing.running !== undefined) await this.#storing.running
    const isLeft = open !== undefined && open === this.#open
    if (isLeft || this.#due.length > 0) await this.#store()
  }

  /** Stores, as far as that can be done now, changes that a request to the servers may be about. */
  async settleForReading(): Promise<void> {
    if (this.#obstacle !== undefined) return
    await this.settle().catch((error: unknown) => debugDfc('behind: %o', error))
  }

  /** Flushes like `settle`. Throws, once, if a change had to be given up. */
  async sync(): Promise<void> {
    await this.settle()
    const error = this.#givenUp
    this.#givenUp = undefined
    if (error !== undefined) throw error
  }

  /** Ends all retries: the client is about to be closed. */
  end(): void {
    this.#isOver = true
    this.#timer?.cancel()
    this.#close()
    const left = this.#due.flatMap(({ changes }) => changes)
    for (const change of left)
      notice(
        `Discarded at the end, because it could not be stored: a change of ${describe(change)}`,
      )
  }

  // -- storing -----------------------------------------------------------------------------------

  #isDue(): void {
    this.#timer = undefined
    this.#storeSoon()
  }

  #storeSoon(): void {
    void this.#store().catch((error: unknown) => debugDfc('behind: %o', error))
  }

  /** Starts a run, one at a time, so that changes are stored in the order in which they were answered. */
  #store(): Promise<void> {
    return this.#storing.run(async () => {
      this.#timer?.cancel()
      this.#timer = undefined
      this.#close()
      try {
        await this.#storeAll()
      } catch (error) {
        this.#ended(error)
        throw error
      }
      this.#ended(undefined)
    })
  }

  #ended(obstacle: unknown): void {
    if (obstacle !== undefined && this.#obstacle === undefined) {
      const why = obstacle instanceof Error ? obstacle.message : String(obstacle)
      notice(`Recent changes are not stored yet, retrying: ${why}`)
    }
    if (obstacle === undefined && this.#obstacle !== undefined)
      notice('Recent changes are stored now.')
    this.#obstacle = obstacle
    if (this.#due.length === 0) this.#storedAs.clear()
    const isWaiting = this.#open !== undefined || this.#due.length > 0
    if (!isWaiting || this.#timer !== undefined || this.#isOver) return
    const delayMs = obstacle === undefined ? limits.behindMs : limits.behindRetryMs
    this.#timer = this.#cluster.clock.after(delayMs, () => this.#isDue())
  }

  /** Closes the open batch. */
  #close(): void {
    if (this.#open === undefined) return
    const { id, changes } = this.#open
    const last = this.#due.at(-1)
    assert(last === undefined || last.knownAs < id, 'what is answered later is newer')
    this.#due.push({ id, knownAs: id, changes, body: this.#open.body(), refusals: 0 })
    this.#open = undefined
  }

  /** Stores all due transactions. The first is sent before this returns. */
  async #storeAll(): Promise<void> {
    for (let due = this.#due[0]; due !== undefined; due = this.#due[0]) {
      const body = this.#asStored(due)
      due.id ??= this.#cluster.versionFor(body)
      const { id } = due
      const { committed } = await this.#transactions.commit(body, { id })
      if (!committed) {
        if (due.refusals === 0) await this.#refreshAbsences(due)
        else this.#refused(due)
        due.refusals += 1
        continue
      }
      this.#due.shift()
      if (id === due.knownAs) continue
      for (const { key } of body.writes) this.#storedAs.set(`${key} ${due.knownAs}`, id)
    }
  }

  /**
   * Returns the body with the versions under which its preconditions were stored, if those differ from the answered
   * ones.
   */
  #asStored({ body }: Due): Transaction {
    if (this.#storedAs.size === 0) return body
    const preconditions = body.preconditions.map((one) => {
      const version = this.#storedAs.get(`${one.key} ${one.version}`)
      return version === undefined ? one : { ...one, version }
    })
    return { ...body, preconditions }
  }

  /**
   * Reads absences of names anew before a batch is tried again. A folder known in full tells that a name is not
   * there, but not when it was removed; a tombstone from before is no reason for a refusal.
   */
  async #refreshAbsences(due: Due): Promise<void> {
    const keys = due.body.preconditions.filter(({ absent }) => absent).map(({ key }) => key)
    const found = new Map((await this.#registers.read(keys)).map((one) => [one.key, one]))
    const preconditions = due.body.preconditions.map((one) => {
      const { version = one.version, value = null } = found.get(one.key) ?? {}
      return one.absent && value === null && version > one.version ? { ...one, version } : one
    })
    due.body = { ...due.body, preconditions }
  }

  /**
   * Handles a refused batch, after another client was let in: each change is tried by itself, and those that conflict
   * are given up.
   */
  #refused(due: Due): void {
    debugDfc('behind: %s was refused', due.id)
    this.#lease.forgetAll()
    for (const { key } of due.body.writes) this.#cache.drop(key)
    due.id = undefined
    if (due.changes.length > 1) {
      const { knownAs } = due
      const single = (change: Transaction): Due => ({
        id: undefined,
        knownAs,
        body: change,
        changes: [change],
        refusals: 0,
      })
      this.#due.splice(0, 1, ...due.changes.map(single))
    } else if (due.refusals >= refusalsMax) {
      this.#due.shift()
      const what = describe(due.body)
      notice(`Conflict: another client changed ${what} first; this change was discarded`)
      this.#givenUp ??= new DfsError(
        'stale',
        `another client changed ${what} first; this change was discarded`,
      )
    }
  }

  // -- what is certain ---------------------------------------------------------------------------

  /** Whether no transaction of another client is in doubt. Begins to find out if that is not known. */
  #isClear(): boolean {
    const sinceMs = this.#lease.use()
    if (sinceMs === undefined || this.#finishOthers === undefined) return false
    if (sinceMs === this.#clearSinceMs) return true
    void this.begin()
    return false
  }

  async #clear(finishOthers: FinishOthers): Promise<void> {
    const sinceMs = this.#lease.use()
    if (sinceMs === undefined) return
    try {
      if (await finishOthers()) this.#clearSinceMs = sinceMs
    } catch (error) {
      debugDfc('what others left undecided: %o', error)
    }
  }

  /** Whether no other client can have changed what the change relies on since this client read it. */
  #isCertain({ preconditions, emptyFolders }: Transaction): boolean {
    for (const { key, absent, version } of preconditions) {
      const parsed = parseKey(key)
      if (parsed.kind === 'entry') {
        const entry = this.#cache.leasedEntry(parsed.parent, parsed.name)
        if (entry === undefined || (entry.ino === null) !== absent) return false
        if (!absent && entry.version !== version) return false
      } else if (!absent && this.#cache.leasedNode(parsed.ino)?.version !== version) {
        return false
      }
    }
    return emptyFolders.every((ino) => this.#cache.leasedNode(ino)?.folder?.live === 0)
  }
}

/** Returns the names that a change writes, for a message. */
function describe({ writes }: Transaction): string {
  const parsed = writes.map(({ key }) => parseKey(key))
  const names = parsed.flatMap((one) => (one.kind === 'entry' ? [JSON.stringify(one.name)] : []))
  if (names.length > 0) return names.join(' and ')
  return parsed.map((one) => (one.kind === 'inode' ? `inode ${one.ino}` : '')).join(' and ')
}
