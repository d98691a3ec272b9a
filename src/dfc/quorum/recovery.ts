/**
 * Finishing a transaction that somebody left undecided: by ballot, as docs/decisions says, by anyone
 * and at any time. Two recoverers of the same transaction end with the same decision.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import { KeyedSingleFlight } from '../../async/single-flight.js'
import { randomBelow, sleep } from '../../clock.js'
import { limits } from '../../limits.js'
import { debugDfc, notice } from '../../log.js'
import { encode } from '../../wire/codec.js'
import type { Reply } from '../../wire/messages.js'
import { quorum } from '../../wire/quorum.js'
import { type Transaction, transactionCodec } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { Cluster, Outcome } from '../cluster/cluster.js'
import { secondHighest } from './confirmed.js'

/** `forgotten`: decided long ago, on all four. `unknown`: too few servers answered to decide. */
export type Fate = 'committed' | 'aborted' | 'forgotten' | 'unknown'

const ballotUnit = 2 ** 32
/** Half of the counters that there are: a ballot above is not learned, so that a lie does not use them up. */
const counterMax = 2 ** 20
const attemptsMax = 6
/** Attempts in which every server that does not lie is given the time to promise. */
const strictAttempts = 3
const acceptsMax = 4
const depthMax = 6
/** So that a decision that turns round is noticed, where that happens soon. */
const decidedMax = 256

interface Known {
  body: Transaction | null
}

export class Recovery {
  /** Ballots that were begun, and transactions that one has aborted. */
  readonly counts = { ballots: 0, aborts: 0 }
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
      this.counts.ballots += 1
      const fields = { id, ballot }
      const outcomes = await this.#cluster.askEnough(
        quorum.promise,
        voters,
        'prepare',
        () => fields,
      )
      const prepared = outcomes.flatMap(({ answer }) => answer?.reply ?? [])
      for (const { ballot } of prepared) this.#learn(ballot)
      known.body ??= confirmedBody(prepared)
      // One that is away may be why: then there is no other way.
      const tries = attempt + (voters.length < limits.serverCount ? strictAttempts : 0)
      const isLate = tries >= strictAttempts
      const fate = await this.#fateIn(id, prepared, known, isLate)
      if (fate !== undefined) return fate
      const promises = promisesIn(prepared, isLate)
      if (promises.length < quorum.promise) {
        await this.#pause(attempt)
        continue
      }
      const commit = choose(promises)
      if (commit) {
        known.body ??= await this.#bodyHeld(id, outcomes)
        if (known.body === null) {
          await this.#pause(attempt)
          continue
        }
        if (tries > strictAttempts && isToldAlone(prepared)) {
          await this.#spread(id, commit, known)
          return 'committed'
        }
      }
      const decided = await this.#accept(id, ballot, commit, known, depth)
      if (decided === 'aborted') this.counts.aborts += 1
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
      const same = commit ? 'committed' : 'aborted'
      const accepts = accepted.filter(({ outcome }) => outcome === 'accepted' || outcome === same)
      if (accepts.length >= quorum.accept) {
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

  /**
   * A decision that two of the replies know, spread to all; or `forgotten`. Where no other way is left, one that has
   * forgotten is enough.
   */
  async #fateIn(
    id: Version,
    replies: readonly (Reply<'prepare'> | Reply<'accept'>)[],
    known: Known,
    isLate = false,
  ): Promise<Fate | undefined> {
    const tellers = (wanted: string): number =>
      replies.filter(({ outcome }) => outcome === wanted).length
    for (const fate of ['committed', 'aborted'] as const) {
      if (tellers(fate) < quorum.believe) continue
      await this.#spread(id, fate === 'committed', known)
      return fate
    }
    return tellers('forgotten') >= (isLate ? 1 : quorum.believe) ? 'forgotten' : undefined
  }

  /**
   * The body that one server has voted with, where another one has committed it and dropped the body: its registers
   * show what the transaction wrote, or what came after it. null if they show something else.
   */
  async #bodyHeld(
    id: Version,
    outcomes: readonly Outcome<'prepare'>[],
  ): Promise<Transaction | null> {
    const teller = outcomes.find(({ answer }) => answer?.reply.outcome === 'committed')
    const [body, ...others] = outcomes.flatMap(({ answer }) => answer?.reply.body ?? [])
    if (teller === undefined || body === undefined || others.length > 0) return null
    for (let at = 0; at < body.writes.length; ) {
      const some = body.writes.slice(at, at + limits.readKeysMax)
      const keys = some.map(({ key }) => key)
      const [outcome] = await this.#cluster.ask([teller.index], 'read', () => ({ keys }))
      const registers = outcome?.answer?.reply.registers ?? []
      if (registers.length === 0) return null
      const isShown = registers.every(({ register: { version, value } }, index) => {
        const wrote = some[index]?.value ?? null
        const isSame = value === null || wrote === null ? value === wrote : value.equals(wrote)
        return version > id || (version === id && isSame)
      })
      if (!isShown) return null
      at += registers.length
    }
    return body
  }

  async #spread(id: Version, commit: boolean, { body }: Known): Promise<void> {
    if ((this.#decided.get(id) ?? commit) !== commit) {
      notice(`FAULT: transaction ${id} was decided the other way before`, 'error')
    }
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

  /** Takes note of a ballot of others. None that does not lie is near the end of what there is. */
  #learn(ballot: number): void {
    const counter = Math.floor(ballot / ballotUnit)
    if (counter < counterMax) this.#counter = Math.max(this.#counter, counter)
  }

  #pause(attempt: number): Promise<void> {
    const { clock, random } = this.#cluster
    return sleep(clock, 1 + randomBelow(random, 20 << Math.min(attempt, 3)))
  }
}

