/**
 * The accounts that are open: shared by all connections of a user, and closed some time after the
 * last one, because the next command of the same user is likely to come soon. An account whose disk does not
 * work is closed and tried again every few seconds; its users find this server down until then, and all
 * other users go on.
 */
import { AssertionError } from 'node:assert'
import assert from 'node:assert/strict'
import type { Clock, Random, Timer } from '../../clock.js'
import { asDfsError, DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfs, notice } from '../../log.js'
import { DiskErrors } from '../disk/disk-errors.js'
import { isSyncFailure, storageError } from '../disk/storage-error.js'
import { Account } from './account.js'
import type { AccountStorage, Storage } from './storage.js'

const never = (): void => {}

interface Open {
  readonly account: Account
  users: number
  closing: Timer | undefined
  /** How to end each connection that uses it. */
  readonly ends: Set<() => void>
}

/** An account that cannot be opened now. */
interface Failed {
  readonly error: DfsError
  /** On the monotonic clock; undefined while its index is examined. */
  retryMs: number | undefined
}

/** The settings of users in dfs.conf, as they are now. */
export interface UserSettings {
  /** Bytes that the files of a user may have together; undefined where that is not bounded. */
  readonly quotaBytes: (user: string) => number | undefined
  /** For how long what a user removes or replaces is kept, in ms; 0 for not at all. */
  readonly trashMs: (user: string) => number
}

const noSettings: UserSettings = { quotaBytes: () => undefined, trashMs: () => 0 }

export class Accounts {
  readonly #storage: Storage
  readonly #random: Random
  readonly #clock: Clock
  readonly #userConnectionsMax: number
  readonly #settings: UserSettings
  readonly diskErrors = new DiskErrors()
  readonly #open = new Map<string, Open>()
  readonly #failed = new Map<string, Failed>()
  #connections = 0
  #isClosed = false

  constructor(
    storage: Storage,
    random: Random,
    clock: Clock,
    userConnectionsMax: number = limits.userConnectionsMax,
    settings: UserSettings = noSettings,
  ) {
    this.#settings = settings
    this.#userConnectionsMax = userConnectionsMax
    this.#storage = storage
    this.#random = random
    this.#clock = clock
  }

  /** Connections of all users. */
  get connections(): number {
    return this.#connections
  }

  /**
   * The user's account, made on first use. Every call needs one `release` with the same `end`, which
   * is called when the account cannot go on. Throws `overloaded` when the user has too many
   * connections, and `disk` while the disk of the account does not work, or its index is examined.
   */
  acquire(user: string, end: () => void = never): Account {
    const open = this.#open.get(user) ?? this.#openNow(user)
    if (open.users >= this.#userConnectionsMax) {
      throw new DfsError('overloaded', 'This user has too many connections; close some mounts')
    }
    open.users += 1
    open.ends.add(end)
    this.#connections += 1
    open.closing?.cancel()
    open.closing = undefined
    return open.account
  }

  release(account: Account, end: () => void = never): void {
    const { user } = account
    const open = this.#open.get(user)
    assert(this.#connections > 0, 'a connection is released twice')
    this.#connections -= 1
    // It may have been given up meanwhile, and begun anew.
    if (open?.account !== account) return
    assert(open.users > 0, 'an account is released twice')
    open.users -= 1
    open.ends.delete(end)
    if (open.users > 0) return
    open.closing = this.#clock.after(limits.accountLingerMs, () => this.#close(user))
  }

  /** The accounts that are open. */
  get all(): readonly Account[] {
    return [...this.#open.values()].map(({ account }) => account)
  }

  closeAll(): void {
    this.#isClosed = true
    for (const user of this.#open.keys()) this.#close(user)
  }

  #openNow(user: string): Open {
    const failed = this.#failed.get(user)
    if (failed !== undefined && !(this.#clock.monotonic() >= (failed.retryMs ?? Infinity))) {
      throw failed.error
    }
    assert(!this.#open.has(user), 'an account is opened once')
    try {
      const account = this.#load(user)
      const open: Open = { account, users: 0, closing: undefined, ends: new Set() }
      this.#open.set(user, open)
      if (failed !== undefined) notice(`${user}: the disk works again; serving this user`)
      this.#failed.delete(user)
      if (account.acceptor.state === 'lost') void this.#lookAside(account)
      return open
    } catch (thrown) {
      if (thrown instanceof AssertionError) throw thrown
      throw this.#fail(user, asDfsError(thrown))
    }
  }

  #load(user: string): Account {
    let storage: AccountStorage | undefined
    try {
      storage = this.#storage.openAccount(user)
      return new Account(
        user,
        storage,
        this.#random,
        this.#clock,
        (account, error) => this.#discard(account, error),
        {
          quotaBytes: () => this.#settings.quotaBytes(user),
          trashMs: () => this.#settings.trashMs(user),
        },
        this.diskErrors,
      )
    } catch (thrown) {
      if (storage !== undefined) closeQuietly(user, storage)
      throw storageError(thrown)
    }
  }

  /**
   * Closes an account that cannot go on. Its connections are cut off, and find this server down until it can be
   * opened again.
   */
  #discard(account: Account, error: DfsError): void {
    const { user } = account
    // Not now: the request that met it is not over yet.
    this.#clock.after(0, () => {
      if (this.#open.get(user)?.account !== account) return
      this.#closeFor(account)
      this.#fail(user, error)
    })
  }

  #closeFor(account: Account): void {
    const open = this.#open.get(account.user)
    if (open?.account !== account) return
    open.closing?.cancel()
    this.#open.delete(account.user)
    for (const end of open.ends) end()
    account.close()
  }

