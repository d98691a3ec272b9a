/** Repair: what servers lack is installed there, and interrupted transactions are recovered. */
import { serverIndexes } from '../../src/wire/placement.js'
import { quorum } from '../../src/wire/quorum.js'
import type { Client, Step } from './client.js'
import { counted, isVoting, type Replies, type Reply, type SurveyedRecord } from './messages.js'
import { recover, tellDecision } from './recovery.js'
import {
  aheadMax,
  type Key,
  newestConfirmed,
  nothing,
  type Register,
  roundTimeout,
  serverCount,
  type TransactionId,
  timeOf,
  type Version,
  versionAt,
} from './vocabulary.js'

/** A transaction younger than this many time-outs is left to its client. */
const youngTimeouts = 3

/** True when all four servers were asked and nothing was left undone. */
export function* repair(client: Client, withYoung = false): Step<boolean> {
  const { bodilessRecords, floor } = client.context.rules
  const replies = yield* client.askAll({ kind: 'survey', withRegisters: true })
  const answers = counted(replies)
  if (answers.length < quorum.donor) return false
  yield* takeFenceBack(client, answers, replies)
  const records = mergeRecords(client, answers)
  const isDecided = yield* finishAll(client, replies, records, withYoung)
  const isInstalled = !bodilessRecords || (yield* installAndMark(client, replies, records))
  if (!bodilessRecords && !floor) yield* installByKey(client, replies, answers)
  return isDecided && isInstalled && answers.length === serverCount
}

/** With `clocks=1`: takes back a fence from the future that one or two of the four servers have alone. */
function* takeFenceBack(client: Client, answers: readonly Reply[], replies: Replies): Step {
  if (!client.context.options.clocks || answers.length < serverCount) return
  const [highest, , third] = [...answers].sort((one, other) => fenceOf(other) - fenceOf(one))
  const nowAndMore = client.time + aheadMax
  if (!highest || timeOf(fenceOf(highest)) <= nowAndMore) return
  if (timeOf(fenceOf(third)) > nowAndMore) return
  const fence = versionAt(client.time, 0)
  yield* client.askOne(replies.indexOf(highest), { kind: 'raiseFence', fence, isAgreed: true })
}

function fenceOf(reply: Reply | undefined): Version {
  return reply?.fence ?? 0
}

/** What is known of each transaction: a decision that two servers tell of, or have forgotten, and a body. */
export function mergeRecords(
  { context: { rules } }: Client,
  answers: readonly Reply[],
): ReadonlyMap<TransactionId, SurveyedRecord> {
  if (rules.decisionsConfirmed) return confirmedRecords(answers)
  const merged = new Map<TransactionId, SurveyedRecord>()
  for (const record of answers.flatMap(({ records }) => records ?? [])) {
    const known = merged.get(record.id)
    const better = !known || (!known.decision && record.decision) ? record : known
    const body = better.body ?? known?.body ?? record.body
    merged.set(record.id, { ...better, body })
  }
  return merged
}

function confirmedRecords(answers: readonly Reply[]): ReadonlyMap<TransactionId, SurveyedRecord> {
  const merged = new Map<TransactionId, SurveyedRecord>()
  for (const { id, createdAt } of answers.flatMap(({ records }) => records ?? [])) {
    const known = answers.map(({ records }) => records?.find((record) => record.id === id))
    const forgetful = answers.filter(({ floor = 0 }, at) => !known[at] && floor >= id).length
    const told = known.flatMap((record) => record?.decision ?? [])
    const decision = told.find((one, at) => told.indexOf(one) !== at)
    // On the others it is below the floor already.
    const isOver = known.every((record) => !record || record.decision) && forgetful > 0
    // A recovery learns the body from those that have voted.
    merged.set(id, { id, decision, body: undefined, createdAt, isOver })
  }
  return merged
}

/** Recovers what is undecided; spreads decisions where records keep their bodies. */
function* finishAll(
  client: Client,
  replies: Replies,
  records: ReadonlyMap<TransactionId, SurveyedRecord>,
  withYoung: boolean,
): Step<boolean> {
  const { events, rules } = client.context
  let isClean = true
  for (const record of records.values()) {
    const isYoung = events.now - record.createdAt < youngTimeouts * roundTimeout
    if (record.isOver && !record.decision) continue
    if (record.decision) {
      if (!rules.bodilessRecords) yield* spread(client, replies, record)
    } else if (isYoung && !withYoung) isClean = false
    else if ((yield* recover(client, record.id, record.body)) === 'unknown') isClean = false
  }
  return isClean
}

