/**
 * The accounts that are open: shared by all connections of a user, and closed some time after the
 * last one, because the next command of the same user is likely to come soon.
 */
import type { Clock, Random, Timer } from '../clock.js'
import { DfsError, isError } from '../errors.js'
import { limits } from '../limits.js'
import { notice } from '../log.js'
import { Account } from './account.js'
import type { Storage } from './storage.js'
import { storageError } from './storage-error.js'

const never = (): void => {}

interface Open {
  readonly account: Account
  users: number
  closing: Timer | undefined
  /** How to end each connection that uses it. */
  readonly ends: Set<() => void>
}

export class Accounts {
  readonly #storage: Storage
  readonly #random: Random
  readonly #clock: Clock
  readonly #open = new Map<string, Open>()
  #connections = 0

  constructor(storage: Storage, random: Random, clock: Clock) {
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
   * is called when the account turns out to be damaged. Throws `overloaded` when the user has too many
   * connections.
   */
  acquire(user: string, end: () => void = never): Account {
    const open = this.#open.get(user) ?? this.#openNow(user)
    if (open.users >= limits.userConnectionsMax) {
      throw new DfsError('overloaded', 'This user has too many connections')
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
    this.#connections -= 1
    // It may have been given up meanwhile, and begun anew.
    if (open?.account !== account) return
    open.users -= 1
    open.ends.delete(end)
    if (open.users > 0) return
    open.closing = this.#clock.after(limits.accountLingerMs, () => this.#close(user))
  }

  closeAll(): void {
    for (const user of this.#open.keys()) this.#close(user)
  }

  /** An index that is beyond repair is set aside: the account begins anew, blank, and is filled. */
  #openNow(user: string): Open {
    let account: Account
    try {
      account = this.#load(user)
    } catch (thrown) {
      if (!isError(thrown, 'damaged')) throw thrown
      this.#setAside(user, thrown)
      account = this.#load(user)
    }
    const open: Open = { account, users: 0, closing: undefined, ends: new Set() }
    this.#open.set(user, open)
    return open
  }

  #load(user: string): Account {
    const storage = this.#storage.openAccount(user)
    try {
      return new Account(user, storage, this.#random, this.#clock, (account, error) =>
        this.#discard(account, error),
      )
    } catch (thrown) {
      storage.close()
      throw storageError(thrown)
    }
  }

  /** Everybody who uses it is cut off, and finds it blank on coming back. */
  #discard(account: Account, error: DfsError): void {
    const { user } = account
    // Not now: the request that met the damage is not over yet.
    this.#clock.after(0, () => {
      const open = this.#open.get(user)
      if (open?.account !== account) return
      open.closing?.cancel()
      this.#open.delete(user)
      for (const end of open.ends) end()
      account.close()
      this.#setAside(user, error)
    })
  }

  #setAside(user: string, { message }: DfsError): void {
    notice(`${user}: the index is damaged (${message}): set aside, repair has to fill a new one`)
    this.#storage.setAside(user)
  }

  #close(user: string): void {
    const open = this.#open.get(user)
    open?.closing?.cancel()
    open?.account.close()
    this.#open.delete(user)
  }
}
