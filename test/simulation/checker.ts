/**
 * Judges a run by its history: that the committed transactions can have happened one after the other
 * and in the order in which clients saw them happen, that every operation did what it said, that
 * nobody saw something old or something that never was, that no refusal was without a cause, and
 * that the servers keep what they must.
 */

import type { Content } from '../../src/dfc/content/content.js'
import { type KeptRecord, recordOf } from '../../src/dfc/namespace/kept.js'
import type { AccountIndex } from '../../src/dfs/index/account-index.js'
import { limits } from '../../src/limits.js'
import { homeMask, wholeMask } from '../../src/wire/placement.js'
import {
  decodeEntry,
  decodeInode,
  entryKey,
  fileType,
  inodeKey,
  type Key,
  parseKey,
  rootIno,
  type Transaction,
  trashIno,
  typeOf,
} from '../../src/wire/records.js'
import { noVersion, type Version, versionOf } from '../../src/wire/version.js'
import { type History, nameOf, type Operation, type Sighting } from './history.js'
import { describe, type Fate, Fates } from './promise-checker.js'
import type { Machine } from './promises.js'
import type { Seen } from './tap.js'

export interface Evidence {
  readonly history: History
  readonly transactions: ReadonlyMap<Version, Seen>
  readonly indexes: readonly AccountIndex[]
  /** How many servers were in trouble for a client at some time between the two. */
  readonly impairedServers: (client: string, fromMs: number, toMs: number) => number
  /** How many servers were out of reach for a client at some time between the two. */
  readonly cutOffServers: (client: string, fromMs: number, toMs: number) => number
  /** Within so long the floor may pass a transaction, and nobody can say what became of it. */
  readonly forgottenAfterMs: number
  /** Repair has run: the servers must be equal. */
  readonly isHealed: boolean
  readonly hadWipes: boolean
  /** What is removed or replaced is kept. */
  readonly hasTrash: boolean
  /** Segments of which repair found some piece nowhere. */
  readonly lost: readonly string[]
  /** Where clients have answered changes before they were stored. */
  readonly machines: readonly Machine[]
  /** When clients crashed, by their names. */
  readonly crashedMs: ReadonlyMap<string, number>
  /** What the bytes of a content must be; undefined when nobody wrote such a content. */
  readonly bytesOf: (content: Content) => Buffer | undefined
}

/** One committed value of a register. */
interface Link {
  readonly id: Version
  readonly value: Buffer | null
  /** It can have been seen from then on. */
  readonly sentMs: number
  /** It must be seen from then on. */
  readonly decidedMs: number
}

type Chains = ReadonlyMap<Key, readonly Link[]>

/** The values of registers, and what clients know of them that have answered changes before they are stored. */
interface Known {
  readonly chains: Chains
  readonly fates: Fates
  /**
   * Whether too few servers were there for a client to store what another one before it has left in the journal: then it
   * shows what the servers have.
   */
  readonly cannotInherit: (operation: Operation) => boolean
}
type Report = (text: string) => void

const never: Link = { id: noVersion, value: null, sentMs: -1, decidedMs: -1 }

export function check(evidence: Evidence): void {
  const report: Report = (text) => evidence.history.violation(text)
  const committed = [...evidence.transactions.values()]
    .filter(({ isCommitted }) => isCommitted)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
  const chains = chainsOf(committed, report)
  const { history, transactions, machines, bytesOf, crashedMs } = evidence
  const { operations } = history
  const fates = new Fates({ operations, transactions, machines, bytesOf, crashedMs })
  const cannotInherit = ({ client, startMs, endMs }: Operation): boolean =>
    evidence.impairedServers(clientOf(client), startMs - limits.behindRetryMs, endMs) > 1
  const known = { chains, fates, cannotInherit }
  checkChains(committed, chains, report)
  checkOrder(committed, chains, report)
  for (const operation of operations) checkOutcome(operation, evidence, known, report)
  fates.check(report)
  for (const segment of evidence.lost) {
    if (!isExcusedLoss(segment, evidence, chains)) report(`segment ${segment} is lost`)
  }
  checkSightings(history, known, report)
  checkSeenByOthers(evidence, known, report)
  checkTree(chains, report)
  if (evidence.hasTrash) checkKept(committed, chains, bytesOf, report)
  checkServers(evidence, chains, report)
  checkCopies(evidence, chains, report)
  if (evidence.isHealed) checkEqual(evidence, report)
}

