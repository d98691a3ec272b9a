/**
 * Committing: one round trip to all servers that are up, three yeses, done. Everything after the
 * first round is for the rare cases, as docs/decisions says: a lock in the way, a server that missed
 * something, and in doubt recovery by ballot, which alone may say that a transaction failed.
 */
import assert from 'node:assert/strict'
import { randomBelow, sleep } from '../../clock.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import type { Decision, Reply } from '../../wire/messages.js'
import { serverIndexes, spareOf } from '../../wire/placement.js'
import { quorum } from '../../wire/quorum.js'
import type { Key, Transaction } from '../../wire/records.js'
import { isAhead, type Version } from '../../wire/version.js'
import type { Cluster, Outcome } from '../cluster/cluster.js'
import { syncServers } from '../cluster/sync-servers.js'
import { inlineContent, type PreparedSegment } from '../content/prepared-segment.js'
import type { SegmentWriter } from '../content/segment-writer.js'
import type { Decisions } from './decisions.js'
import type { Fate, Recovery } from './recovery.js'
import type { Registers } from './registers.js'

/** The outcome of a transaction that is known to have been decided. */
export type Committed =
  | { readonly committed: true; readonly id: Version }
  /** `conflict`: read again and try again. `notEmpty`: a folder has the entry `key`. */
  | { readonly committed: false; readonly why: 'conflict' | 'notEmpty'; readonly key: Key }

interface CommitHow {
  /** New small segments that travel with the votes. Their bytes must not change any more. */
  readonly contents?: readonly PreparedSegment[] | undefined
  readonly onDisk?: boolean | undefined
  readonly id?: Version
}

const roundsMax = 5
const timeoutsMax = 4
const lockPatienceMs = 30
const recoveryPauseMs = 200

interface Attempt {
  readonly id: Version
  readonly body: Transaction
  readonly verb: 'commit' | 'commitSynced'
  readonly yes: Set<number>
  /** Servers that may have recorded a vote that we did not hear of. */
  readonly unheard: Set<number>
  /** Servers that answered the last time with an error, or not at all. */
  readonly failing: Set<number>
  /** Servers that refuse it because it is too far ahead of their clocks. */
  readonly behind: Set<number>
  /** The late outcomes of servers that took much longer than the others. */
  late: Promise<Outcome<Attempt['verb']>>[]
  /** Servers that were away from the start: their pieces went to the others with the votes. */
  readonly absent: ReadonlySet<number>
  /** Decisions of others, who met its locks, by the server that tells of them. */
  readonly told: Map<number, 'committed' | 'aborted'>
  /** Two of them tell so. */
  isAborted: boolean
  key: Key
  why: 'conflict' | 'notEmpty'
  failure: DfsError | undefined
}

interface Refusal {
  readonly index: number
  readonly reply: Reply<'commit'>
}

/**
 * Answers of a server whose vote was counted, but whose record was decided by others and dropped by a sweep before it
 * was asked again.
 */
const mayHaveForgotten: ReadonlySet<Reply<'commit'>['outcome']> = new Set(['fence', 'epoch'])

export class Transactions {
  readonly #cluster: Cluster
  readonly #registers: Registers
  readonly #recovery: Recovery
  readonly #decisions: Decisions
  readonly #writer: SegmentWriter
  readonly #onStored: (inline: PreparedSegment) => void
  /** Numbers of transactions by their outcome, and of the rounds of votes that they took. */
  readonly counts = { commits: 0, refusals: 0, unknown: 0, rounds: 0 }

  /** `onStored` hears of content that was committed. */
  constructor(
    cluster: Cluster,
    registers: Registers,
    recovery: Recovery,
    decisions: Decisions,
    writer: SegmentWriter,
    onStored: (inline: PreparedSegment) => void,
  ) {
    this.#cluster = cluster
    this.#registers = registers
    this.#recovery = recovery
    this.#decisions = decisions
    this.#writer = writer
    this.#onStored = onStored
  }