  /**
   * Notes, and says once, why an account cannot be used now, and returns it. What looks like damage may be a
   * disk that could not be read for a moment: all is read again before anything is believed.
   */
  #fail(user: string, error: DfsError): DfsError {
    this.diskErrors.note(error)
    if (!isError(error, 'damaged', 'disk')) return error
    const before = this.#failed.get(user)
    if (before === undefined) {
      notice(
        `${user}: ${error.message}. Until it works, this server counts as down for this user`,
        'error',
      )
    }
    const failed: Failed = { error: toClient(error), retryMs: this.#retryMs() }
    this.#failed.set(user, failed)
    if (isSyncFailure(error)) this.#distrust(user)
    if (error.code === 'damaged') void this.#examine(user, failed)
    return failed.error
  }

  #retryMs(): number {
    return this.#clock.monotonic() + limits.diskRetryMs
  }

  /**
   * Notes that the disk dropped writes. Where even that cannot be noted, the disk has not taken the votes either
   * that it would be about.
   */
  #distrust(user: string): void {
    try {
      this.#storage.distrust(user)
    } catch (thrown) {
      notice(
        `${user}: could not record that the disk dropped writes: ${asDfsError(thrown).message}`,
        'error',
      )
    }
  }

  /** Looks whether an index that seems damaged is. Rejects only when an assertion failed. */
  async #examine(user: string, failed: Failed): Promise<void> {
    failed.retryMs = undefined
    try {
      await this.#storage.examine(user)
      notice(`${user}: the index was read again and is intact`)
    } catch (thrown) {
      if (thrown instanceof AssertionError) throw thrown
      const error = asDfsError(storageError(thrown))
      if (this.#isClosed) return
      if (error.code === 'damaged') this.#setAside(user, error)
      else debugDfs('%s: not examined: %o', user, error)
    }
    failed.retryMs = this.#clock.monotonic()
  }

  #setAside(user: string, { message }: DfsError): void {
    try {
      this.#storage.setAside(user)
      notice(
        `${user}: the index is damaged (${message}) and was set aside; repair fills a new one`,
        'error',
      )
    } catch (thrown) {
      notice(
        `${user}: the damaged index could not be set aside: ${asDfsError(thrown).message}`,
        'error',
      )
    }
  }

  /**
   * Looks whether an index that was set aside is intact: then it is better than nothing, and repair confirms it.
   */
  async #lookAside(account: Account): Promise<void> {
    const { user } = account
    const takeBack = await this.#storage.findAside(user).catch(() => undefined)
    if (takeBack === undefined || account.acceptor.state !== 'lost') return
    if (this.#open.get(user)?.account !== account) return
    this.#closeFor(account)
    try {
      takeBack()
      notice(`${user}: the index that was set aside is intact and is used again`)
    } catch (thrown) {
      this.#fail(user, asDfsError(storageError(thrown)))
    }
  }

  #close(user: string): void {
    const open = this.#open.get(user)
    open?.closing?.cancel()
    open?.account.close()
    this.#open.delete(user)
  }
}

function closeQuietly(user: string, storage: AccountStorage): void {
  try {
    storage.close()
  } catch (thrown) {
    debugDfs('%s: not closed: %o', user, thrown)
  }
}

/** Whether its index is damaged is not known before it was examined. */
function toClient(error: DfsError): DfsError {
  return new DfsError('disk', error.code === 'disk' ? error.message : undefined, { cause: error })
}