// -- transactions ---------------------------------------------------------------------------------

function chainsOf(committed: readonly Seen[], report: Report): Chains {
  const chains = new Map<Key, Link[]>()
  for (const { id, body, firstSentMs, decidedMs } of committed) {
    if (body === undefined) {
      report(`${id} was committed and nobody ever sent it`)
      continue
    }
    for (const { key, value } of body.writes) {
      const link = { id, value, sentMs: firstSentMs, decidedMs }
      const chain = chains.get(key)
      if (chain === undefined) chains.set(key, [never, link])
      else chain.push(link)
    }
  }
  return chains
}

/** Each committed write followed just what its transaction had seen. */
function checkChains(committed: readonly Seen[], chains: Chains, report: Report): void {
  for (const { id, body } of committed) {
    const written = new Set(body?.writes.map(({ key }) => key))
    for (const { key, absent, version } of body?.preconditions ?? []) {
      if (!written.has(key)) continue
      const chain = chains.get(key) ?? []
      const before = chain[chain.findIndex((link) => link.id === id) - 1]
      const fits = absent ? before?.value === null : before?.id === version
      if (!fits) {
        const wants = absent ? 'nothing' : version
        report(`chain of ${key}: ${id} wants ${wants} but follows ${before?.id}`)
      }
    }
  }
}

/**
 * Whether the committed transactions can be put in one order in which each finds what it has seen,
 * and which no client could tell from the order of the real events.
 */
function checkOrder(committed: readonly Seen[], chains: Chains, report: Report): void {
  const after = new Map<Version, Set<Version>>()
  for (const { id } of committed) after.set(id, new Set())
  const add = (first: Version | undefined, second: Version | undefined): void => {
    if (first !== undefined && second !== undefined && first !== second) {
      after.get(first)?.add(second)
    }
  }
  for (const chain of chains.values()) {
    for (let at = 1; at + 1 < chain.length; at += 1) add(chain[at]?.id, chain[at + 1]?.id)
  }
  for (const a of committed) {
    for (const b of committed) if (a.decidedMs < b.firstSentMs) add(a.id, b.id)
    const written = new Set(a.body?.writes.map(({ key }) => key))
    for (const { key, absent, version } of a.body?.preconditions ?? []) {
      if (written.has(key) || absent) continue
      const chain = chains.get(key) ?? []
      const at = chain.findIndex((link) => link.id === version)
      if (at === -1) report(`${a.id} depends on ${key} at ${version}, which was never committed`)
      else {
        add(chain[at]?.id, a.id)
        add(a.id, chain[at + 1]?.id)
      }
    }
    // Whoever wrote an entry of a folder did so before the folder was removed as empty.
    for (const folder of a.body?.emptyFolders ?? []) {
      for (const [key, chain] of chains) {
        const parsed = parseKey(key)
        if (parsed.kind !== 'entry' || parsed.parent !== folder) continue
        for (const { id } of chain.slice(1)) add(id, a.id)
        const last = chain.at(-1)
        if (last?.value) report(`${a.id} removed folder ${folder}, but ${last.id} left ${key}`)
      }
    }
  }
  const cycle = cycleIn(after)
  if (cycle.length > 0) report(`no order is possible for ${cycle.slice(0, 6).join(', ')}`)
}

/** The nodes that cannot be put in an order, but for those that merely follow them. */
function cycleIn(after: ReadonlyMap<Version, ReadonlySet<Version>>): Version[] {
  const before = new Map<Version, number>()
  for (const id of after.keys()) before.set(id, 0)
  for (const targets of after.values()) {
    for (const id of targets) before.set(id, (before.get(id) ?? 0) + 1)
  }
  const ready = [...after.keys()].filter((id) => before.get(id) === 0)
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    before.delete(id)
    for (const target of after.get(id) ?? []) {
      const left = (before.get(target) ?? 0) - 1
      before.set(target, left)
      if (left === 0) ready.push(target)
    }
  }
  return [...before.keys()]
}