  /**
   * Commits `body`, with the bytes of small new segments riding along; `onDisk`: three servers have
   * it on their disks, with all that came before, when it resolves; `id`: as this version, which is newer
   * than all that it relies on. With the same one it may be tried again. Throws `readOnly` when fewer than three servers are up (nothing
   * was sent), `unknownOutcome` when too few answered to know, and what a server said (`noSpace`) when that is
   * why it failed.
   */
  async commit(body: Transaction, how: CommitHow = {}): Promise<Committed> {
    try {
      const committed = await this.#commit(body, how)
      if (committed.committed) this.counts.commits += 1
      else this.counts.refusals += 1
      return committed
    } catch (error) {
      if (isError(error, 'unknownOutcome')) this.counts.unknown += 1
      else this.counts.refusals += 1
      throw error
    }
  }

  async #commit(body: Transaction, how: CommitHow): Promise<Committed> {
    const { contents = [], onDisk = false } = how
    assertWellFormed(body)
    // Without a reason to wait it is sent before this returns.
    const { reconnecting } = this.#cluster
    if (reconnecting !== undefined) await reconnecting
    this.assertWritable()
    const id = how.id ?? this.#cluster.versionFor(body)
    const attempt: Attempt = {
      id,
      body,
      verb: onDisk ? 'commitSynced' : 'commit',
      yes: new Set(),
      unheard: new Set(),
      failing: new Set(),
      behind: new Set(),
      late: [],
      absent: new Set(serverIndexes.filter((index) => !this.#cluster.voters.includes(index))),
      told: new Map(),
      isAborted: false,
      key: body.preconditions[0]?.key ?? '',
      why: 'conflict',
      failure: undefined,
    }
    if (await this.#vote(attempt, contents)) {
      for (const content of contents) this.#onStored(content)
      this.#settle(attempt, contents)
      return { committed: true, id }
    }
    if (attempt.isAborted) return this.#failed(attempt)
    // Everyone asked has said no, and a no is not recorded: there is nothing to recover.
    if (attempt.yes.size === 0 && attempt.unheard.size === 0) return this.#failed(attempt)
    const fate = await this.#fateOf(id, body)
    if (fate === 'committed') {
      await this.#ensureCopies(attempt, contents)
      if (onDisk) {
        const segments = contents.map(({ segment }) => segment.id)
        await syncServers(this.#cluster, segments).catch((cause: unknown) => {
          // It is made all the same: `readOnly` would say that nothing was.
          throw new DfsError('unknownOutcome', 'stored, but not confirmed to be on the disks', {
            cause,
          })
        })
      }
      return { committed: true, id }
    }
    if (fate === 'aborted' || (fate === 'forgotten' && votesMax(attempt) < quorum.holders)) {
      return this.#failed(attempt)
    }
    throw new DfsError('unknownOutcome', undefined, { cause: attempt.failure })
  }

  /** Others may be at it as well, and ballots overtake one another: that ends, but takes a while. */
  async #fateOf(id: Version, body: Transaction): Promise<Fate> {
    const { clock, random } = this.#cluster
    const endMs = clock.monotonic() + limits.transactionPatienceMs
    let fate = await this.#recovery.recover(id, body)
    while (fate === 'unknown' && clock.monotonic() < endMs) {
      await this.#cluster.reconnecting
      if (this.#cluster.voters.length < quorum.commit) break
      await sleep(clock, randomBelow(random, recoveryPauseMs))
      fate = await this.#recovery.recover(id, body)
    }
    return fate
  }

  /** Throws `readOnly` when fewer than three servers vote, and it is known that no other is about to. */
  assertWritable(): void {
    this.#cluster.assertAdmitted()
    if (!this.#cluster.isWritable) throw new DfsError('readOnly')
  }

  /**
   * Waits while lost connections are made again. Returns whether it had to: what was read before may be from fewer than
   * three servers, and old. Throws `readOnly`.
   */
  async awaitWritable(): Promise<boolean> {
    const { reconnecting } = this.#cluster
    await reconnecting
    this.assertWritable()
    return reconnecting !== undefined
  }

  /** Tells the servers; and again, when one that was not waited for has voted as well. */
  #settle(attempt: Attempt, contents: readonly PreparedSegment[]): void {
    const { id, body, yes, late } = attempt
    const spareOf = sparesAfter(attempt, contents)
    this.#decisions.add({ id, body, yes: new Set(yes), spareOf })
    if (contents.length === 0 || spareOf !== undefined) return
    void Promise.all(late).then((outcomes) => {
      for (const { index, answer } of outcomes) if (answer?.reply.outcome === 'yes') yes.add(index)
      const spareOf = sparesAfter(attempt, contents)
      if (spareOf !== undefined) this.#decisions.add({ id, body, yes, spareOf })
    })
  }

