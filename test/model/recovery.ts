/** Recovery: anybody decides a transaction that was interrupted, by ballot. */
import { serverIndexes } from '../../src/wire/placement.js'
import { quorum } from '../../src/wire/quorum.js'
import type { Client, Step } from './client.js'
import { counted, type Replies, type Reply } from './messages.js'
import { type Body, type Decision, serverCount, type TransactionId } from './vocabulary.js'

/** `forgotten`: decided, but nobody knows how. `unknown`: too few servers have answered. */
export type Outcome = Decision | 'forgotten' | 'unknown'

const attemptsMax = 6
const acceptsMax = 4
const depthMax = 6
const pauseMax = 40
const pauseDoublings = 3

/** The transaction that is recovered; the body is learned on the way. */
interface Case {
  readonly id: TransactionId
  body: Body | undefined
  /** How many recoveries wait for this one. */
  readonly depth: number
}

/** Finds out how a transaction is decided, decides it if it is not, and tells all servers. */
export function* recover(client: Client, id: TransactionId, body?: Body, depth = 0): Step<Outcome> {
  client.context.counts.recoveries += 1
  if (depth > depthMax) return 'unknown'
  const recovered: Case = { id, body, depth }
  if (!client.context.rules.ballots) return yield* decideByCount(client, recovered)
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const outcome = yield* holdBallot(client, recovered, attempt)
    if (outcome) return outcome
  }
  return 'unknown'
}

/** Tells all servers a decision, and returns those which have it. */
export function* tellDecision(
  client: Client,
  id: TransactionId,
  decision: Decision,
  body: Body | undefined,
): Step {
  const replies = yield* client.askAll({ kind: 'decide', id, decision, body })
  if (client.context.rules.floor || decision !== 'commit') return
  const isKnown = (reply: Reply | undefined) => reply?.isDone && reply.decision === decision
  if (!replies.every(isKnown)) return
  const knownBy = serverIndexes.reduce((mask, index) => mask | (1 << index), 0)
  yield* client.askAll({ kind: 'decide', id, decision, body, knownBy })
}

/** One ballot: nothing if it was not decided, and another one is worth while. */
function* holdBallot(client: Client, recovered: Case, attempt: number): Step<Outcome | undefined> {
  const { chance } = client.context
  const ballot = client.nextBallot()
  const replies = yield* client.askAll({ kind: 'prepare', id: recovered.id, ballot })
  client.exceedBallots(counted(replies))
  for (const { body } of counted(replies)) recovered.body = body ?? recovered.body
  const known = yield* knownOutcome(client, recovered, replies)
  if (known) return known
  const promises = counted(replies).filter(({ isPromised }) => isPromised)
  if (promises.length < quorum.promise) {
    const doublings = Math.min(attempt, pauseDoublings)
    yield* client.sleep(1 + chance.below(pauseMax << doublings))
    return undefined
  }
  const decision = choose(promises, client.context.rules.holdersFirst)
  return yield* acceptDecision(client, recovered, ballot, decision)
}

/** What a server has decided, or forgotten, already. */
function* knownOutcome(
  client: Client,
  { id, body }: Case,
  replies: Replies,
): Step<Outcome | undefined> {
  const decision = decisionIn(replies)
  if (decision) {
    yield* tellDecision(client, id, decision, body)
    return decision
  }
  return counted(replies).some(({ isForgotten }) => isForgotten) ? 'forgotten' : undefined
}

/**
 * The rule of recovery. Servers that did not promise may hold the transaction, too:
 *
 *     promises: yes, no, no    silent: 1    at most 2 hold it   -> abort
 *     promises: yes, yes, no   silent: 1    3 may hold it       -> what the highest ballot accepted, or commit
 */
function choose(promises: readonly Reply[], holdersFirst: boolean): Decision {
  const silent = serverCount - promises.length
  const yeses = promises.filter(({ yes }) => yes).length
  const holders = promises.filter(({ yes, everAcceptedCommit }) => yes || everAcceptedCommit).length
  if (holdersFirst && holders + silent < quorum.commit) return 'abort'
  const accepted = promises
    .flatMap((promise) => promise.accepted ?? [])
    .sort((one, other) => other.ballot - one.ballot)[0]
  return accepted?.decision ?? (yeses + silent >= quorum.commit ? 'commit' : 'abort')
}

/** Has a decision accepted; what holds a conflicting lock is recovered first. */
function* acceptDecision(
  client: Client,
  recovered: Case,
  ballot: number,
  decision: Decision,
): Step<Outcome | undefined> {
  const { id, body, depth } = recovered
  let replies: Replies = []
  for (let attempt = 0; attempt < acceptsMax; attempt += 1) {
    replies = yield* client.askAll({ kind: 'accept', id, ballot, decision, body })
    const known = yield* knownOutcome(client, recovered, replies)
    if (known) return known
    if (counted(replies).filter(({ isAccepted }) => isAccepted).length >= quorum.accept) {
      noteDecided(client, id, decision)
      yield* tellDecision(client, id, decision, body)
      return decision
    }
    const lockedBy = counted(replies).find((reply) => reply.lockedBy)?.lockedBy
    if (!lockedBy) break
    yield* recover(client, lockedBy, undefined, depth + 1)
  }
  client.exceedBallots(counted(replies))
  yield* client.sleep(1 + client.context.chance.below(pauseMax))
  return undefined
}

function noteDecided({ context }: Client, id: TransactionId, decision: Decision): void {
  if (decision === 'commit') context.history.noteCommitted(id, 'ballot')
  else if (context.history.committed.has(id)) {
    context.history.noteViolation(`abort chosen for committed ${id}`)
  }
  context.trace?.(`a ballot decides ${decision} of ${id}`)
}

/** What was done before there were ballots: the votes that answer are counted. */
function* decideByCount(client: Client, { id, body }: Case): Step<Outcome> {
  const votes = counted(yield* client.askAll({ kind: 'vote', id }))
  if (votes.length < quorum.promise) return 'unknown'
  const known = votes.reduce((last, vote) => vote.body ?? last, body)
  const decided = votes.find(({ decision }) => decision)?.decision
  const noes = votes.filter(({ yes }) => !yes).length
  const decision = decided ?? (noes > serverCount - quorum.commit ? 'abort' : 'commit')
  if (decision === 'commit' && !known) return 'unknown'
  if (!decided && decision === 'commit') client.context.history.noteCommitted(id, 'count')
  yield* tellDecision(client, id, decision, known)
  return decision
}

/** The decision that one of the servers has told. */
export function decisionIn(replies: Replies): Decision | undefined {
  return counted(replies).find(({ decision }) => decision)?.decision
}