// -- operations -----------------------------------------------------------------------------------

/** Codes that say what was wrong with the files, not with the servers; nothing was changed then. */
const refusals = [
  'notFound',
  'exists',
  'notEmpty',
  'stale',
  'isDirectory',
  'notDirectory',
  'notPermitted',
  'invalid',
  'tooManyExtents',
  'busy',
  'readOnly',
]

function checkOutcome(
  operation: Operation,
  evidence: Evidence,
  known: Known,
  report: Report,
): void {
  const { chains } = known
  const { outcome, transactions, makes, isChange, startMs, endMs } = operation
  const name = nameOf(operation)
  const seen = transactions.map((id) => evidence.transactions.get(id))
  const committed = seen.filter((one) => one?.isCommitted)
  if (outcome === 'open') report(`${name} never ends`)
  if (outcome === 'ok' && operation.isBehind) {
    checkAnswered(operation, evidence, known, report)
    return
  }
  if (outcome === 'ok') {
    // A repair deletes as many files without a name as it finds, and another one may be faster; before
    // a folder is listed, or the file system opened anew, it is tried to store what was answered before.
    const last = ['heal', 'list', 'open'].includes(operation.verb) ? undefined : seen.at(-1)
    if (last !== undefined && !last.isCommitted && !mayHaveNothingToDo(operation, known)) {
      report(`${name} succeeded, but ${last.id} did not`)
    }
    if (last === undefined && isChange) report(`${name} succeeded without a transaction`)
    if (committed.length > 1 && !['heal', 'open'].includes(operation.verb))
      report(`${name} was done ${committed.length} times`)
    for (const { key, isLive } of makes) {
      const write = last?.body?.writes.find((one) => one.key === key)
      if (write === undefined || (write.value !== null) !== isLive) {
        report(`${name} succeeded and left ${key} as it was`)
      }
    }
    return
  }
  if (outcome === 'open' || outcome === 'lost' || outcome === 'givenUp') return
  if (refusals.includes(outcome) && committed.length > 0 && !operation.isBehind) {
    report(`${name} failed with ${outcome}, but ${committed[0]?.id} was committed`)
  }
  const client = clientOf(operation.client)
  // A repair wants all servers that are up, and is simply begun again.
  const serversMax = operation.verb === 'heal' ? 0 : 1
  const isForgotten = outcome === 'unknownOutcome' && endMs - startMs >= evidence.forgottenAfterMs
  const mayFail = (): boolean =>
    isForgotten || evidence.impairedServers(client, startMs, endMs) > serversMax
  // Of what nobody was told is stored there may be one copy until it is repaired: it may be away.
  const hasImpaired = evidence.impairedServers(client, startMs, endMs) > 0
  const isLost = operation.segments.some(
    (id) =>
      isExcusedLoss(id, evidence, chains) ||
      (hasImpaired && isUnacknowledged(id, evidence, chains)),
  )
  const isIncomplete = outcome === 'incomplete' || outcome === 'dataLost'
  if (!(isIncomplete && isLost) && !isCaused(operation, known, mayFail)) {
    report(
      `${name} of ${operation.client} failed without a cause: ${outcome} (${startMs}..${endMs})`,
    )
  }
}

/** What was answered before it was stored is in the journal, and what was stored first has been. */
function checkAnswered(
  operation: Operation,
  evidence: Evidence,
  known: Known,
  report: Report,
): void {
  const { makes, isChange, transactions, number } = operation
  const promises = known.fates.all.flatMap(({ promise }) =>
    promise.operation?.number === number ? promise : [],
  )
  const committed = transactions.flatMap((id) => {
    const seen = evidence.transactions.get(id)
    return seen?.isCommitted === true && seen.body !== undefined ? seen.body : []
  })
  const bodies = promises.length > 0 ? promises.map(({ entry }) => entry.body) : committed
  if (isChange && bodies.length === 0) {
    report(`${nameOf(operation)} was answered and is neither stored nor in the journal`)
    return
  }
  for (const { key, isLive } of makes) {
    const isMade = bodies.some(({ writes }) =>
      writes.some((write) => write.key === key && (write.value !== null) === isLive),
    )
    if (!isMade) report(`${nameOf(operation)} was answered and left ${key} as it was`)
  }
}

