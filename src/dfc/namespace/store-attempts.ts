/**
 * Stores one transaction of the local log after the other: what is done about it when the servers refuse it, or have it
 * already, and which versions it relies on by then. Their order is the matter of local-log.ts.
 */
import { randomBelow, sleep } from '../../clock.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import {
  decodeInode,
  fileType,
  type Key,
  type Precondition,
  parseKey,
  type Transaction,
  typeOf,
} from '../../wire/records.js'
import { laterOf, noVersion, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { PreparedSegment } from '../content/prepared-segment.js'
import type { Lease } from '../quorum/lease.js'
import type { QuorumRegister, Registers } from '../quorum/registers.js'
import type { Transactions } from '../quorum/transaction.js'
import type { NodeCache } from './cache/node-cache.js'
import { conflict, type GivenUp } from './given-up.js'
import type { LoggedChange } from './journal.js'

/** A transaction to be stored: a batch, or a single change of a batch that was refused. */
export interface Due {
  /** The id of the attempt. Attempts with the same id are done once at most. */
  id: Version | undefined
  body: Transaction
  readonly contents: readonly PreparedSegment[]
  readonly changes: readonly LoggedChange[]
  /** The version under which its changes were answered. */
  readonly knownAs: Version
  /** The cache has what it writes; otherwise it was refused. */
  isKnown: boolean
  /** How often it was refused, and nothing that it relies on had changed but what it follows. */
  refusals: number
  /** It was refused by itself for lack of room. */
  hadNoRoom: boolean
}

export interface StoreAttemptsOptions {
  readonly cluster: Cluster
  readonly cache: NodeCache
  readonly registers: Registers
  readonly transactions: Transactions
  readonly lease: Pick<Lease, 'forgetAll'>
}

export class StoreAttempts {
  readonly #options: StoreAttemptsOptions
  readonly #givenUp: GivenUp
  /** Versions under which registers were stored, by register and the version that was answered. */
  readonly #storedAs = new Map<string, Version>()
  #isRenamed = false

  constructor(options: StoreAttemptsOptions, givenUp: GivenUp) {
    this.#options = options
    this.#givenUp = givenUp
  }

  /**
   * Tries to store a transaction, which is sent before this returns. `all`: it and those that come after it. Resolves
   * with what takes its place: itself or its changes one by one, to be tried next; nothing once it is stored or given up.
   * Throws `busy` when it is refused again and again, and nothing that it relies on has changed.
   */
  async attempt(due: Due, all: readonly Due[]): Promise<readonly Due[]> {
    const { cluster, transactions } = this.#options
    const body = this.#asStored(due)
    // What it relies on was stored later than it was answered.
    if (due.id !== undefined && newestIn(body) >= due.id) this.#renew(due)
    due.id ??= cluster.versionFor(body)
    const { id, contents } = due
    const outcome = await transactions.commit(body, { id, contents }).catch((error: unknown) => {
      if (isError(error, 'noSpace', 'quota')) return error
      throw error
    })
    if (outcome instanceof DfsError) return this.#noRoom(due, all, outcome)
    if (outcome.committed) {
      this.#stored(due, body, id)
      return []
    }
    const isPossible = outcome.why !== 'notEmpty' && (await this.#refresh(due))
    if (!isPossible) return this.#refused(due, all, conflict(due.body))
    due.refusals += 1
    if (due.refusals > limits.conflictAttemptsMax)
      throw new DfsError('busy', 'other clients keep stopping it half-way')
    await sleep(cluster.clock, randomBelow(cluster.random, 1 << Math.min(due.refusals, 7)))
    return [due]
  }

  /** A transaction is stored or given up: the cache may have other values from now on than those that it writes. */
  release({ isKnown, changes }: Due): void {
    const { cache } = this.#options
    for (const { body } of changes) {
      if (isKnown) cache.release(body)
      else cache.decide(body)
    }
  }

  /**
   * Whether registers were stored since the last call under other versions than those that were answered. Changes that were
   * answered meanwhile may rely on them.
   */
  takeIsRenamed(): boolean {
    const isRenamed = this.#isRenamed
    this.#isRenamed = false
    return isRenamed
  }

  /** Forgets under which versions registers were stored: no change that is not stored relies on it. */
  forgetVersions(): void {
    this.#storedAs.clear()
  }

  #stored(due: Due, { writes }: Transaction, id: Version): void {
    // What was read after a refusal, or before a journal was stored, is outdated now.
    for (const { key } of writes) this.#options.cache.noteStored(key, id)
    if (id !== due.knownAs) {
      this.#noteStoredAs(
        writes.map(({ key }) => [key, id] as const),
        due.knownAs,
      )
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
   * Reads what a refused transaction relies on. Returns false if another client has changed it, so that the transaction
   * is impossible. Otherwise it may be tried again: it was in the way of somebody who looked at what it writes and
   * aborted it, or a repair has passed its id, or what it only relies on is newer, which it follows.
   *
   * A folder known in full tells that a name is not there, but not when it was removed; a tombstone from before is no
   * reason for a refusal. Nor is it one that another client has changed the mode of the folder in which something was
   * made. A number that has a tombstone is one: the file was made under it, and removed.
   */
  async #refresh(due: Due): Promise<boolean> {
    const written = new Set(due.body.writes.map(({ key }) => key))
    const mayFollow = !due.changes.some(({ body }) => movesFolder(body))
    const isRefreshed = ({ key, absent }: Precondition): boolean =>
      parseKey(key).kind === 'entry' ? absent : mayFollow && !absent && !written.has(key)
    const { preconditions } = due.body
    const found = await this.#read(preconditions.map(({ key }) => key))
    const stored = this.#asStored(due).preconditions
    let isPossible = true
    const now = preconditions.map((one, index) => {
      const { version = noVersion, value = null } = found[index] ?? {}
      const isNewer = version > (stored[index] ?? one).version
      isPossible &&= one.absent === (value === null) && (!isNewer || isRefreshed(one))
      return isPossible && isNewer ? { ...one, version } : one
    })
    if (!isPossible) return false
    // A server may have voted for it as it was, where more than a tombstone has changed: it is another transaction.
    const others = now.filter((one, index) => one !== preconditions[index])
    if (others.length === 0 || others.some(({ absent }) => !absent)) this.#renew(due)
    due.body = { ...due.body, preconditions: now }
    return true
  }

  /** The latest decided values. Fewer than three servers may have old ones, which must not be taken for a conflict. */
  async #read(keys: readonly Key[]): Promise<readonly QuorumRegister[]> {
    const { registers, transactions } = this.#options
    for (;;) {
      const found = await registers.read(keys)
      if (!(await transactions.awaitWritable())) return found
    }
  }

  /** Has a transaction stored under a new id. Until then nobody can tell the values of what it writes. */
  #renew(due: Due): void {
    debugDfc('log: %s is not stored under this id', due.id)
    const { lease, cache } = this.#options
    lease.forgetAll()
    if (due.isKnown) {
      due.isKnown = false
      for (const { body } of due.changes) cache.refuse(body)
    }
    due.id = undefined
  }

  /** Handles a transaction for which the disks have no room. Nothing overtakes it, so no removal could make some. */
  async #noRoom(due: Due, all: readonly Due[], why: DfsError): Promise<readonly Due[]> {
    if (due.changes.length > 1 || due.hadNoRoom) return this.#refused(due, all, why)
    this.#renew(due)
    due.hadNoRoom = true
    return [due]
  }

  /**
   * Handles a refused transaction, after another client was let in or when a disk is full: each change is tried by
   * itself, and those that are impossible are given up. Returns what is to be tried next.
   */
  async #refused(due: Due, all: readonly Due[], why: DfsError): Promise<readonly Due[]> {
    debugDfc('log: %s was refused: %s', due.id, why.message)
    this.#renew(due)
    if (due.changes.length > 1) {
      const { knownAs } = due
      const single = (one: LoggedChange): Due => ({
        id: undefined,
        knownAs,
        isKnown: false,
        body: one.body,
        contents: one.contents,
        changes: [one],
        refusals: 0,
        hadNoRoom: false,
      })
      return due.changes.map(single)
    }
    for (const one of due.changes) {
      const found = await this.#foundDone(due, all, one.body)
      if (found === undefined) await this.#givenUp.add(one, why)
      // What follows in a journal relies on it under the version with which it was answered.
      else this.#noteStoredAs(found, due.knownAs)
    }
    return []
  }

  /** Notes under which versions registers are stored that were answered as written under `knownAs`. */
  #noteStoredAs(stored: Iterable<readonly [Key, Version]>, knownAs: Version): void {
    for (const [key, version] of stored) this.#storedAs.set(`${key} ${knownAs}`, version)
    this.#isRenamed = true
  }

  /**
   * Finds out whether a change was stored, and the servers have forgotten its id, or a client before this one has stored it
   * by itself. Then its registers are as it leaves them, or as changes do that were answered after it; or the servers know the
   * number that it has made up for a file, whatever became of that. Returns the versions of the registers that are as it,
   * and what was answered together with it, leaves them; undefined for a change that was not stored.
   */
  async #foundDone(
    { knownAs }: Due,
    all: readonly Due[],
    { writes, preconditions }: Transaction,
  ): Promise<readonly (readonly [Key, Version])[] | undefined> {
    const found = await this.#read(writes.map(({ key }) => key))
    const wanted = all.flatMap((due) =>
      due.body.writes.map((write) => ({ ...write, isTogether: due.knownAs === knownAs })),
    )
    const made = new Set(preconditions.filter(isNewNumber).map(({ key }) => key))
    const asAnswered: (readonly [Key, Version])[] = []
    let isMade = false
    let isDone = true
    for (const [index, { key }] of writes.entries()) {
      const { version = noVersion, value: now = null } = found[index] ?? {}
      isMade ||= made.has(key) && version > noVersion
      const matching = wanted.filter(
        ({ key: other, value }) =>
          other === key && (value === null ? now === null : now?.equals(value) === true),
      )
      isDone &&= matching.length > 0
      if (matching.some(({ isTogether }) => isTogether)) asAnswered.push([key, version])
    }
    return isMade || isDone ? asAnswered : undefined
  }
}

/** The newest version that a transaction relies on. */
function newestIn({ preconditions }: Transaction): Version {
  return preconditions.reduce((newest, { version }) => laterOf(newest, version), noVersion)
}

/** Whether a precondition is that of a new file: no client uses a number twice. */
function isNewNumber({ key, absent }: Precondition): boolean {
  return absent && parseKey(key).kind === 'inode'
}

/**
 * Whether a folder may get another place: then the folders above it are relied on as they are, so that it does not
 * come to lie in itself.
 */
function movesFolder({ writes, preconditions }: Transaction): boolean {
  const made = new Set(preconditions.filter(({ absent }) => absent).map(({ key }) => key))
  return writes.some(({ key, value }) => {
    const isInode = parseKey(key).kind === 'inode' && value !== null && !made.has(key)
    return isInode && typeOf(decodeInode(value).mode) === fileType.folder
  })
}