  #failed({ why, key, failure, behind, failing, absent }: Attempt): Committed {
    if (behind.size > serverIndexes.length - quorum.commit) {
      const names = [...behind].map((index) => this.#cluster.link(index).name).join(' and ')
      const why = `Read-only until the clocks of the servers agree: those of ${names} are behind`
      throw new DfsError('readOnly', why)
    }
    // While three can vote, one that cannot is not why it failed.
    const unable = new Set([...absent, ...failing]).size > serverIndexes.length - quorum.commit
    if (unable && failure !== undefined && !isError(failure, 'down')) throw failure
    debugDfc('transaction failed: %s %s', why, key)
    return { committed: false, why, key }
  }

  /** True: three different yeses. False: recovery has to say. */
  async #vote(attempt: Attempt, contents: readonly PreparedSegment[]): Promise<boolean> {
    const { id, body, verb, yes, absent, behind } = attempt
    let timeouts = 0
    // Those of before the first vote: a fill since then counts on none of the votes before it.
    const epochs = this.#cluster.epochs()
    for (let round = 0; round < roundsMax && timeouts < timeoutsMax; round += 1) {
      this.counts.rounds += 1
      const settles = this.#decisions.take()
      const targets = this.#cluster.voters.filter((index) => !yes.has(index) && !behind.has(index))
      const inlineFor = new Map(
        targets.map((index) => [index, inlineContent(contents, index, absent)] as const),
      )
      const outcomes = await this.#cluster.askEnough(
        quorum.commit - yes.size,
        targets,
        verb,
        (index) => ({
          id,
          epoch: epochs[index] ?? 0,
          settles: settles(index),
          body,
          pieces: inlineFor.get(index)?.headers ?? [],
        }),
        (index) => inlineFor.get(index)?.payload ?? [],
      )
      const refusals = this.#count(attempt, outcomes)
      if (refusals === 'committed') return true
      if (yes.size >= quorum.commit) return true
      if (refusals === 'final') {
        // One server that cannot is not why the others refuse.
        attempt.failure = undefined
        return false
      }
      if (behind.size > serverIndexes.length - quorum.commit) return false
      if (refusals.length === 0) {
        timeouts += 1
        if (round > 0 || this.#cluster.voters.length < quorum.commit) return false
        continue
      }
      for (const { index, reply } of withoutRepeatedLocks(refusals)) {
        if (!(await this.#help(attempt, index, reply))) return false
      }
    }
    return false
  }

  /** Notes the votes; returns the refusals that can be helped, or that there is no more to do. */
  #count(
    attempt: Attempt,
    outcomes: readonly Outcome<Attempt['verb']>[],
  ): 'committed' | 'final' | Refusal[] {
    const refusals: Refusal[] = []
    let final = false
    for (const { index, answer, error, late } of outcomes) {
      if (answer === undefined) {
        if (late !== undefined) attempt.late.push(late)
        if (isError(error, 'clock')) {
          attempt.behind.add(index)
          continue
        }
        // Of a disk that failed nobody knows whether it has the vote.
        if (isError(error, 'down', 'disk', 'io', 'damaged')) attempt.unheard.add(index)
        attempt.failing.add(index)
        attempt.failure = isError(attempt.failure, 'noSpace') ? attempt.failure : error
        continue
      }
      attempt.failing.delete(index)
      const { reply } = answer
      if (!mayHaveForgotten.has(reply.outcome)) attempt.unheard.delete(index)
      this.#cluster.versions.see(reply.hint)
      if (reply.outcome === 'yes') attempt.yes.add(index)
      // It was raised while its clock was ahead: the others have no such fence.
      else if (reply.outcome === 'fence' && isAhead(reply.hint, this.#cluster.clock.now())) {
        attempt.behind.add(index)
      } else if (['locked', 'stale', 'notEmpty'].includes(reply.outcome)) {
        refusals.push({ index, reply })
      } else if (reply.outcome === 'committed' || reply.outcome === 'aborted') {
        // One that alone tells of a decision may lie, and may have voted.
        final = true
        attempt.told.set(index, reply.outcome)
        attempt.unheard.add(index)
      } else {
        final = true
        if (reply.key !== '') attempt.key = reply.key
      }
    }
    const told = [...attempt.told.values()]
    const tellers = (wanted: string): number => told.filter((one) => one === wanted).length
    if (tellers('committed') >= quorum.believe) return 'committed'
    attempt.isAborted = tellers('aborted') >= quorum.believe
    return final ? 'final' : refusals
  }

  /** Removes what made a server refuse; false when it was right to refuse. */
  async #help(attempt: Attempt, index: number, reply: Reply<'commit'>): Promise<boolean> {
    if (reply.outcome === 'locked') {
      // Most likely it is just being decided: politeness, not safety.
      await sleep(this.#cluster.clock, randomBelow(this.#cluster.random, lockPatienceMs))
      await this.#recovery.recover(reply.by)
      return true
    }
    if (reply.outcome === 'notEmpty') {
      const [entry] = await this.#registers.read([reply.key])
      if (entry !== undefined && entry.value !== null) {
        attempt.why = 'notEmpty'
        attempt.key = reply.key
        return false
      }
    }
    await this.#registers.installLatest(reply.key, index)
    return true
  }

  /**
   * For what a ballot committed. Three votes bring two copies of every piece: of four servers, with the
   * spare pieces; of three, because then all of these have voted, or the fourth is back and took
   * everything. A ballot may do with two votes: if a server was away from the start, the pieces of
   * another that did not answer go to its neighbours. Where even that fails the content is committed and
   * readable, and its second copies are left to repair.
   */
  async #ensureCopies(
    { unheard, absent }: Attempt,
    contents: readonly PreparedSegment[],
  ): Promise<void> {
    if (unheard.size === 0 || absent.size === 0) return
    for (const content of contents) {
      try {
        await this.#writer.ensureCopies(content, [...unheard])
      } catch (error) {
        debugDfc('copies of %s: %o', content.segment.id, error)
      }
    }
  }
}

