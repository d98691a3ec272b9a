/** The fill of a blank server from those that vote. */
import { serverIndexes } from '../../src/wire/placement.js'
import { quorum } from '../../src/wire/quorum.js'
import type { Client, Step } from './client.js'
import { counted, type Reply, type SurveyedRecord } from './messages.js'
import { recover } from './recovery.js'
import { mergeRecords, newestRegisters } from './repair.js'
import { countedFence, type TransactionId, timeOf, type Version, versionAt } from './vocabulary.js'

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
  const epoch = versionAt(timeOf(client.epoch) + 1, client.index)
  if (!(yield* startFill(client, server, epoch))) return
  const copy = yield* takeCopy(client, donors, epoch)
  if (copy) yield* giveCopy(client, server, epoch, copy)
}

function* startFill(client: Client, server: number, epoch: number): Step<boolean> {
  const reply = yield* client.askOne(server, { kind: 'fillStart', epoch })
  if (reply?.fillEpoch) client.epoch = Math.max(client.epoch, reply.fillEpoch)
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
  const records = mergeRecords(surveyed)
  if (epochBeforeFill && !(yield* recoverAll(client, records.values()))) return undefined
  const answers = yield* surveyDonors(client, donors, true)
  const copy = answers && copyOf(answers)
  if (!copy || (epochBeforeFill && !isComplete(copy, records.keys()))) return undefined
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

function* recoverAll(client: Client, records: Iterable<SurveyedRecord>): Step<boolean> {
  for (const { id, decision, body } of records) {
    if (!decision && (yield* recover(client, id, body)) === 'unknown') return false
  }
  return true
}

function copyOf(answers: readonly Reply[]): Copy {
  const records = answers.flatMap((answer) => answer.records ?? []).filter((one) => one.decision)
  return {
    registers: newestRegisters(answers),
    records: [...new Map(records.map((record) => [record.id, record])).values()],
    floor: Math.max(...answers.map(({ floor }) => floor ?? 0)),
    fence: countedFence(answers.map(({ fence }) => fence ?? 0)),
  }
}

/** Whether each surveyed transaction is decided in the copy, or below its floor. */
function isComplete({ records, floor }: Copy, surveyed: Iterable<TransactionId>): boolean {
  const decided = new Set(records.map(({ id }) => id))
  return [...surveyed].every((id) => decided.has(id) || id <= floor)
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