/** Another client was faster, and then there was nothing left to do. */
function mayHaveNothingToDo(operation: Operation, known: Known): boolean {
  if (operation.verb === 'forget') return true
  if (operation.verb === 'expunge') {
    const isGone = (key: Key): boolean =>
      views(known, key, operation).some(({ value }) => value === null)
    return operation.entries.every(isGone)
  }
  const [from, to] = operation.entries.map((key) =>
    views(known, key, operation).flatMap(({ value }) =>
      value === null ? [] : [decodeEntry(value).ino],
    ),
  )
  return operation.verb === 'rename' && from?.some((ino) => to?.includes(ino)) === true
}

function isCaused(operation: Operation, known: Known, mayFail: () => boolean): boolean {
  const { chains } = known
  const { entries, inodes, outcome } = operation
  const values = entries.flatMap((key) => views(known, key, operation))
  const named = values.flatMap(({ value }) => (value === null ? [] : [decodeEntry(value).ino]))
  const isGone = (ino: number): boolean =>
    views(known, inodeKey(ino), operation).some(({ value }) => value === null)
  switch (outcome) {
    case 'notFound':
    case 'stale':
      if (operation.wasAlone) return true
      if (values.some(({ value }) => value === null)) return true
      if ([...inodes, ...named].some(isGone)) return true
      // What a write builds upon may not be there any more once another client has replaced it.
      if (operation.segments.some((id) => mayBeSwept(chains, id, operation.endMs))) return true
      return operation.verb === 'rename' && mayLoseAncestor(chains, operation)
    case 'exists':
      return named.length > 0
    case 'notEmpty':
      return [...new Set([...chains.keys(), ...known.fates.keys])].some((key) => {
        const parsed = parseKey(key)
        return (
          parsed.kind === 'entry' &&
          named.includes(parsed.parent) &&
          views(known, key, operation).some(({ value }) => value !== null)
        )
      })
    case 'isDirectory':
    case 'notDirectory':
    case 'notPermitted':
    case 'invalid':
    case 'tooManyExtents':
    case 'busy':
      return true
    case 'incomplete':
    case 'dataLost':
      // What is kept refers to its segments, whatever has become of the file.
      if (operation.verb === 'readKept' && !mayBeExpunged(chains, operation)) return mayFail()
      return mayFail() || operation.segments.some((id) => mayBeSwept(chains, id, operation.endMs))
    default:
      return mayFail()
  }
}

/** Whether a file had the segment and then did not have it: what nothing refers to is swept. */
function mayBeSwept(chains: Chains, segment: string, untilMs: number): boolean {
  for (const [key, chain] of chains) {
    if (parseKey(key).kind !== 'inode') continue
    let had = false
    for (const { value, sentMs } of chain) {
      const has = value !== null && decodeInode(value).segments.some(({ id }) => id === segment)
      if (had && !has && sentMs <= untilMs) return true
      had = has
    }
  }
  return false
}

function mayLoseAncestor(chains: Chains, operation: Operation): boolean {
  return [...chains.keys()].some(
    (key) =>
      parseKey(key).kind === 'inode' &&
      candidates(chains, key, operation).some(
        ({ id, value }) => id !== noVersion && value === null,
      ),
  )
}

/** The values that a register can have shown at some time during the operation. */
function candidates(
  chains: Chains,
  key: Key,
  { startMs, endMs }: Pick<Operation, 'startMs' | 'endMs'>,
): Link[] {
  const chain = chains.get(key) ?? [never]
  return chain.filter((link, at) => {
    const next = chain[at + 1]
    return link.sentMs <= endMs && (next === undefined || next.decidedMs >= startMs)
  })
}

/**
 * The values of a register that the client of the operation can have been shown: of what it has answered and not
 * stored, its own and newer ones.
 */