/** Once all four have their pairs nobody needs the spare pieces; otherwise repair moves them. */
function sparesAfter(
  { yes, absent }: Attempt,
  contents: readonly PreparedSegment[],
): ((server: number) => Decision['spares']) | undefined {
  if (contents.length === 0 || absent.size > 0 || yes.size < serverIndexes.length) return undefined
  return (server) =>
    contents.map(({ segment, rotation }) => ({
      segment: segment.id,
      piece: spareOf(server, rotation),
    }))
}

/** How many servers can have voted yes at most: a no is recorded nowhere. */
function votesMax({ yes, unheard }: Attempt): number {
  assert(![...yes].some((index) => unheard.has(index)), 'a vote counts twice')
  return yes.size + unheard.size
}

/** A register is written once, and only by who says what it was before. */
export function assertWellFormed({ writes, preconditions }: Transaction): void {
  const written = new Set(writes.map(({ key }) => key))
  const required = new Set(preconditions.map(({ key }) => key))
  assert(written.size === writes.length, 'a register is written twice')
  assert(required.size === preconditions.length, 'a register has two preconditions')
  for (const key of written) assert(required.has(key), 'a write without a precondition')
}

/** A transaction that is in the way on several servers is finished on all of them at once. */
function withoutRepeatedLocks(refusals: readonly Refusal[]): Refusal[] {
  const seen = new Set<Version>()
  return refusals.filter(({ reply: { outcome, by } }) => {
    const isRepeated = outcome === 'locked' && seen.has(by)
    if (outcome === 'locked') seen.add(by)
    return !isRepeated
  })
}
