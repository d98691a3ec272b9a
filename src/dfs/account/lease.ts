/**
 * Leases: the client of a user that is alone may answer from what it knows instead of asking, and is told before
 * another client of the user is let in. Half a lease (Gray and Cheriton, 1989), half a delegation (RFC 8881,
 * section 10): the holder may rely on it for `leaseMs` after any message that was answered, and a server waits a
 * little longer than that for one that does not give it back.
 */
import assert from 'node:assert/strict'
import type { Clock, Random, Timer } from '../../clock.js'
import { limits } from '../../limits.js'
import { debugDfs } from '../../log.js'
import type { AccountIndex } from '../index/account-index.js'

/** One authenticated connection of one client of the user. */
export interface Lessee {
  /** The id of the client, which all its connections share. */
  readonly client: string
  /** Another client waits to be let in. */
  recall(): void
}

interface Waiting {
  readonly lessee: Lessee
  readonly enter: () => void
}

interface Holder {
  readonly client: string
  /** On the monotonic clock: what it was answered later does not count. */
  heardMs: number
  isRecalled: boolean
}

const stateName = 'lease'
const nobody = ''

export class Lease {
  readonly #index: AccountIndex
  readonly #clock: Clock
  readonly #inside = new Set<Lessee>()
  #waiting: Waiting[] = []
  #holder: Holder | undefined
  #timer: Timer | undefined
  #generation: number

  constructor(index: AccountIndex, clock: Clock, random: Random) {
    this.#index = index
    this.#clock = clock
    this.#generation = random.bytes(6).readUIntBE(0, 6)
    // Who held it when this server was stopped or killed may still rely on it.
    const client = index.state.get(stateName)
    if (typeof client === 'string' && client !== nobody) {
      this.#holder = { client, heardMs: clock.monotonic(), isRecalled: false }
    }
  }

  /**
   * Calls `enter` when the connection may be used: at once, or when the holder of the lease has given
   * it back or can no longer rely on it. Every call needs one `leave`, also before that.
   */
  admit(lessee: Lessee, enter: () => void): void {
    assert(!this.#inside.has(lessee), 'a connection is let in once')
    this.#waiting.push({ lessee, enter })
    this.#admitWaiting()
  }

  leave(lessee: Lessee): void {
    this.#inside.delete(lessee)
    this.#waiting = this.#waiting.filter((waiting) => waiting.lessee !== lessee)
  }

  /** A message of this client has arrived. */
  heard({ client }: Lessee): void {
    const holder = this.#holder
    if (holder?.client !== client || holder.isRecalled) return
    const nowMs = this.#clock.monotonic()
    assert(nowMs >= holder.heardMs, 'a lease never ends sooner for a message')
    holder.heardMs = nowMs
  }

  /** Grants or renews the lease, if the client is alone. */
  ask({ client }: Lessee): { readonly granted: boolean; readonly generation: number } {
    this.#index.assertInGroup()
    const isAlone = this.#waiting.length === 0 && this.#areAll(client)
    const isFree = this.#holder === undefined || this.#holder.client === client
    const granted = isAlone && isFree
    if (granted) {
      this.#holder = { client, heardMs: this.#clock.monotonic(), isRecalled: false }
      this.#store(client)
    }
    return { granted, generation: this.#generation }
  }

  /** Takes the lease back from a client that does not rely on it any more. */
  giveBack({ client }: Lessee): { readonly granted: boolean; readonly generation: number } {
    this.#index.assertInGroup()
    if (this.#holder?.client === client) {
      this.#holder = undefined
      this.#store(nobody)
    }
    // Not before the group is stored: a client that is let in begins with a clean slate.
    this.#clock.after(0, () => this.#admitWaiting())
    return { granted: false, generation: this.#generation }
  }

  close(): void {
    this.#timer?.cancel()
    this.#waiting = []
  }

  #admitWaiting(): void {
    const waiting = this.#waiting
    this.#waiting = waiting.filter(({ lessee }) => !this.#mayEnter(lessee))
    for (const one of waiting) {
      if (this.#waiting.includes(one)) continue
      if (this.#holder?.client !== one.lessee.client) this.#generation += 1
      this.#inside.add(one.lessee)
      one.enter()
    }
    const holder = this.#holder
    assert(holder === undefined || this.#areAll(holder.client), 'whoever holds a lease is alone')
    if (this.#waiting.length > 0) this.#recall()
  }

  #mayEnter({ client }: Lessee): boolean {
    const holder = this.#holder
    if (holder === undefined || holder.client === client) return true
    if (this.#clock.monotonic() < holder.heardMs + limits.leaseMs + limits.leaseSlackMs)
      return false
    debugDfs('the lease of %s has run out', holder.client)
    // What it is answered from now on must not look to it as if it still had the lease.
    this.#tell(holder)
    this.#holder = undefined
    return true
  }

  #tell(holder: Holder): void {
    if (holder.isRecalled) return
    holder.isRecalled = true
    for (const lessee of this.#inside) if (lessee.client === holder.client) lessee.recall()
  }

  #recall(): void {
    const holder = this.#holder
    if (holder === undefined) return
    this.#tell(holder)
    this.#timer?.cancel()
    const endMs = holder.heardMs + limits.leaseMs + limits.leaseSlackMs
    const delayMs = Math.max(1, endMs - this.#clock.monotonic())
    this.#timer = this.#clock.after(delayMs, () => this.#admitWaiting())
  }

  #areAll(client: string): boolean {
    for (const lessee of this.#inside) if (lessee.client !== client) return false
    return true
  }

  #store(client: string): void {
    if (this.#index.state.get(stateName) !== client) this.#index.state.set(stateName, client)
  }
}
