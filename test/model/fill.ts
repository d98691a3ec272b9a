/** The fill of a blank server from those that vote. */
import { serverIndexes } from '../../src/wire/placement.js'
import { quorum } from '../../src/wire/quorum.js'
import type { Client, Step } from './client.js'
import { counted, type Reply, type SurveyedRecord } from './messages.js'
import { recover } from './recovery.js'
import { mergeRecords, newestRegisters } from './repair.js'
import { countedFence, countedFloor, type TransactionId, type Version } from './vocabulary.js'

const endsMax = 3

/** What is copied: everything the donors know, when nothing older than the fill is undecided. */
interface Copy {
  readonly registers: ReturnType<typeof newestRegisters>
  readonly records: readonly SurveyedRecord[]
  readonly floor: Version
  readonly fence: Version
}

/** Fills a server, or leaves it blank if anything is in the way. */
export function* fill(client: Client, server: number): Step {
  client.context.counts.fills += 1
  const donors = serverIndexes.filter((index) => index !== server)
  const epoch = client.nextEpoch()
  if (!Number.isSafeInteger(epoch) || !(yield* startFill(client, server, epoch))) return
  const copy = yield* takeCopy(client, donors, epoch)
  if (copy) yield* giveCopy(client, server, epoch, copy)
}

function* startFill(client: Client, server: number, epoch: number): Step<boolean> {
  const reply = yield* client.askOne(server, { kind: 'fillStart', epoch })
  if (reply?.fillEpoch) client.seeEpoch(server, reply.fillEpoch)
  return reply?.isDone === true
}

/** The order matters: the epoch, so that no older commit follows; the recoveries; then the copy. */
function* takeCopy(
  client: Client,
  donors: readonly number[],
  epoch: number,
): Step<Copy | undefined> {
  const { epochBeforeFill } = client.context.rules
  if (epochBeforeFill && !(yield* raiseEpoch(client, donors, epoch))) return undefined
  const surveyed = yield* surveyDonors(client, donors, false)
  if (!surveyed) return undefined
  const records = mergeRecords(client, surveyed)
  const open = epochBeforeFill ? yield* recoverAll(client, records.values()) : []
  if (!open) return undefined
  const answers = yield* surveyDonors(client, donors, true)
  const copy = answers && copyOf(client, answers)
  if (!copy || (epochBeforeFill && !isComplete(copy, open))) return undefined
  if (client.context.rules.fillConfirmed && isDecidedSomewhere(answers)) return undefined
  return copy
}

function* raiseEpoch(client: Client, donors: readonly number[], epoch: number): Step<boolean> {
  const replies = yield* client.ask(donors, () => ({ kind: 'raiseEpoch', epoch }))
  return counted(replies).filter(({ isDone }) => isDone).length >= donorsMin(client)
}

function donorsMin({ context }: Client): number {
  return context.rules.threeDonors ? quorum.donor : quorum.donor - 1
}

function* surveyDonors(
  client: Client,
  donors: readonly number[],
  withRegisters: boolean,
): Step<readonly Reply[] | undefined> {
  const answers = counted(yield* client.ask(donors, () => ({ kind: 'survey', withRegisters })))
  return answers.length < donorsMin(client) ? undefined : answers
}

/** Those of which a decision must be in the copy; undefined where one cannot be decided now. */
function* recoverAll(
  client: Client,
  records: Iterable<SurveyedRecord>,
): Step<readonly TransactionId[] | undefined> {
  const decided: TransactionId[] = []
  for (const { id, decision, body, isOver } of records) {
    const isKnown = decision !== undefined || isOver
    const outcome = isKnown ? decision : yield* recover(client, id, body)
    if (outcome === 'unknown') return undefined
    if (outcome && outcome !== 'forgotten') decided.push(id)
  }
  return decided
}

function copyOf(client: Client, answers: readonly Reply[]): Copy {
  const { fillConfirmed } = client.context.rules
  const floors = answers.map(({ floor }) => floor ?? 0)
  return {
    registers: newestRegisters(answers, fillConfirmed),
    records: [...mergeRecords(client, answers).values()].filter((one) => one.decision),
    floor: fillConfirmed ? countedFloor(floors) : Math.max(...floors),
    fence: countedFence(answers.map(({ fence }) => fence ?? 0)),
  }
}

/** Whether each surveyed transaction is decided in the copy, or below its floor. */
function isComplete({ records, floor }: Copy, surveyed: readonly TransactionId[]): boolean {
  const decided = new Set(records.map(({ id }) => id))
  return surveyed.every((id) => decided.has(id) || id <= floor)
}

/** Whether a donor has not heard yet of a commit that another one has made: what it shows is older. */
function isDecidedSomewhere(answers: readonly Reply[]): boolean {
  const records = answers.flatMap(({ records }) => records ?? [])
  const open = new Set(records.filter(({ decision }) => !decision).map(({ id }) => id))
  return records.some(({ id, decision }) => decision === 'commit' && open.has(id))
}

/** Registers first and decisions last: what counts as decided is there. */
function* giveCopy(client: Client, server: number, epoch: number, copy: Copy): Step {
  for (const register of copy.registers) {
    const reply = yield* client.askOne(server, { kind: 'fill', epoch, registers: [register] })
    if (!reply?.isDone) return
  }
  const { records, floor, fence } = copy
  const end = client.context.rules.floor
    ? { records, floor, fence }
    : { records, floor: 0, fence: 0 }
  for (let attempt = 0; attempt < endsMax; attempt += 1) {
    if (yield* client.askOne(server, { kind: 'fill', epoch, registers: [], end })) return
  }
}
