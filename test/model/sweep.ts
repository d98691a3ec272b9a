/** A sweep drops what is decided and known on all four servers, and raises the floor above it. */
import { serverIndexes } from '../../src/wire/placement.js'
import type { Client, Step } from './client.js'
import { counted, type Replies, type SurveyedRecord } from './messages.js'
import { recover, tellDecision } from './recovery.js'
import { installDifferences, mergeRecords } from './repair.js'
import { serverCount, type TransactionId, type Version, versionAt } from './vocabulary.js'

const roundsMax = 3
/** A sweep that is to drop everything begins this far in the future. */
const everythingAge = -50

/** The state that all rounds of a sweep have in common. */
interface Sweep {
  /** The floor that it raises. */
  readonly floor: Version
  /** The incarnations of the four servers: one that was wiped meanwhile ends the sweep. */
  readonly incarnations: readonly (number | undefined)[]
}

/** Raises the floor as far as the age allows, or leaves it if a server is away. */
export function* sweep(client: Client, ofEverything = false): Step {
  const { rules, options, counts } = client.context
  if (!rules.floor) return
  counts.sweeps += 1
  const replies = yield* client.askAll({ kind: 'survey', withRegisters: false })
  if (counted(replies).length < serverCount) return
  const age = ofEverything ? everythingAge : options.sweepAge
  const now = options.clocks ? client.time : client.context.events.now
  const swept: Sweep = {
    floor: versionAt(Math.max(0, now - age), 0),
    incarnations: replies.map((reply) => reply?.incarnation),
  }
  if (rules.fenceBeforeSurvey && !(yield* raiseFence(client, swept))) return
  for (let round = 0; round < roundsMax; round += 1) {
    if (yield* sweepRound(client, swept)) return
  }
}

/** From now on no server votes for anything up to the floor to be; one whose clock is behind is outvoted. */
function* raiseFence(client: Client, swept: Sweep): Step<boolean> {
  const fence = swept.floor
  const first = yield* client.askAll({ kind: 'raiseFence', fence })
  const [behind, ...others] = serverIndexes.filter((server) => first[server]?.refusal === 'clock')
  const isOutvoted = others.length === 0 && counted(first).length === serverCount
  const replies = [...first]
  if (behind !== undefined && isOutvoted) {
    replies[behind] = yield* client.askOne(behind, { kind: 'raiseFence', fence, isAgreed: true })
  }
  return isSame(swept, replies) && !replies.some((reply) => reply?.refusal)
}

/** Whether all four have answered, and are those that the sweep began with. */
function isSame({ incarnations }: Sweep, replies: Replies): boolean {
  if (counted(replies).length < serverCount) return false
  return replies.every((reply, server) => reply?.incarnation === incarnations[server])
}

/** Finishes what is open up to the floor, and raises it where nothing is; true if the sweep is over. */
function* sweepRound(client: Client, swept: Sweep): Step<boolean> {
  const { bodilessRecords } = client.context.rules
  const replies = yield* client.askAll({ kind: 'survey', withRegisters: bodilessRecords })
  if (!isSame(swept, replies)) return true
  if (bodilessRecords && !(yield* installDifferences(client, replies))) return true
  const records = [...mergeRecords(client, counted(replies)).values()]
  const open = records.filter((record) => record.id <= swept.floor && isOpen(record, replies))
  if (open.length === 0) {
    yield* raiseFloor(client, swept)
    return true
  }
  for (const record of open) yield* finish(client, record)
  return false
}

/** Whether a transaction is undecided, or a server does not know how it is decided. */
function isOpen({ id, decision, isOver }: SurveyedRecord, replies: Replies): boolean {
  if (isOver && !decision) return false
  return !decision || !replies.every((reply) => (reply?.floor ?? 0) >= id || isKnown(id, reply))
}

function isKnown(id: TransactionId, reply: Replies[number]): boolean {
  return reply?.records?.some((record) => record.id === id && record.decision) === true
}

function* raiseFloor(client: Client, { floor, incarnations }: Sweep): Step {
  yield* client.ask(serverIndexes, (server) => {
    return { kind: 'raiseFloor', floor, incarnation: incarnations[server] ?? 0 }
  })
}

/** Recovers a transaction; one that is decided is marked, since its effect has been installed. */
function* finish(client: Client, { id, decision, body }: SurveyedRecord): Step {
  if (!decision) yield* recover(client, id, body)
  else if (!client.context.rules.bodilessRecords) yield* tellDecision(client, id, decision, body)
  else yield* client.askAll({ kind: 'decide', id, decision, isInstalled: true })
}