/** The body of the transaction, where two servers tell it alike: one alone may make it up. */
function confirmedBody(replies: readonly Reply<'prepare'>[]): Transaction | null {
  const bodies = replies.flatMap(({ body }) => body ?? [])
  if (bodies.length < quorum.believe) return null
  const bytes = bodies.map((body) => encode(transactionCodec, body))
  const index = bytes.findIndex(
    (one) => bytes.filter((other) => other.equals(one)).length >= quorum.believe,
  )
  return bodies[index] ?? null
}

type Promised = Pick<
  Reply<'prepare'>,
  'yes' | 'everAcceptedCommit' | 'acceptedBallot' | 'acceptedCommit'
>

/**
 * The promises. A server that alone tells of a decision may lie: only where there are too few promises without it, and
 * after some attempts, it counts as one that has accepted that decision last of all.
 */
function promisesIn(replies: readonly Reply<'prepare'>[], isLate: boolean): readonly Promised[] {
  const promised = replies.filter(({ outcome }) => outcome === 'promised')
  if (promised.length >= quorum.promise || !isLate) return promised
  const told = replies.flatMap(({ outcome }): Promised[] => {
    if (outcome !== 'committed' && outcome !== 'aborted') return []
    const commit = outcome === 'committed'
    const acceptedBallot = Number.MAX_SAFE_INTEGER
    return [{ yes: commit, everAcceptedCommit: commit, acceptedBallot, acceptedCommit: commit }]
  })
  return [...promised, ...told]
}

/**
 * Whether one server tells of a commit and none of the opposite. It could be accepted nowhere else: what relies on it
 * may hold locks that are in its way.
 */
function isToldAlone(replies: readonly Reply<'prepare'>[]): boolean {
  const outcomes = replies.map(({ outcome }) => outcome)
  return outcomes.includes('committed') && !outcomes.includes('aborted')
}

/**
 * The value that a ballot with these promises (three or four) must propose. A commit by votes needs
 * three yeses, so where even the servers not heard of cannot bring the holders to three, it cannot
 * have been committed and never will be. This rule stands before "the accepted value":
 * two transactions that split the servers two and two would otherwise block each other for ever.
 */
function choose(promises: readonly Promised[]): boolean {
  assert(promises.length >= quorum.promise && promises.length <= limits.serverCount)
  const holders = promises.filter((reply) => reply.yes || reply.everAcceptedCommit).length
  if (holders + (limits.serverCount - promises.length) < quorum.commit) return false
  return acceptedBallot(promises, true) >= acceptedBallot(promises, false)
}

/**
 * The highest ballot by which, or by a later one, two of the promises have accepted a value; 0 if there is none. What
 * a ballot has decided was accepted by three, so two of any three promises show it, and one alone may lie.
 */
function acceptedBallot(promises: readonly Promised[], commit: boolean): number {
  const ballots = promises
    .filter((reply) => reply.acceptedBallot > 0 && reply.acceptedCommit === commit)
    .map((reply) => reply.acceptedBallot)
  return secondHighest(ballots) ?? 0
}