function views(
  { chains, fates, cannotInherit }: Known,
  key: Key,
  operation: Operation,
): readonly Link[] {
  const all = candidates(chains, key, operation)
  const own = fates.of(operation, key)
  if (own.length === 0) return all
  const links = own.map((fate) => ownLink(fate, key))
  const isBefore = ({ promise: { atMs, operation: other } }: Fate): boolean =>
    atMs < operation.startMs ||
    (other !== undefined && other.number < operation.number && other.client === operation.client)
  const at = own.findLastIndex(isBefore)
  const [last, lastLink] = [own[at], links[at]]
  // What could not be stored under its version may have been given up at any time.
  const isCertain = last?.stored?.id === last?.promise.entry.id && last?.promise.isLost !== true
  if (last === undefined || lastLink === undefined || !isCertain) return [...all, ...links]
  // Another client may have stored it, and this one shows its own change until it can ask.
  const { machine, entry } = last.promise
  const isStored =
    (machine.forgottenMs.get(entry.id) ?? Number.POSITIVE_INFINITY) < operation.startMs
  const isInherited = last.promise.client !== clientOf(operation.client)
  if (isInherited && !isStored && cannotInherit(operation)) return [...all, ...links]
  const newer = all.filter(({ id }) => isStored || id > lastLink.id)
  return [...newer, ...links.slice(at + (isStored ? 1 : 0))]
}

/** The name of the client whose user this is. */
function clientOf(user: string): string {
  return user.split('.')[0] ?? ''
}

function ownLink({ promise: { entry, atMs } }: Fate, key: Key): Link {
  const value = entry.body.writes.find((write) => write.key === key)?.value ?? null
  return { id: entry.id, value, sentMs: atMs, decidedMs: atMs }
}

// -- what was seen --------------------------------------------------------------------------------

interface Place {
  readonly operation: Operation
  /** Positions in the chain that fit what was seen. */
  readonly least: number
  readonly most: number
}

/** What was seen had been written, was not overwritten, and never went back. */
function checkSightings({ operations }: History, known: Known, report: Report): void {
  const placesOf = new Map<Key, Place[]>()
  for (const operation of operations) {
    if (operation.outcome !== 'ok' || operation.wasAlone) continue
    for (const sighting of operation.saw) {
      const place = placeOf(operation, sighting, known.chains)
      const isOwn = views(known, sighting.key, operation).some((link) => shows(link, sighting))
      if (!isOwn) {
        report(`${nameOf(operation)} saw ${describeSighting(sighting)}, which could not be`)
      }
      // What a client has answered itself others need not see before it is stored.
      const answered = known.fates.of(operation, sighting.key)
      const isAhead = answered.some((fate) => shows(ownLink(fate, sighting.key), sighting))
      if (!isOwn || isAhead || place === undefined) continue
      const places = placesOf.get(sighting.key)
      if (places === undefined) placesOf.set(sighting.key, [place])
      else places.push(place)
    }
  }
  for (const [key, places] of placesOf) checkForward(key, places, report)
}

function placeOf(operation: Operation, sighting: Sighting, chains: Chains): Place | undefined {
  const chain = chains.get(sighting.key) ?? [never]
  const fits = candidates(chains, sighting.key, operation).filter((link) => shows(link, sighting))
  const [first] = fits
  const last = fits.at(-1)
  if (first === undefined || last === undefined) return undefined
  return { operation, least: chain.indexOf(first), most: chain.indexOf(last) }
}

function shows(link: Link, sighting: Sighting): boolean {
  return 'ino' in sighting
    ? (link.value === null ? null : decodeEntry(link.value).ino) === sighting.ino
    : link.id === sighting.version
}

