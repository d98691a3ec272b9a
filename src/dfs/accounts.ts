/**
 * The accounts that are open: shared by all connections of a user, and closed some time after the
 * last one, because the next command of the same user is likely to come soon.
 */
import type { Clock, Random, Timer } from '../clock.js'
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import { Account } from './account.js'
import type { Storage } from './storage.js'

interface Open {
  readonly account: Account
  users: number
  closing: Timer | undefined
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
   * The user's account, made on first use. Every call needs one `release`. Throws `overloaded` when
   * the user has too many connections.
   */
  acquire(user: string): Account {
    const open = this.#open.get(user) ?? this.#openNow(user)
    if (open.users >= limits.userConnectionsMax) {
      throw new DfsError('overloaded', 'This user has too many connections')
    }
    open.users += 1
    this.#connections += 1
    open.closing?.cancel()
    open.closing = undefined
    return open.account
  }

  release({ user }: Account): void {
    const open = this.#open.get(user)
    if (open === undefined) return
    open.users -= 1
    this.#connections -= 1
    if (open.users > 0) return
    open.closing = this.#clock.after(limits.accountLingerMs, () => this.#close(user))
  }

  closeAll(): void {
    for (const user of this.#open.keys()) this.#close(user)
  }

  #openNow(user: string): Open {
    const storage = this.#storage.openAccount(user)
    const account = new Account(user, storage, this.#random, this.#clock)
    const open: Open = { account, users: 0, closing: undefined }
    this.#open.set(user, open)
    return open
  }

  #close(user: string): void {
    const open = this.#open.get(user)
    open?.closing?.cancel()
    open?.account.close()
    this.#open.delete(user)
  }
}
