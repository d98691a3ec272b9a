/**
 * Stores one transaction of the local log after the other: what is done about it when the servers refuse it, or have it
 * already, and which versions it relies on by then. Their order is the matter of local-log.ts.
 */
import { type DfsError, isError } from '../../errors.js'
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
import { noVersion, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { PreparedSegment } from '../content/prepared-segment.js'
import type { Lease } from '../quorum/lease.js'
import type { Registers } from '../quorum/registers.js'
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
  refusals: number
}

export interface StoreAttemptsOptions {
  readonly cluster: Cluster
  readonly cache: NodeCache
  readonly registers: Registers
  readonly transactions: Transactions
  readonly lease: Pick<Lease, 'forgetAll'>
}

/** Attempts of one change. A refusal may be about the id, which a repair has passed. */
const refusalsMax = 3

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
   */
  async attempt(due: Due, all: readonly Due[]): Promise<readonly Due[]> {
    const { cluster, transactions } = this.#options
    const body = this.#asStored(due)
    due.id ??= cluster.versionFor(body)
    const { id, contents } = due
    try {
      const { committed } = await transactions.commit(body, { id, contents })
      if (committed) {
        this.#stored(due, body, id)
        return []
      }
    } catch (error) {
      if (!isError(error, 'noSpace', 'quota')) throw error
      // Nothing overtakes it, so no removal could make room.
      const left = await this.#refused(due, all, error)
      due.refusals = refusalsMax
      return left
    }
    let left: readonly Due[] = [due]
    if (due.refusals === 0) await this.#refresh(due)
    else left = await this.#refused(due, all, conflict(due.body))
    due.refusals += 1
    return left
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
   * Reads anew what a transaction only relies on, before it is tried again. A folder known in full tells that a name is
   * not there, but not when it was removed; a tombstone from before is no reason for a refusal. Nor is it one that
   * another client has changed the mode of the folder in which something was made. A number that has a tombstone is one:
   * the file was made under it, and removed.
   */
  async #refresh(due: Due): Promise<void> {
    const written = new Set(due.body.writes.map(({ key }) => key))
    const mayFollow = due.changes.length === 1 && !movesFolder(due.body)
    const isRefreshed = ({ key, absent }: Precondition): boolean =>
      parseKey(key).kind === 'entry' ? absent : mayFollow && !absent && !written.has(key)
    const asked = due.body.preconditions.filter(isRefreshed)
    const found = await this.#options.registers.read(asked.map(({ key }) => key))
    const now = new Map(asked.map((one, index) => [one, found[index]]))
    const preconditions = due.body.preconditions.map((one) => {
      const { version = one.version, value = null } = now.get(one) ?? {}
      const isAsBefore = one.absent === (value === null)
      return isAsBefore && version > one.version ? { ...one, version } : one
    })
    // A server may have voted for it as it was: it is another transaction.
    const isOther = preconditions.some(
      (one, index) => !one.absent && one !== due.body.preconditions[index],
    )
    if (isOther) due.id = undefined
    due.body = { ...due.body, preconditions }
  }

  /**
   * Handles a refused batch, after another client was let in or when a disk is full: each change is tried by itself,
   * and those that are impossible are given up. Returns what is to be tried next.
   */
  async #refused(due: Due, all: readonly Due[], why: DfsError): Promise<readonly Due[]> {
    debugDfc('log: %s was refused: %s', due.id, why.message)
    const { lease, cache } = this.#options
    lease.forgetAll()
    if (due.isKnown) {
      due.isKnown = false
      for (const { body } of due.changes) cache.refuse(body)
    }
    due.id = undefined
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
      })
      return due.changes.map(single)
    }
    if (due.refusals < refusalsMax) return [due]
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
    const found = await this.#options.registers.read(writes.map(({ key }) => key))
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
