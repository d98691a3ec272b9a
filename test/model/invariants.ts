/** The conditions that must hold when a schedule is over and everything has been repaired. */
import type { Context } from './context.js'
import type { History, Read } from './history.js'
import type { Server } from './server.js'
import {
  aheadMax,
  type Body,
  clockError,
  type Key,
  nothing,
  type Precondition,
  type Register,
  type TransactionId,
  timeOf,
  type Value,
  type Version,
  versionAt,
} from './vocabulary.js'
import { entryKey, folderKey, keysOf } from './workload.js'

/** Looks at everything; what is wrong is noted in the history as a violation. `when` begins its text. */
export function checkInvariants(context: Context, servers: readonly Server[], when: string): void {
  const { history, options } = context
  const keys = keysOf(options.keys)
  const violation = (text: string) => history.noteViolation(`${when}: ${text}`)
  const chains = new Map(keys.map((key) => [key, chainOf(history, key)] as const))
  checkReplicas(context, servers, keys, violation)
  checkOrigins(history, servers, violation)
  checkSettled(history, servers, violation)
  if (context.areVotesLies) return
  if (options.folders) checkFolder(history, chains, violation)
  checkWriteSkew(history, violation)
  for (const [key, chain] of chains) {
    checkChain(history, servers, key, chain, violation)
    checkReads(context, history, key, chain, violation)
  }
  if (options.clocks) checkTimes(history, violation)
  checkAnswers(history)
}

type Violation = (text: string) => void

/** The committed transactions that wrote a key, in the order of their versions. */
type Chain = readonly TransactionId[]

function chainOf(history: History, key: Key): Chain {
  const committed = [...history.committed.keys()]
  return committed.filter((id) => history.bodyOf(id).writes.has(key)).sort((a, b) => a - b)
}

/** All servers have the same values, and nothing is left undone on any. */
function checkReplicas(
  context: Context,
  servers: readonly Server[],
  keys: readonly Key[],
  violation: Violation,
): void {
  for (const key of keys) {
    const visible = servers.map(({ state }) => asVisible(state.register(key)))
    if (new Set(visible).size <= 1) continue
    // What lies have left in doubt may have been committed on one server alone. No other one copies that.
    const alike = visible.filter((text) => visible.filter((other) => other === text).length > 2)
    if (alike.length === 0 || !context.areVotesLies) violation(`replicas differ ${key} ${visible}`)
  }
  for (const { index, state } of servers) {
    for (const key of state.rotten) violation(`${key} is still rotten on ${index}`)
  }
  for (const { index, state } of servers) {
    for (const [key, id] of state.locks) violation(`lock left ${key} ${id} on ${index}`)
  }
}

/** Every register has what a transaction wrote that a client has sent. */
function checkOrigins(history: History, servers: readonly Server[], violation: Violation): void {
  for (const { index, state } of servers) {
    for (const [key, { version, value }] of state.registers) {
      const written = history.bodies.get(version)?.writes.get(key)
      if (written === value) continue
      violation(`not written: ${key} on s${index} is ${version}:${value}`)
    }
  }
}

/** What two servers had, and did not lie about, is what all have, or older. */
function checkSettled(history: History, servers: readonly Server[], violation: Violation): void {
  for (const [key, version] of history.settled) {
    const isRemoved = history.bodies.get(version)?.writes.get(key) === null
    for (const { index, state } of servers) {
      const held = state.register(key)
      const isKept = isRemoved
        ? held.value === null || held.version > version
        : held.version >= version
      if (!isKept) violation(`undone: ${key} on s${index} is ${asText(held)}, was ${version}`)
    }
  }
}

/** A tombstone is as good as nothing. */
function asVisible({ version, value }: Register): string {
  return value === null ? 'none' : `${version}:${value}`
}

/** An entry is in a folder that exists. */
function checkFolder(
  history: History,
  chains: ReadonlyMap<Key, Chain>,
  violation: Violation,
): void {
  const lastValue = (key: Key) => {
    const last = chains.get(key)?.at(-1)
    return last === undefined ? null : history.bodyOf(last).writes.get(key)
  }
  if (lastValue(folderKey) === null && lastValue(entryKey) !== null) violation('orphan entry')
}

/**
 * No two committed transactions each replace what the other only relied on:
 *
 *     a reads x, y and writes x      b reads x, y and writes y      both read the same versions
 */
function checkWriteSkew(history: History, violation: Violation): void {
  const ids = [...history.committed.keys()]
  for (const [index, later] of ids.entries()) {
    for (const earlier of ids.slice(0, index)) {
      const isSkew = overwrites(history, later, earlier) && overwrites(history, earlier, later)
      if (isSkew) violation(`write skew ${earlier} ${later}`)
    }
  }
}

/** Whether one transaction writes a key of which another one relied on the same version, without writing it. */
function overwrites(history: History, id: TransactionId, other: TransactionId): boolean {
  const body = history.bodyOf(id)
  const relied = history.bodyOf(other)
  for (const key of body.writes.keys()) {
    const needed = relied.preconditions.get(key)
    if (!needed || relied.writes.has(key)) continue
    if (needed.version !== body.preconditions.get(key)?.version) continue
    if (!needed.isAbsent || !isRemovedBetween(history, key, id, other)) return true
  }
  return false
}