function checkForward(key: Key, places: readonly Place[], report: Report): void {
  const byEnd = places.toSorted((a, b) => a.operation.endMs - b.operation.endMs)
  const byStart = places.toSorted((a, b) => a.operation.startMs - b.operation.startMs)
  let ended = 0
  let latest: Place | undefined
  for (const place of byStart) {
    for (
      let one = byEnd[ended];
      one !== undefined && one.operation.endMs < place.operation.startMs;
      one = byEnd[ended]
    ) {
      if (latest === undefined || one.least > latest.least) latest = one
      ended += 1
    }
    if (latest !== undefined && place.most < latest.least) {
      report(`${nameOf(place.operation)} saw ${key} older than ${nameOf(latest.operation)} did`)
    }
  }
}

/**
 * While a client is connected that has answered a change, others see it: they are let in when it is stored. A client
 * that has lost one server still has the leases of three.
 */
function checkSeenByOthers(evidence: Evidence, { chains, fates }: Known, report: Report): void {
  const { history, cutOffServers, crashedMs } = evidence
  for (const { promise, stored } of fates.all) {
    const { client, machine, entry, atMs } = promise
    if (stored?.id !== entry.id) continue
    const endMs = Math.min(stored.decidedMs, crashedMs.get(client) ?? Number.POSITIVE_INFINITY)
    for (const operation of history.operations) {
      const { startMs, saw, outcome, wasAlone } = operation
      if (outcome !== 'ok' || wasAlone || startMs <= atMs || startMs >= endMs) continue
      if (operation.endMs > (crashedMs.get(client) ?? Number.POSITIVE_INFINITY)) continue
      if (machine.clients.has(clientOf(operation.client))) continue
      if (cutOffServers(client, atMs, operation.endMs) > 1) continue
      for (const sighting of saw) {
        const written = entry.body.writes.some(({ key }) => key === sighting.key)
        const chain = chains.get(sighting.key) ?? []
        const at = chain.findIndex(({ id }) => id === entry.id)
        if (!written || at < 0) continue
        if (chain.slice(at).some((link) => shows(link, sighting))) continue
        report(`${nameOf(operation)} saw ${describeSighting(sighting)}, not ${describe(promise)}`)
      }
    }
  }
}

function describeSighting(sighting: Sighting): string {
  return 'ino' in sighting
    ? `${sighting.key} = ${sighting.ino}`
    : `${sighting.key} at ${sighting.version}`
}

// -- the files in the end -------------------------------------------------------------------------

/** Whether the folder is in no other one. */
function isApart(ino: number): boolean {
  return ino === rootIno || ino === trashIno
}

/** What fsck(8) would look at: links counted right, folders where they say, nothing without a name. */
function checkTree(chains: Chains, report: Report): void {
  const namesOf = new Map<number, { key: Key; parent: number; type: number }[]>()
  for (const [key, chain] of chains) {
    const parsed = parseKey(key)
    const value = chain.at(-1)?.value
    if (parsed.kind !== 'entry' || !value) continue
    const { ino, type } = decodeEntry(value)
    const { parent } = parsed
    namesOf.set(ino, [...(namesOf.get(ino) ?? []), { key, parent, type }])
    if (!chains.get(inodeKey(ino))?.at(-1)?.value) report(`${key} names ${ino}, which is gone`)
    if (!chains.get(inodeKey(parent))?.at(-1)?.value) report(`${key} is in a folder that is gone`)
  }
  for (const [key, chain] of chains) {
    const parsed = parseKey(key)
    const value = chain.at(-1)?.value
    if (parsed.kind !== 'inode' || !value || isApart(parsed.ino)) continue
    const inode = decodeInode(value)
    const names = namesOf.get(parsed.ino) ?? []
    const isFolder = typeOf(inode.mode) === fileType.folder
    const links = isFolder ? 1 : inode.nlink
    if (names.length !== links) report(`${key} has ${names.length} names and counts ${links}`)
    for (const { key: name, parent, type } of names) {
      if (type !== inode.mode >> 12) report(`${name} has another type than ${key}`)
      if (isFolder && parent !== inode.parent) report(`${key} says to be in ${inode.parent}`)
    }
  }
}

/**
 * Each file or folder that lost its last name is kept by the transaction that took it, with a content that somebody wrote, unless
 * enough that had this name were kept; and each content that is kept is one of its file.
 */
