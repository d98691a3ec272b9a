/** Recovery: anybody decides a transaction that was interrupted, by ballot. */
import { serverIndexes } from '../../src/wire/placement.js'
import { quorum } from '../../src/wire/quorum.js'
import type { Client, Step } from './client.js'
import { counted, isVoting, type Replies, type Reply } from './messages.js'
import { asText } from './network.js'
import type { Rules } from './rules.js'
import { type Body, type Decision, serverCount, type TransactionId } from './vocabulary.js'

/** `forgotten`: decided, but nobody knows how. `unknown`: too few servers have answered. */
export type Outcome = Decision | 'forgotten' | 'unknown'

const attemptsMax = 6
/** Attempts in which all servers that do not lie are given the time to promise. */
const strictAttempts = 3
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
  const ballot = client.nextBallot()
  const replies = yield* client.askAll({ kind: 'prepare', id: recovered.id, ballot })
  client.exceedBallots(counted(replies))
  learnBody(client, recovered, replies)
  const isLate = attempt > strictAttempts
  const known = yield* knownOutcome(client, recovered, replies, isLate)
  if (known) return known
  const promises = promisesIn(client, replies, attempt)
  if (promises.length < quorum.promise) return yield* pauseAfter(client, attempt)
  const decision = choose(promises, client.context.rules)
  if (decision === 'commit') {
    recovered.body ??= yield* bodyHeld(client, recovered.id, replies)
    if (!recovered.body) return yield* pauseAfter(client, attempt)
    if (isLate && isDecidedBy(replies, 'commit')) {
      yield* tellDecision(client, recovered.id, decision, recovered.body)
      return decision
    }
  }
  return yield* acceptDecision(client, recovered, ballot, decision)
}

/**
 * Whether one server tells of this decision and none of the other one. It could be accepted nowhere else: what relies
 * on it may hold locks that are in its way.
 */
function isDecidedBy(replies: Replies, decision: Decision): boolean {
  const told = counted(replies).flatMap((reply) => reply.decision ?? [])
  return told.length > 0 && told.every((one) => one === decision)
}

function* pauseAfter(client: Client, attempt: number): Step<undefined> {
  const doublings = Math.min(attempt, pauseDoublings)
  yield* client.sleep(1 + client.context.chance.below(pauseMax << doublings))
  return undefined
}

/** Learns what the transaction writes, unless its owner has told: from two servers that tell the same. */
function learnBody(client: Client, recovered: Case, replies: Replies): void {
  const bodies = counted(replies).flatMap(({ body }) => body ?? [])
  if (!client.context.rules.bodiesConfirmed) recovered.body = bodies.at(-1) ?? recovered.body
  else recovered.body ??= confirmedBody(bodies)
}

function confirmedBody(bodies: readonly Body[]): Body | undefined {
  const texts = bodies.map((body) => asText(body))
  return bodies.find((_, at) => texts.filter((text) => text === texts[at]).length >= quorum.believe)
}

/**
 * What one server has voted for and another one, which has committed it and dropped its body, shows in its registers.
 */
function* bodyHeld(client: Client, id: TransactionId, replies: Replies): Step<Body | undefined> {
  const teller = replies.findIndex((reply) => isVoting(reply) && reply.decision === 'commit')
  const [body, ...others] = counted(replies).flatMap(({ body }) => body ?? [])
  if (teller === -1 || !body || others.length > 0) return undefined
  for (const [key, value] of body.writes) {
    const seen = yield* client.askOne(teller, { kind: 'read', key })
    const isShown = seen?.version === id && seen.value === value
    const isReplaced = (seen?.version ?? 0) > id
    if (!isShown && !isReplaced) return undefined
  }
  return body
}

/**
 * The promises. A server that alone tells of a decision may lie: only where there are too few promises without it,
 * and after some attempts, it counts as one that has accepted that decision last of all.
 */
function promisesIn(client: Client, replies: Replies, attempt: number): readonly Reply[] {
  const answers = counted(replies)
  const promised = answers.filter(({ isPromised, decision }) => isPromised && !decision)
  const { decisionsConfirmed } = client.context.rules
  if (promised.length >= quorum.promise || !decisionsConfirmed || attempt < strictAttempts) {
    return promised
  }
  const told = answers.flatMap((reply) => {
    const { decision } = reply
    if (!decision) return []
    const everAcceptedCommit = decision === 'commit'
    const accepted = { ballot: Number.POSITIVE_INFINITY, decision }
    return { ...reply, yes: everAcceptedCommit, everAcceptedCommit, accepted }
  })
  return [...promised, ...told]
}

/** What is decided, or forgotten, already. */
function* knownOutcome(
  client: Client,
  { id, body }: Case,
  replies: Replies,
  isLate = false,
): Step<Outcome | undefined> {
  const decision = decisionIn(client, replies)
  if (decision) {
    yield* tellDecision(client, id, decision, body)
    return decision
  }
  const forgotten = counted(replies).filter(({ isForgotten }) => isForgotten).length
  return forgotten >= (isLate ? 1 : tellersMin(client)) ? 'forgotten' : undefined
}

/**
 * The rule of recovery. Servers that did not promise may hold the transaction, too:
 *
 *     promises: yes, no, no    silent: 1    at most 2 hold it   -> abort
 *     promises: yes, yes, no   silent: 1    3 may hold it       -> what the highest ballot accepted, or commit
 */
function choose(promises: readonly Reply[], { holdersFirst, decisionsConfirmed }: Rules): Decision {
  const silent = serverCount - promises.length
  const yeses = promises.filter(({ yes }) => yes).length
  const holders = promises.filter(({ yes, everAcceptedCommit }) => yes || everAcceptedCommit).length
  if (holdersFirst && holders + silent < quorum.commit) return 'abort'
  const accepted = acceptedBy(promises, decisionsConfirmed ? quorum.believe : 1)
  return accepted?.decision ?? (yeses + silent >= quorum.commit ? 'commit' : 'abort')
}

/**
 * The decision that so many of the promises have accepted, and by the highest ballot: what a ballot has decided is
 * accepted by two of any three, at least, by that ballot or a later one.
 */
function acceptedBy(promises: readonly Reply[], count: number): { decision: Decision } | undefined {
  const highest = (decision: Decision) => {
    const ballots = promises.flatMap(({ accepted }) =>
      accepted?.decision === decision ? [accepted.ballot] : [],
    )
    return ballots.sort((one, other) => other - one)[count - 1] ?? 0
  }
  const commit = highest('commit')
  const abort = highest('abort')
  if (commit === 0 && abort === 0) return undefined
  return { decision: commit > abort ? 'commit' : 'abort' }
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
    const accepts = counted(replies).filter(
      (reply) => reply.isAccepted || reply.decision === decision,
    )
    if (accepts.length >= quorum.accept) {
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
  else if (context.history.committed.has(id) && !context.areVotesLies) {
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

/** The decision that enough of the servers have told. */
export function decisionIn(client: Client, replies: Replies): Decision | undefined {
  const told = counted(replies).flatMap(({ decision }) => decision ?? [])
  const isTold = (decision: Decision) => {
    return told.filter((other) => other === decision).length >= tellersMin(client)
  }
  return told.find(isTold)
}

function tellersMin({ context }: Client): number {
  return context.rules.decisionsConfirmed ? quorum.believe : 1
}
