/** A transaction: its votes, what is in their way, and what its user is told. */
import { serverIndexes } from '../../src/wire/placement.js'
import { quorum } from '../../src/wire/quorum.js'
import type { Client, Step } from './client.js'
import type { Refusal, Replies, Reply } from './messages.js'
import { asText } from './network.js'
import { askForCopies, isEnough, read } from './read.js'
import { decisionIn, type Outcome, recover, tellDecision } from './recovery.js'
import {
  type Body,
  type Key,
  newest,
  newestConfirmed,
  roundTimeout,
  type TransactionId,
} from './vocabulary.js'

const roundsMax = 5
const timeoutsMax = 4
/** Decisions that ride on one commit. */
const decidedMax = 8

/** The writes of a transaction, and how long it is tried. */
export interface Change extends Pick<Body, 'writes' | 'preconditions'> {
  readonly mustBeEmpty?: readonly Key[]
  /** True for a transaction that nothing but a single server is in the way of: it is tried to the end. */
  readonly isPatient: boolean
}

interface Attempt {
  readonly id: TransactionId
  readonly body: Body
  readonly isPatient: boolean
  /** Servers that said yes. */
  readonly yeses: Set<number>
  /** Servers that may have said yes without being heard. */
  readonly unheard: Set<number>
  /** The refusals of the last round. */
  reasons: string
}

/** A server that said no. */
interface No {
  readonly server: number
  readonly refusal: Refusal
  readonly reply: Reply
}

/** Commits a change. The result is what the user is told: `ok`, `unknown`, or `no:` with the reasons. */
export function* commit(client: Client, change: Change): Step<string> {
  const attempt = begin(client, change)
  const known = yield* collectVotes(client, attempt)
  if (known === 'acknowledged') return 'ok'
  const { yeses, unheard } = attempt
  const isRefusedByAll = known === undefined && yeses.size === 0 && unheard.size === 0
  if (isRefusedByAll && client.context.rules.ballots) return noteFailed(client, attempt)
  const outcome = known ?? (yield* ownRecovery(client, attempt))
  return conclude(client, attempt, outcome)
}

function begin(client: Client, { isPatient, mustBeEmpty = [], ...change }: Change): Attempt {
  const { context } = client
  const read = [...change.preconditions.values()].map(({ version }) => version)
  const id = client.nextId(Math.max(0, ...read))
  const body: Body = { ...change, mustBeEmpty }
  context.history.bodies.set(id, body)
  context.counts.transactions += 1
  context.trace?.(`c${client.index} begins ${id} ${asText(body)}`)
  return { id, body, isPatient, yeses: new Set(), unheard: new Set(), reasons: '' }
}

/** Rounds of votes, until the transaction is acknowledged or decided, or the rounds lead nowhere. */
function* collectVotes(
  client: Client,
  attempt: Attempt,
): Step<'acknowledged' | Outcome | undefined> {
  const { events } = client.context
  const startedAt = events.now
  const decided = client.decided.splice(0, decidedMax)
  const { id, body, yeses } = attempt
  const { epochs } = client
  for (let round = 0; round < roundsMax; round += 1) {
    if (round > 0 && events.now - startedAt > timeoutsMax * roundTimeout) return undefined
    const isFirstRound = round === 0
    const replies = yield* client.ask(
      serverIndexes.filter((server) => !yeses.has(server)),
      (server) => ({ kind: 'commit', id, body, epoch: epochs[server] ?? 0, decided, isFirstRound }),
    )
    noteVotes(client, attempt, replies)
    const decision = decisionIn(client, replies)
    if (decision) return decision
    if (yeses.size >= quorum.commit) {
      yield* acknowledge(client, attempt)
      return 'acknowledged'
    }
    const noes = noesIn(replies)
    attempt.reasons = noes.map(({ refusal }) => refusal).join()
    if (replies.some((reply) => reply?.decision)) return undefined
    if (isHopeless(noes, round, attempt.isPatient)) return undefined
    if (!(yield* clearTheWay(client, noes))) return undefined
  }
  return undefined
}

/**
 * Notes who said yes, and who may have. A no that is answered later says that there was no yes before,
 * unless it is for the fence or the epoch: then a yes may have been counted, and forgotten since.
 */