function checkKept(
  committed: readonly Seen[],
  chains: Chains,
  bytesOf: Evidence['bytesOf'],
  report: Report,
): void {
  const isKeptOften = namesKeptOften(committed)
  for (const { id, body } of committed) {
    const keeping = new Set<number>()
    for (const { key, value } of body?.writes ?? []) {
      const record = value === null ? undefined : recordIn(key, value)
      if (record === undefined || value === null) continue
      const inode = decodeInode(value)
      keeping.add(record.ino)
      const isFile = typeOf(inode.mode) === fileType.file
      if (isFile && bytesOf(inode) === undefined)
        report(`${id} keeps as ${key} a content that nobody wrote`)
      if (inode.nlink !== 1) report(`${id} keeps ${key} with ${inode.nlink} names`)
    }
    // Restored or removed for good before it was stored.
    if (body === undefined || takesOut(body)) continue
    for (const { key, value } of body.writes) {
      const parsed = parseKey(key)
      const chain = chains.get(key) ?? []
      const before = chain[chain.findIndex((link) => link.id === id) - 1]?.value
      if (parsed.kind !== 'inode' || !before || isKept(before)) continue
      const was = decodeInode(before)
      if (was.nlink === 0) continue
      const isRemoved = value === null || decodeInode(value).nlink === 0
      if (!isRemoved || keeping.has(parsed.ino) || body.writes.some(isKeptOften)) continue
      report(`${id} removed ${key} and keeps nothing`)
    }
  }
}

/** Returns whether a write is about a name of which so much was kept that not every removal is: see VersionRule. */
function namesKeptOften(committed: readonly Seen[]): (write: { readonly key: Key }) => boolean {
  const counts = new Map<string, number>()
  for (const { body } of committed) {
    for (const { key, value } of body?.writes ?? []) {
      const record = value === null ? undefined : recordIn(key, value)
      if (record?.kind !== 'removed') continue
      counts.set(record.name, (counts.get(record.name) ?? 0) + 1)
    }
  }
  return ({ key }) => {
    const parsed = parseKey(key)
    return parsed.kind === 'entry' && (counts.get(parsed.name) ?? 0) >= limits.versionBurst
  }
}

/** Whether a batch leaves nothing of what it has put into the trash itself. */
function takesOut({ writes, preconditions }: Transaction): boolean {
  const absent = new Set(preconditions.filter((one) => one.absent).map(({ key }) => key))
  const isInTrash = (key: Key): boolean => key.startsWith(entryKey(trashIno, ''))
  return writes.some(({ key, value }) => value === null && isInTrash(key) && absent.has(key))
}

function recordIn(key: Key, value: Buffer): KeptRecord | undefined {
  return parseKey(key).kind === 'inode' ? recordOf(decodeInode(value)) : undefined
}

function isKept(inode: Buffer): boolean {
  return recordOf(decodeInode(inode)) !== undefined
}

/** Whether what an operation was about can have been removed for good, or restored, by its end. */
function mayBeExpunged(chains: Chains, { about, endMs }: Operation): boolean {
  const chain = chains.get(inodeKey(Number(about))) ?? []
  return chain.slice(2).some(({ sentMs }) => sentMs <= endMs)
}

// -- the servers in the end -----------------------------------------------------------------------

function checkServers({ indexes, isHealed }: Evidence, chains: Chains, report: Report): void {
  for (const [server, index] of indexes.entries()) {
    for (const [key, chain] of chains) {
      const { version, value } = index.registers.get(key)
      const link = chain.find(({ id }) => id === version)
      if (link === undefined) {
        report(`server ${server + 1} has ${key} at ${version}, which was never committed`)
      } else if (!isSame(link.value, value)) {
        report(`server ${server + 1} has another value of ${key} at ${version}`)
      }
      const last = chain.at(-1) ?? never
      if (!isHealed || version === last.id || (value === null && last.value === null)) continue
      report(`server ${server + 1} has ${key} at ${version} instead of ${last.id}`)
    }
    const undecided = isHealed ? index.records.undecided() : []
    for (const { id } of undecided) report(`server ${server + 1} has not decided ${id}`)
  }
}