/** What is absent may have been made and removed again meanwhile. */
function isRemovedBetween(
  history: History,
  key: Key,
  one: TransactionId,
  other: TransactionId,
): boolean {
  const [from, to] = one < other ? [one, other] : [other, one]
  for (const id of history.committed.keys()) {
    if (id > from && id < to && history.bodyOf(id).writes.get(key) === null) return true
  }
  return false
}

/** Each committed transaction has replaced what it had read, and the servers hold what the last one wrote. */
function checkChain(
  history: History,
  servers: readonly Server[],
  key: Key,
  chain: Chain,
  violation: Violation,
): void {
  let last = nothing
  for (const id of chain) {
    const { writes, preconditions } = history.bodyOf(id)
    const wanted = preconditions.get(key)
    if (wanted && !isMet(wanted, last)) {
      violation(`chain ${key}: ${id} wants ${asWanted(wanted)} but follows ${asText(last)}`)
    }
    last = { version: id, value: writes.get(key) ?? null }
  }
  const different = servers.find(({ state }) => !isHeld(state.register(key), last))
  if (!different) return
  const held = asText(different.state.register(key))
  violation(`${key} on s${different.index} is ${held}, last committed ${asText(last)}`)
}

function isMet({ isAbsent, version }: Precondition, { version: found, value }: Register): boolean {
  return isAbsent ? value === null : version === found
}

function isHeld(held: Register, last: Register): boolean {
  return last.value === null ? held.value === null : held.version === last.version
}

function asText({ version, value }: Register): string {
  return `${version}:${value}`
}

function asWanted({ isAbsent, version }: Precondition): string {
  return isAbsent ? `nothing since ${version}` : `${version}`
}

/** Something that was known of a key at some time: every later read must see this version or a newer one. */
interface Knowledge {
  readonly at: number
  readonly version: Version
  readonly source: 'acked' | 'read'
}

/** A read returns committed values only, and none older than what was acknowledged or read before it began. */
function checkReads(
  context: Context,
  history: History,
  key: Key,
  chain: Chain,
  violation: Violation,
): void {
  const reads = history.reads
    .filter((read) => read.key === key && !(context.options.lies && read.isByFew))
    .map((read) => ({ read, version: versionSeen(history, chain, read) }))
  const known: Knowledge[] = chain.flatMap((version) => {
    const at = history.acknowledged.get(version)
    return at === undefined ? [] : [{ at, version, source: 'acked' as const }]
  })
  for (const { read, version } of reads) known.push({ at: read.endedAt, version, source: 'read' })
  for (const { read, version } of reads) {
    if (read.version !== 0 && !history.committed.has(read.version)) {
      violation(`dirty read ${key} ${read.version}`)
    }
    const missed = known.find((one) => one.at < read.startedAt && one.version > version)
    if (missed) violation(`stale read ${asStale(read, missed)}`)
  }
}

function asStale({ key, version, startedAt }: Read, missed: Knowledge): string {
  const source = `${missed.version} ${missed.source} at ${missed.at}`
  return `${key}=${version} started ${startedAt} after ${source}`
}

/** The version that a read saw; for one that saw nothing, the last removal that it can have seen. */
function versionSeen(history: History, chain: Chain, { version, key, endedAt }: Read): Version {
  if (version !== 0) return version
  const isSeen = (id: TransactionId) => {
    const committedAt = history.committed.get(id) ?? Number.POSITIVE_INFINITY
    return committedAt <= endedAt && isRemoved(history.bodyOf(id), key)
  }
  return chain.findLast(isSeen) ?? 0
}

function isRemoved({ writes }: Body, key: Key): boolean {
  const value: Value | undefined = writes.get(key)
  return value === null
}

/**
 * With `clocks=1`: nothing is from the future but what stands just above something that was there. A
 * transaction that followed another clock than that of most servers poisons the versions.
 */
function checkTimes(history: History, violation: Violation): void {
  for (const [id, committedAt] of history.committed) {
    const isOld = committedAt === 0
    const isPresent = timeOf(id) <= committedAt + aheadMax + clockError * 0.6
    if (!isOld && !isPresent && !isJustAbove(history, id, committedAt)) {
      violation(`poisoned by ${id}`)
    }
  }
}

/** Whether an id stands just above a precondition from the future, or above the fence from there. */
function isJustAbove(history: History, id: TransactionId, committedAt: number): boolean {
  const sinceFence = timeOf(id) - 2 * clockError
  if (sinceFence >= 0 && sinceFence <= aheadMax) return true
  for (const { version } of history.bodyOf(id).preconditions.values()) {
    const isFar = version > versionAt(committedAt + aheadMax, 0)
    if (isFar && timeOf(id) - timeOf(version) <= aheadMax) return true
  }
  return false
}

/** What users were told is true. */
function checkAnswers(history: History): void {
  for (const id of history.acknowledged.keys()) {
    if (!history.committed.has(id)) history.noteViolation(`acked not chosen ${id}`)
  }
  for (const id of history.failed) {
    if (history.committed.has(id)) history.noteViolation(`failed but committed ${id}`)
  }
}