function noteVotes({ context }: Client, { yeses, unheard }: Attempt, replies: Replies): void {
  for (const server of serverIndexes) {
    const reply = replies[server]
    if (reply?.yes) yeses.add(server)
    if (yeses.has(server)) continue
    // One that alone tells of a decision may have voted.
    if (!reply || reply.decision) unheard.add(server)
    else if (!reply.isBlank && !(context.rules.laterNoSaysNothing && isByAge(reply.refusal))) {
      unheard.delete(server)
    }
  }
}

function isByAge(refusal: Refusal | undefined): boolean {
  return refusal === 'fence' || refusal === 'epoch'
}

/** Tells the user, and then all servers, or leaves it to the next commit, or to nobody. */
function* acknowledge(client: Client, { id, body }: Attempt): Step {
  const { context } = client
  const { chance, counts, history, trace } = context
  history.noteAcknowledged(id, 'votes')
  counts.acknowledged += 1
  trace?.(`c${client.index} acknowledges ${id}`)
  if (chance.happens(0.3)) client.decided.push({ id, body })
  const isForgotten = chance.happens(0.15)
  if (isForgotten && !context.isQuiet) return
  if (chance.happens(0.5)) yield* client.sleep(chance.below(200))
  yield* tellDecision(client, id, 'commit', body)
}

function noesIn(replies: Replies): readonly No[] {
  return replies.flatMap((reply, server) =>
    reply?.refusal ? [{ server, refusal: reply.refusal, reply }] : [],
  )
}

/** Whether another round under the same id cannot help. */
function isHopeless(noes: readonly No[], round: number, isPatient: boolean): boolean {
  const count = (refusal: Refusal) => noes.filter((no) => no.refusal === refusal).length
  if (count('epoch') + count('fence') + count('promised') > 0) return true
  const conflicts = count('conflict')
  const mayPass = isPatient && round < roundsMax - 1 && conflicts === 1
  if (conflicts > 0 && !mayPass) return true
  return count('clock') > 1 || (round > 1 && count('clock') === noes.length)
}

/** Recovers what holds locks, and installs what servers lack; false if a folder is not empty. */
function* clearTheWay(client: Client, noes: readonly No[]): Step<boolean> {
  const { context } = client
  for (const { server, refusal, reply } of noes) {
    if (refusal === 'locked' && reply.lockedBy) {
      if (!context.isQuiet) yield* client.sleep(context.chance.below(roundTimeout))
      yield* recover(client, reply.lockedBy)
    }
    if (reply.key === undefined) continue
    if (refusal === 'notEmpty') {
      const entry = yield* read(client, reply.key)
      if (!entry || entry.value !== null) return false
    }
    yield* installNewest(client, server, reply.key)
  }
  return true
}

/** Installs what the others have decided about a key on a server that lacks it. */
function* installNewest(client: Client, server: number, key: Key): Step {
  const copies = yield* askForCopies(client, key)
  if (!isEnough(copies)) return
  const isConfirmed = client.context.rules.registersConfirmed
  const found = isConfirmed ? newestConfirmed(copies) : newest(copies)
  if (!found) return
  const { version, value } = found
  yield* client.askOne(server, { kind: 'install', key, version, value })
}

function* ownRecovery(client: Client, { id, body }: Attempt): Step<Outcome> {
  if (client.context.rules.ballots) return yield* recover(client, id, body)
  yield* tellDecision(client, id, 'abort', body)
  return 'abort'
}

function conclude({ context }: Client, attempt: Attempt, outcome: Outcome): string {
  const { counts, history, rules } = context
  if (outcome === 'commit') {
    history.noteAcknowledged(attempt.id, 'own recovery')
    counts.acknowledged += 1
    return 'ok'
  }
  if (outcome === 'forgotten' && isSurelyAborted(attempt, rules.fewYesesAbort)) {
    counts.forgottenAborts += 1
    return noteFailed({ context }, attempt)
  }
  if (outcome === 'abort') return noteFailed({ context }, attempt)
  counts.unknown += 1
  return 'unknown'
}

/** What is forgotten was decided; it was aborted if too few can have said yes for any rule to commit. */
function isSurelyAborted({ yeses, unheard }: Attempt, needsFew: boolean): boolean {
  const yesesMax = needsFew ? quorum.holders - 1 : quorum.holders
  return yeses.size + unheard.size <= yesesMax
}

function noteFailed({ context }: Pick<Client, 'context'>, { id, reasons }: Attempt): string {
  context.counts.failed += 1
  if (context.rules.ballots) context.history.failed.add(id)
  return `no:${reasons}`
}
