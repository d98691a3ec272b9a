/**
 * Sends decisions of this client's own transactions to the servers: with the next commit, or by themselves a moment
 * later, and always before a read, which would otherwise meet the locks of a finished transaction.
 */
import assert from 'node:assert/strict'
import type { Timer } from '../../clock.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import type { Decision } from '../../wire/messages.js'
import type { Transaction } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'

interface Decided {
  readonly id: Version
  readonly body: Transaction
  /** Servers that voted yes, and so have the transaction. */
  readonly yes: ReadonlySet<number>
  /** Returns the spare pieces that a server took with its vote and may drop; undefined when they are needed. */
  readonly spareOf: ((server: number) => Decision['spares']) | undefined
}

export class Decisions {
  readonly #cluster: Cluster
  #pending: Decided[] = []
  #timer: Timer | undefined
  #addedMs = Number.NEGATIVE_INFINITY
  readonly #sending = new Set<Promise<unknown>>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Time in ms since this client committed last. */
  get quietMs(): number {
    return this.#cluster.clock.monotonic() - this.#addedMs
  }

  /** Adds the decision of a transaction that was committed by the votes of `yes`. */
  add(decided: Decided): void {
    assert(decided.body.writes.length > 0, 'nothing was decided')
    assert(decided.yes.size <= limits.serverCount)
    this.#addedMs = this.#cluster.clock.monotonic()
    this.#pending.push(decided)
    if (this.#pending.length >= limits.decisionsPendingMax) {
      this.flush()
      return
    }
    this.#timer ??= this.#cluster.clock.after(limits.decisionDelayMs, () => this.flush())
  }

  /**
   * Removes and returns the pending decisions, for a commit to carry: for each server, with bodies where it may lack
   * them.
   */
  take(): (server: number) => readonly Decision[] {
    const taken = this.#pending
    this.#pending = []
    this.#timer?.cancel()
    this.#timer = undefined
    return (server) =>
      taken.map(({ id, body, yes, spareOf }) => ({
        id,
        commit: true,
        body: yes.has(server) ? null : body,
        spares: spareOf?.(server) ?? [],
      }))
  }

  /** Sends the pending decisions to every server that is up. Later requests on a connection arrive after them. */
  flush(): void {
    if (this.#pending.length === 0) return
    const decisionsFor = this.take()
    const sent = this.#cluster
      .ask(this.#cluster.voters, 'decide', (server) => ({ decisions: decisionsFor(server) }))
      .then((outcomes) => {
        for (const { index, error } of outcomes) {
          if (error) debugDfc('decide on server %d: %o', index + 1, error)
        }
      })
    this.#sending.add(sent)
    void sent.finally(() => this.#sending.delete(sent))
  }

  /** Resolves when every decision has been sent and answered (or its server is down). */
  async settled(): Promise<void> {
    this.flush()
    await Promise.all(this.#sending)
  }
}
