/**
 * Finishing a transaction that somebody left undecided: by ballot, as docs/decisions says, by anyone
 * and at any time. Two recoverers of the same transaction end with the same decision.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import { KeyedSingleFlight } from '../../async/single-flight.js'
import { randomBelow, sleep } from '../../clock.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import type { Reply } from '../../wire/messages.js'
import { quorum } from '../../wire/quorum.js'
import type { Transaction } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'

/** `forgotten`: decided long ago, on all four. `unknown`: too few servers answered to decide. */
export type Fate = 'committed' | 'aborted' | 'forgotten' | 'unknown'

const ballotUnit = 2 ** 32
const attemptsMax = 6
const acceptsMax = 4
const depthMax = 6
/** So that a decision that turns round is noticed, where that happens soon. */
const decidedMax = 256

interface Known {
  body: Transaction | null
}

export class Recovery {
  readonly #cluster: Cluster
  readonly #client: number
  readonly #voters: () => readonly number[]
  readonly #onCommitted: () => void
  readonly #running = new KeyedSingleFlight<Version, Fate>()
  /** Recent decisions: true for a commit. */
  readonly #decided = new LRUCache<Version, boolean>({ max: decidedMax })
  #counter = 0

  /**
   * `voters`: the servers to decide with, if not those of the cluster that vote. `onCommitted` hears
   * of each transaction that a ballot committed: its content may be in fewer places than it should.
   */
  constructor(
    cluster: Cluster,
    voters: () => readonly number[] = () => cluster.voters,
    onCommitted: () => void = () => {},
  ) {
    this.#cluster = cluster
    this.#voters = voters
    this.#onCommitted = onCommitted
    this.#client = Number.parseInt(cluster.versions.client, 16)
  }

  /** Decides `id` unless it is decided; `body` if the caller has it. Never throws. */
  recover(id: Version, body: Transaction | null = null, depth = 0): Promise<Fate> {
    const recover = (): Promise<Fate> => this.#recover(id, { body }, depth)
    // A nested call must not wait for a recovery that may be waiting for it.
    return depth === 0 ? this.#running.run(id, recover) : recover()
  }

  async #recover(id: Version, known: Known, depth: number): Promise<Fate> {
    if (depth > depthMax) return 'unknown'
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const voters = this.#voters()
      if (voters.length < quorum.promise) return 'unknown'
      const ballot = this.#nextBallot()
      const fields = { id, ballot }
      const outcomes = await this.#cluster.askEnough(
        quorum.promise,
        voters,
        'prepare',
        () => fields,
      )
      const prepared = outcomes.flatMap(({ answer }) => answer?.reply ?? [])
      for (const reply of prepared) {
        this.#learn(reply.ballot)
        known.body ??= reply.body
      }
      const fate = await this.#fateIn(id, prepared, known)
      if (fate !== undefined) return fate
      const promised = prepared.filter(({ outcome }) => outcome === 'promised')
      if (promised.length < quorum.promise) {
        await this.#pause(attempt)
        continue
      }
      const commit = choose(promised)
      const decided = await this.#accept(id, ballot, commit, known, depth)
      if (decided !== undefined) return decided
      await this.#pause(attempt)
    }
    return 'unknown'
  }

  /** The accept phase of one ballot; undefined when another ballot got in between. */
  async #accept(
    id: Version,
    ballot: number,
    commit: boolean,
    known: Known,
    depth: number,
  ): Promise<Fate | undefined> {
    for (let round = 0; round < acceptsMax; round += 1) {
      const fields = { id, ballot, commit, body: known.body }
      const voters = this.#voters()
      const outcomes = await this.#cluster.askEnough(quorum.accept, voters, 'accept', () => fields)
      const accepted = outcomes.flatMap(({ answer }) => answer?.reply ?? [])
      for (const reply of accepted) this.#learn(reply.ballot)
      const fate = await this.#fateIn(id, accepted, known)
      if (fate !== undefined) return fate
      if (accepted.filter(({ outcome }) => outcome === 'accepted').length >= quorum.accept) {
        debugDfc('recovered %s: %s', id, commit ? 'commit' : 'abort')
        await this.#spread(id, commit, known)
        if (commit) this.#onCommitted()
        return commit ? 'committed' : 'aborted'
      }
      const locked = accepted.find(({ outcome }) => outcome === 'locked')
      if (locked === undefined) return undefined
      await this.recover(locked.by, null, depth + 1)
    }
    return undefined
  }

  /** A decision that one of the replies already knows, spread to all; or `forgotten`. */
  async #fateIn(
    id: Version,
    replies: readonly (Reply<'prepare'> | Reply<'accept'>)[],
    known: Known,
  ): Promise<Fate | undefined> {
    const decided = replies.find(
      ({ outcome }) => outcome === 'committed' || outcome === 'aborted',
    )?.outcome
    if (decided === 'committed' || decided === 'aborted') {
      await this.#spread(id, decided === 'committed', known)
      return decided
    }
    return replies.some(({ outcome }) => outcome === 'forgotten') ? 'forgotten' : undefined
  }

  async #spread(id: Version, commit: boolean, { body }: Known): Promise<void> {
    assert((this.#decided.get(id) ?? commit) === commit, `${id} was decided the other way`)
    this.#decided.set(id, commit)
    const decisions = [{ id, commit, body, spares: [] }]
    await this.#cluster.askEnough(quorum.accept, this.#voters(), 'decide', () => ({ decisions }))
  }

  #nextBallot(): number {
    this.#counter += 1
    const ballot = this.#counter * ballotUnit + this.#client
    assert(Number.isSafeInteger(ballot), 'there is no higher ballot')
    return ballot
  }

  #learn(ballot: number): void {
    this.#counter = Math.max(this.#counter, Math.floor(ballot / ballotUnit))
  }

  #pause(attempt: number): Promise<void> {
    const { clock, random } = this.#cluster
    return sleep(clock, 1 + randomBelow(random, 20 << Math.min(attempt, 3)))
  }
}

/**
 * The value that a ballot with these promises (three or four) must propose. A commit by votes needs
 * three yeses, so where even the servers not heard of cannot bring the holders to three, it cannot
 * have been committed and never will be. This rule stands before "the highest accepted value":
 * two transactions that split the servers two and two would otherwise block each other for ever.
 */
function choose(promised: readonly Reply<'prepare'>[]): boolean {
  assert(promised.length >= quorum.promise && promised.length <= limits.serverCount)
  const holders = promised.filter((reply) => reply.yes || reply.everAcceptedCommit).length
  if (holders + (limits.serverCount - promised.length) < quorum.commit) return false
  const accepted = promised.filter((reply) => reply.acceptedBallot > 0)
  const highest = accepted.sort((a, b) => b.acceptedBallot - a.acceptedBallot)[0]
  return highest?.acceptedCommit ?? true
}
