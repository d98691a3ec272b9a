/** Reading a register: from two servers where that is clear, from all where it is not. */
import { serverIndexes } from '../../src/wire/placement.js'
import { quorum } from '../../src/wire/quorum.js'
import type { Client, Step } from './client.js'
import type { Read } from './history.js'
import { counted, type Reply } from './messages.js'
import { recover } from './recovery.js'
import {
  type Key,
  newest,
  newestConfirmed,
  nothing,
  type Register,
  roundTimeout,
  serverCount,
  type TransactionId,
} from './vocabulary.js'

const attemptsMax = 6

/** A register as one server has it. */
type Copy = Register & Pick<Reply, 'lockedBy'>

/** The decided value of a key; nothing if it cannot be known. */
export function* read(client: Client, key: Key): Step<Read | undefined> {
  const { events, counts } = client.context
  const startedAt = events.now
  counts.reads += 1
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const servers = attempt === 0 ? twoServers(client) : serverIndexes
    const copies = yield* askForCopies(client, key, servers)
    if (!isEnough(copies)) continue
    const areTold = client.context.rules.readsConfirmed && copies.length >= quorum.settle
    const best = areTold || isStrict(client, attempt) ? newestConfirmed(copies) : newest(copies)
    const locks = locksInTheWay(client, copies, best ?? nothing)
    const lone = copies.flatMap(({ version }) => (best && version > best.version ? version : []))
    if (best && isClear(client, copies, best, [...locks, ...lone], isStrict(client, attempt))) {
      const { version, value } = best
      const isByFew = copies.length < serverCount
      return { startedAt, endedAt: events.now, key, version, value, isByFew }
    }
    if (attempt === 1) yield* client.sleep(roundTimeout)
    if (attempt > 1) for (const id of locks) yield* recover(client, id)
  }
  return undefined
}

/** The copies of a register that the given servers have, of those that can read it. */
export function* askForCopies(
  client: Client,
  key: Key,
  servers = serverIndexes,
): Step<readonly Copy[]> {
  return copiesIn(counted(yield* client.ask(servers, () => ({ kind: 'read', key }))))
}

function copiesIn(replies: readonly Reply[]): readonly Copy[] {
  return replies.flatMap(({ version, value, lockedBy }) =>
    version === undefined || value === undefined ? [] : [{ version, value, lockedBy }],
  )
}

export function isEnough(
  copies: readonly Copy[],
): copies is readonly [Copy, Copy, ...(readonly Copy[])] {
  return copies.length >= quorum.read
}

function twoServers({ context: { chance } }: Client): readonly number[] {
  const first = chance.below(serverCount)
  let second = first
  while (second === first) second = chance.below(serverCount)
  return [first, second]
}

/** Whether this is a try that waits for all four servers, one of which may lie. Later ones do with fewer. */
function isStrict({ context }: Client, attempt: number): boolean {
  return context.rules.readsConfirmed && attempt < attemptsMax / 2
}

/** Undecided transactions that may have written something newer than the best copy. */
function locksInTheWay(
  { context }: Client,
  copies: readonly Copy[],
  best: Register,
): readonly TransactionId[] {
  const locks = copies.flatMap(({ lockedBy }) => lockedBy ?? [])
  return [...new Set(locks)].filter((id) => id > best.version || !context.rules.readAgainAtLocks)
}

/**
 * Whether the best copy is the decided value. With three replies it is also when each lock is lacking on
 * two servers: then its transaction has not been committed before this read began. One of them may lie: while all
 * four can be asked, three must lack it.
 */
function isClear(
  { context }: Client,
  copies: readonly Copy[],
  best: Register,
  inTheWay: readonly TransactionId[],
  isStrict: boolean,
): boolean {
  const { readAgainAtLocks } = context.rules
  const locks = inTheWay.filter((id) => id > best.version || !readAgainAtLocks)
  const isQuorum = copies.length >= quorum.settle
  if (locks.length === 0) {
    return readAgainAtLocks || isQuorum || copies.every(({ version }) => version === best.version)
  }
  const lackingMin = isStrict ? quorum.lacking + 1 : quorum.lacking
  const isLacking = (id: TransactionId) => (copy: Copy) => copy.lockedBy !== id && copy.version < id
  return (
    readAgainAtLocks &&
    isQuorum &&
    locks.every((id) => copies.filter(isLacking(id)).length >= lackingMin)
  )
}