/** After a repair the four are the same, tombstones included, and keep no piece but where it belongs. */
function checkEqual({ indexes, lost }: Evidence, report: Report): void {
  const all = indexes.map((index) =>
    index.registers
      .changes(noVersion, '', Number.MAX_SAFE_INTEGER)
      .registers.map(({ key, version, checksum }) => `${key} ${version} ${checksum}`),
  )
  for (const [server, registers] of all.entries()) {
    if (registers.join() !== all[0]?.join()) {
      const others = new Set(all[0])
      const own = registers.filter((register) => !others.has(register))
      report(`server ${server + 1} is not as server 1: ${own.join(', ')}`)
    }
  }
  for (const [server, index] of indexes.entries()) {
    const orphans = index.registers.orphans(versionOf(2 ** 47, 0, '00000000'), 9)
    if (orphans.length > 0) report(`server ${server + 1} keeps files without a name: ${orphans}`)
    for (const { segment, referred } of index.segments.after('', false, Number.MAX_SAFE_INTEGER)) {
      const { id, md5, length } = segment
      if (!referred || lost.includes(id)) continue
      const placed = homeMask(server, length, md5)
      const held = index.pieces.held(id)
      if (held !== placed) report(`server ${server + 1} holds ${held} of ${id}, not ${placed}`)
    }
  }
}

function isSame(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b)
}

/** Every piece of every file is on two servers, unless it was written while two were in trouble. */
function checkCopies(evidence: Evidence, chains: Chains, report: Report): void {
  if (evidence.hadWipes && !evidence.isHealed) return
  for (const [key, chain] of chains) {
    const last = chain.at(-1)
    if (parseKey(key).kind !== 'inode' || !last?.value) continue
    for (const { id, length } of decodeInode(last.value).segments) {
      const masks = evidence.indexes.map((index) => index.pieces.held(id))
      for (let piece = 1; piece <= 4; piece += 1) {
        const bit = 1 << (piece - 1)
        if ((wholeMask(length) & bit) === 0) continue
        const copies = masks.filter((mask) => (mask & bit) !== 0).length
        if (copies === 2 || (copies > 2 && !evidence.isHealed)) continue
        if (!isKept(last.value) && mayBeSwept(chains, id, Number.POSITIVE_INFINITY)) continue
        const operation = writerOf(id, chain, evidence)
        const isExcused = operation === undefined || mayLack(operation, evidence)
        if (isExcused && (copies === 1 ? !evidence.isHealed : evidence.hadWipes)) continue
        report(`${key}: piece ${piece} of ${id} is on ${copies} servers [${masks}] `)
      }
    }
  }
}

function isUnacknowledged(segment: string, evidence: Evidence, chains: Chains): boolean {
  for (const [key, chain] of chains) {
    if (parseKey(key).kind !== 'inode') continue
    const operation = writerOf(segment, chain, evidence)
    if (operation !== undefined) return operation.outcome !== 'ok'
  }
  return false
}

/** The operation that brought the segment into the file. */
function writerOf(
  segment: string,
  chain: readonly Link[],
  { history }: Evidence,
): Operation | undefined {
  const first = chain.find(
    ({ value }) => value !== null && decodeInode(value).segments.some(({ id }) => id === segment),
  )
  return history.operations.find(({ transactions }) => first && transactions.includes(first.id))
}

/**
 * A write whose client died, or that two servers missed parts of, may have a single copy until it is
 * repaired: it goes with a disk.
 */
function isExcusedLoss(segment: string, evidence: Evidence, chains: Chains): boolean {
  if (mayBeSwept(chains, segment, Number.POSITIVE_INFINITY)) return true
  if (!evidence.hadWipes) return false
  for (const [key, chain] of chains) {
    if (parseKey(key).kind !== 'inode') continue
    const operation = writerOf(segment, chain, evidence)
    if (operation !== undefined) return mayLack(operation, evidence)
  }
  return false
}

function mayLack({ client, outcome, startMs, endMs }: Operation, evidence: Evidence): boolean {
  if (outcome !== 'ok') return true
  return evidence.impairedServers(clientOf(client), startMs, endMs) > 1
}