/** Tells a decision to the servers that lack it. */
function* spread(client: Client, replies: Replies, record: SurveyedRecord): Step {
  const { id, decision, body } = record
  if (!decision) return
  const lacking = serversLacking(replies, id, (known) => known === decision)
  if (lacking.length === 0) return
  const told = yield* client.ask(lacking, () => ({ kind: 'decide', id, decision, body }))
  const isKnown = lacking.every((server) => told[server]?.isDone)
  if (isKnown && !client.context.rules.floor) yield* tellDecision(client, id, decision, body)
}

/** Servers whose record of a transaction does not have its decision, though it is above their floor. */
function serversLacking(
  replies: Replies,
  id: TransactionId,
  isKnown: (decision: SurveyedRecord['decision']) => boolean,
): readonly number[] {
  return serverIndexes.filter((server) => {
    const reply = replies[server]
    if (!isVoting(reply) || (reply.floor ?? 0) >= id) return false
    return !reply.records?.some((record) => record.id === id && isKnown(record.decision))
  })
}

/** Installs the effects of decisions, and only then marks these as known. */
function* installAndMark(
  client: Client,
  replies: Replies,
  records: ReadonlyMap<TransactionId, SurveyedRecord>,
): Step<boolean> {
  const isInstalled = yield* installDifferences(client, replies)
  for (const { id, decision } of records.values()) {
    if (!decision) continue
    const lacking = serversLacking(replies, id, (known) => known !== undefined)
    if (lacking.length === 0) continue
    yield* client.ask(lacking, () => ({ kind: 'decide', id, decision, isInstalled: true }))
  }
  return isInstalled
}

/** Installs on each surveyed server what it lacks above its floor; true when all have taken it. */
export function* installDifferences(client: Client, replies: Replies): Step<boolean> {
  if (!client.context.rules.installBeforeMark) return true
  const newestOf = newestRegisters(counted(replies), client.context.rules.registersConfirmed)
  let isComplete = true
  for (const server of serverIndexes) {
    const reply = replies[server]
    if (!isVoting(reply)) continue
    for (const [key, { version, value }] of newestOf) {
      const held = reply.registers?.get(key) ?? nothing
      if (version <= (reply.floor ?? 0) || held.version >= version) continue
      const answer = yield* client.askOne(server, { kind: 'install', key, version, value })
      if (!answer?.isDone) isComplete = false
    }
  }
  return isComplete
}

/** The newest register of each key or, of those that two servers show, the newest. */
export function newestRegisters(
  answers: readonly Reply[],
  areConfirmed: boolean,
): ReadonlyMap<Key, Register> {
  if (areConfirmed) return confirmedRegisters(answers)
  const found = new Map<Key, Register>()
  for (const [key, register] of answers.flatMap(({ registers }) => [...(registers ?? [])])) {
    if ((found.get(key)?.version ?? -1) < register.version) found.set(key, register)
  }
  return found
}

function confirmedRegisters(answers: readonly Reply[]): ReadonlyMap<Key, Register> {
  const keys = new Set(answers.flatMap(({ registers }) => [...(registers?.keys() ?? [])]))
  return new Map(
    [...keys].flatMap((key) => {
      const register = newestConfirmed(answers.flatMap((one) => one.registers?.get(key) ?? []))
      return register ? [[key, register] as const] : []
    }),
  )
}

/** Without the floor: installs newer versions, and tombstones only where there is something older. */
function* installByKey(client: Client, replies: Replies, answers: readonly Reply[]): Step {
  const keys = [...newestRegisters(answers, false)].sort(([one], [other]) => (one < other ? -1 : 1))
  for (const [key, { version, value }] of keys) {
    for (const server of serverIndexes) {
      const reply = replies[server]
      if (!isVoting(reply)) continue
      const held = reply.registers?.get(key)
      if (held ? held.version >= version : value === null) continue
      yield* client.askOne(server, { kind: 'install', key, version, value })
    }
  }
}
