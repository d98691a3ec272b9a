/**
 * Leases of the servers, which show whether this client is the only one of its user, so that cached names and
 * attributes stay true until it changes them itself. A server that has granted a lease sends this client a recall
 * before it lets another one in. Another client cannot change anything without three servers, so with the leases of
 * three nothing changes unnoticed.
 *
 * A lease holds for `leaseMs` after the sending of any request that was answered without a recall before the answer;
 * the server waits a little longer than that. So it needs no agreement about the time, only clocks that run at the
 * same speed.
 */
import assert from 'node:assert/strict'
import { SingleFlight } from '../../async/single-flight.js'
import type { Timer } from '../../clock.js'
import { limits } from '../../limits.js'
import { Listeners } from '../../listeners.js'
import { debugDfc } from '../../log.js'
import { quorum } from '../../wire/quorum.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Link } from '../cluster/link.js'

const renewalMs = Math.floor(limits.leaseMs / 3)

export class Lease {
  readonly #cluster: Cluster
  readonly #losses = new Listeners()
  /** Stores changes that were answered and are on no server yet. Called before the lease is given back. */
  #store: (() => Promise<void>) | undefined
  /**
   * The generation of each server that has granted the lease: it let no other client in while this stays the same.
   */
  readonly #generations = new Map<number, number>()
  /**
   * Since when this client is alone, on the monotonic clock; undefined while another client may have changed
   * something.
   */
  #sinceMs: number | undefined
  #usedMs = Number.NEGATIVE_INFINITY
  #askedMs = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined
  /** Waits for the moment at which a lease that is held runs out. */
  #endTimer: Timer | undefined
  readonly #asking = new SingleFlight<void>()
  #recalled = 0
  readonly #givingBack = new SingleFlight<void>()
  #closed = false

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    cluster.onRecall((link) => this.#recall(link))
    // An answer on a new connection proves nothing about the lease of the old one.
    cluster.onChange((link) => this.#generations.delete(link.index))
  }

  /**
   * Asks for the lease before it is needed, so that the first values read are already covered. `store` is called
   * before the lease is given back, to store answered changes.
   */
  async begin(store: () => Promise<void>): Promise<void> {
    assert(this.#store === undefined, 'a lease begins once')
    this.#store = store
    this.#usedMs = this.#cluster.clock.monotonic()
    this.#renew()
    await this.#asking.running
  }

  /**
   * Marks the lease as used and returns `exclusiveSinceMs`. A used lease is renewed, or asked for where it is not
   * held. Must be called whenever a cached value is relied on.
   */
  use(): number | undefined {
    const now = this.#cluster.clock.monotonic()
    this.#usedMs = now
    const sinceMs = this.exclusiveSinceMs
    // Where it was not used for a while nothing renews it, although other answers may have made it hold again.
    if (now - this.#askedMs >= renewalMs) this.#renew()
    return sinceMs
  }

  /** Since when no other client can have changed anything, on the monotonic clock; undefined when one can. */
  get exclusiveSinceMs(): number | undefined {
    if (this.#sinceMs === undefined) return undefined
    const count = this.#heldCount(this.#cluster.clock.monotonic())
    return count >= quorum.lease ? this.#sinceMs : undefined
  }

  /**
   * Restarts the time since when this client is alone: cached values may be wrong for another reason, and have to be
   * read again.
   */
  forgetAll(): void {
    if (this.#sinceMs === undefined) return
    const nowMs = this.#cluster.clock.monotonic()
    assert(nowMs >= this.#sinceMs, 'what was doubted once counts again')
    this.#sinceMs = nowMs
    this.#losses.call()
  }

  /**
   * Calls `listener` when other clients are about to be let in, or may have been because the lease has run out, or
   * cached values may be wrong. Returns a function that stops the calls.
   */
  onLost(listener: () => void): () => void {
    return this.#losses.add(listener)
  }

  /** Gives the lease back, after answered changes were stored. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    this.#endTimer?.cancel()
    await this.#asking.running
    await this.#giveBack()
  }

  /** Returns for how many ms no other client can change anything, whatever happens; 0 when one can. */
  get exclusiveForMs(): number {
    if (this.exclusiveSinceMs === undefined) return 0
    const answered = [...this.#generations.keys()].map(
      (index) => this.#cluster.link(index).answeredMs,
    )
    const [third = 0] = answered.sort((a, b) => b - a).slice(quorum.lease - 1)
    return Math.max(0, third + limits.leaseMs - this.#cluster.clock.monotonic())
  }

  #heldCount(now: number): number {
    let count = 0
    for (const index of this.#generations.keys()) {
      if (now - this.#cluster.link(index).answeredMs < limits.leaseMs) count += 1
    }
    return count
  }

  #renew(): void {
    if (this.#closed || this.#givingBack.running !== undefined) return
    void this.#asking.run(() => this.#ask().finally(() => this.#renewLater()))
  }

  /** Renews the lease while it is used. Afterwards it runs out, and the next use asks for it again. */
  #renewLater(): void {
    this.#timer?.cancel()
    const { clock } = this.#cluster
    if (this.#closed || clock.monotonic() - this.#usedMs > limits.leaseIdleMs) return
    this.#timer = clock.after(renewalMs, () => this.#renew())
  }

  /** Calls the listeners when the lease runs out: because it is not used, or the servers do not answer. */
  #awaitEnd(): void {
    this.#endTimer?.cancel()
    if (this.#closed || this.#sinceMs === undefined) return
    const forMs = this.exclusiveForMs
    // A process that was stopped may come here before the timer that is due.
    if (forMs === 0) this.#losses.call()
    else this.#endTimer = this.#cluster.clock.after(forMs, () => this.#awaitEnd())
  }

  async #ask(): Promise<void> {
    const { clock } = this.#cluster
    this.#askedMs = clock.monotonic()
    const recalled = this.#recalled
    const { voters } = this.#cluster
    const fields = { wanted: true }
    const outcomes = await this.#cluster.askEnough(quorum.lease, voters, 'lease', () => fields)
    if (recalled !== this.#recalled) return
    const granted = outcomes.flatMap(({ index, answer }) =>
      answer?.reply.granted ? [{ index, generation: answer.reply.generation }] : [],
    )
    const others = granted.filter(
      ({ index, generation }) => this.#generations.get(index) !== generation,
    )
    // A server that comes back may have let another client in, which without a third server could change nothing.
    const kept = granted.length - others.length
    if (this.#sinceMs === undefined || kept < quorum.lease) {
      this.#generations.clear()
      this.#sinceMs = granted.length >= quorum.lease ? clock.monotonic() : undefined
    }
    for (const { index, generation } of granted) this.#generations.set(index, generation)
    for (const { index, answer } of outcomes) {
      if (answer?.reply.granted === false) this.#generations.delete(index)
    }
    this.#awaitEnd()
  }

  #recall(link: Link): void {
    debugDfc('%s wants its lease back', link.name)
    this.#recalled += 1
    this.#sinceMs = undefined
    void this.#giveBack()
  }

  #giveBack(): Promise<void> {
    this.#sinceMs = undefined
    this.#losses.call()
    return this.#givingBack.run(() => this.#storeAndGiveBack())
  }

  async #storeAndGiveBack(): Promise<void> {
    // Changes that cannot be stored now are tried again as usual, without the lease.
    await this.#store?.().catch((error: unknown) => debugDfc('recall: %o', error))
    const { up } = this.#cluster
    this.#generations.clear()
    await this.#cluster.askEnough(quorum.lease, up, 'lease', () => ({ wanted: false }))
    this.#askedMs = this.#cluster.clock.monotonic()
  }
}

/** The lease of a client that asks for none: other clients may change everything at any time. */
export const noLease = Object.freeze({
  exclusiveForMs: 0,
  use: () => undefined,
  begin: async () => {},
  forgetAll: () => {},
  onLost: () => () => {},
  close: async () => {},
})
