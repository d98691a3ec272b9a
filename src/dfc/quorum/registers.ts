/**
 * Reading registers by the read rule: two replies of servers that vote, and no lock above the highest
 * version they show. Any two replies meet the three votes of every acknowledged write. What a lock
 * leaves open is asked of all, waited for a moment, and then recovered.
 *
 * With a single server left nothing can be written any more; then its word is taken as it is, so that
 * names can still be listed.
 */
import assert from 'node:assert/strict'
import { sleep } from '../../clock.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { FolderSummary, Listed, Reply, SeenInode } from '../../wire/messages.js'
import { quorum } from '../../wire/quorum.js'
import { decodeEntry, entryKey, inodeKey, type Key, type Register } from '../../wire/records.js'
import { noVersion, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Decisions } from './decisions.js'
import type { Recovery } from './recovery.js'

/** A decided register as a quorum shows it. */
export interface QuorumRegister {
  readonly key: Key
  readonly version: Version
  /** null: deleted or never written. */
  readonly value: Buffer | null
  /** For the inode of a folder. */
  readonly folder: FolderSummary | null
}

export interface QuorumEntry {
  readonly name: string
  readonly entry: QuorumRegister
  readonly inode: QuorumRegister | undefined
  /** When asked for: for every segment of the inode, the pieces held by any server that answered. */
  readonly held: Buffer
  /** A server that answered has it marked as having lost data for good. */
  readonly lost: boolean
}

const attemptsMax = 8
const recoverFrom = 4

type Replies = readonly SeenInode[]

const absent: SeenInode = {
  register: { version: noVersion, value: null, lock: null },
  folder: null,
}

interface Wanted {
  readonly key: Key
  readonly replies: Replies
  readonly expected?: number
  /** Called instead of failing; the highest decided value that was seen is taken then. */
  readonly ifUndecided?: () => void
}

export class Registers {
  readonly #cluster: Cluster
  readonly #recovery: Recovery
  readonly #decisions: Decisions
  #turn = 0

  constructor(cluster: Cluster, recovery: Recovery, decisions: Decisions) {
    this.#cluster = cluster
    this.#recovery = recovery
    this.#decisions = decisions
  }

  /** The latest decided values of `keys`, in their order. Throws `undecided`, or `down`. */
  async read(keys: readonly Key[]): Promise<QuorumRegister[]> {
    const result: QuorumRegister[] = []
    while (result.length < keys.length) {
      const at = result.length
      result.push(...(await this.#readSome(keys.slice(at, at + limits.readKeysMax))))
    }
    assert(result.length === keys.length, 'a register that was not asked for')
    return result
  }

  /**
   * Walks `names` down from `parent`: for each name its entry and, if that is there, the inode. Ends
   * early at a name that is not there or is no folder.
   */
  async lookup(
    parent: number,
    names: readonly string[],
  ): Promise<{ entry: QuorumRegister; inode: QuorumRegister | undefined }[]> {
    const replies = await this.#askTwo('lookup', { parent, names })
    const steps: { entry: QuorumRegister; inode: QuorumRegister | undefined }[] = []
    let folder = parent
    for (const [depth, name] of names.entries()) {
      const step = replies.map((reply) => reply.steps[depth])
      const agreed = step.every((one) => one !== undefined)
      const entry = agreed
        ? await this.#resolve(
            entryKey(folder, name),
            step.map((one) => ({ register: one.entry, folder: null })),
          )
        : await this.#readOne(entryKey(folder, name))
      if (entry.value === null) return [...steps, { entry, inode: undefined }]
      const { ino } = decodeEntry(entry.value)
      const seen = step.flatMap((one) =>
        one?.inode && one.entry.version === entry.version ? [one.inode] : [],
      )
      const inode = await this.#resolve(inodeKey(ino), seen, replies.length)
      steps.push({ entry, inode })
      folder = ino
      if (seen.length < replies.length && depth + 1 < names.length) {
        // The servers walked on through different folders: go on from what the quorum says.
        return [...steps, ...(await this.lookup(ino, names.slice(depth + 1)))]
      }
      if (inode.folder === null) return steps
    }
    return steps
  }

  /**
   * A page of a folder's live entries behind `after`, merged from two servers. What cannot be decided
   * while two servers are away is listed as it was decided last: it must not hide all the rest.
   */
  async list(
    folder: number,
    after: string,
    withHeldPieces: boolean,
  ): Promise<{
    folder: QuorumRegister
    entries: QuorumEntry[]
    more: boolean
    end: string
    /** Names that nobody can be sure of now. */
    undecided: ReadonlySet<string>
  }> {
    const fields = { folder, after, entriesMax: limits.listEntriesMax, withHeldPieces }
    const ask = (): Promise<Reply<'list'>[]> =>
      withHeldPieces ? this.#askAll('list', fields) : this.#askTwo('list', fields)
    let replies = await ask()
    // A name that one server does not know is missing in its page: with others there one is not enough.
    for (let attempt = 1; isTooFew(replies, this.#cluster.voters); attempt += 1) {
      if (attempt >= attemptsMax) throw new DfsError('undecided')
      replies = await ask()
    }
    const self = await this.#resolve(
      inodeKey(folder),
      replies.map((reply) => reply.folder),
    )
    const { pages, more, end } = cutAtHorizon(replies)
    const names = mergedNames(pages)
    const undecided = new Set<string>()
    const entries = await this.#resolveMany(
      names.map(({ name, seen }) => ({
        key: entryKey(folder, name),
        replies: seen.map((one) =>
          one === undefined ? absent : { register: one.entry, folder: null },
        ),
        ifUndecided: () => undecided.add(name),
      })),
    )
    const live = entries.flatMap((entry, index) => {
      const merged = names[index]
      return entry.value === null || merged === undefined
        ? []
        : [{ entry, merged, ino: decodeEntry(entry.value).ino }]
    })
    const inodes = await this.#resolveMany(
      live.map(({ entry, merged, ino }) => ({
        key: inodeKey(ino),
        replies: merged.seen.flatMap((one) =>
          one?.inode && one.entry.version === entry.version ? [one.inode] : [],
        ),
        expected: replies.length,
        ifUndecided: () => undecided.add(merged.name),
      })),
    )
    return {
      folder: self,
      entries: live.map(({ entry, merged }, index) => ({
        name: merged.name,
        entry,
        inode: inodes[index],
        held: heldByAny(merged.seen, inodes[index]?.version),
        lost: merged.seen.some(
          (one) => one?.lost && one.inode?.register.version === inodes[index]?.version,
        ),
      })),
      more,
      end,
      undecided,
    }
  }

  /** Brings one server up to date on one register, from what two or more others have decided. */
  async installLatest(key: Key, server: number): Promise<void> {
    const seen = await this.#readAll(key)
    if (seen.length < quorum.read) return
    const { version, value } = highest(seen)
    const registers: Register[] = [{ key, version, value }]
    await this.#cluster.ask([server], 'install', () => ({ registers }))
  }

  // -- resolving ---------------------------------------------------------------------------------

  async #readOne(key: Key): Promise<QuorumRegister> {
    const [register] = await this.#readSome([key])
    if (register === undefined) throw new DfsError('protocol', 'no register read')
    return register
  }

  /** The first of them, at least one: as many as every reply had room for. */
  async #readSome(keys: readonly Key[]): Promise<QuorumRegister[]> {
    const replies = await this.#askTwo('read', { keys })
    const count = Math.min(...replies.map(({ registers }) => registers.length), keys.length)
    if (count === 0) throw new DfsError('protocol', 'no register read')
    return this.#resolveMany(
      keys.slice(0, count).map((key, index) => ({
        key,
        replies: replies.map((reply) => reply.registers[index] ?? absent),
      })),
    )
  }

  async #resolve(key: Key, replies: Replies, expected = replies.length): Promise<QuorumRegister> {
    const settled = settle(key, replies, expected, this.#cluster.voters)
    return this.#shown(settled ?? (await this.#insist(key)))
  }

  /**
   * Notes the version of a folder's latest change, so that the next change of the folder itself is newer, whichever
   * client makes it.
   */
  #shown(register: QuorumRegister): QuorumRegister {
    if (register.folder !== null) this.#cluster.versions.see(register.folder.touched)
    return register
  }

  /**
   * Resolves many registers, in their order; only those that the replies do not settle cost more round trips. In a
   * long listing nearly all are settled at once, and a promise for each would cost more than the rest.
   */
  async #resolveMany(wanted: readonly Wanted[]): Promise<QuorumRegister[]> {
    const { voters } = this.#cluster
    const settled = wanted.map(({ key, replies, expected = replies.length }) =>
      settle(key, replies, expected, voters),
    )
    const found: QuorumRegister[] = []
    for (const register of settled) {
      if (register === undefined) break
      found.push(this.#shown(register))
    }
    const others = wanted.slice(found.length).map((one, index) => {
      return this.#resolveOf(one, settled[found.length + index])
    })
    assert(found.length + others.length === wanted.length, 'each is resolved once')
    return others.length === 0 ? found : [...found, ...(await Promise.all(others))]
  }

  async #resolveOf(
    { key, replies, ifUndecided }: Wanted,
    settled: QuorumRegister | undefined,
  ): Promise<QuorumRegister> {
    try {
      return this.#shown(settled ?? (await this.#insist(key)))
    } catch (error) {
      if (ifUndecided === undefined || !isError(error, 'undecided')) throw error
      ifUndecided()
      return merged(key, replies.length === 0 ? [absent] : replies)
    }
  }

  /** The second part of the read rule: ask all, wait a moment, then recover what is in the way. */
  async #insist(key: Key): Promise<QuorumRegister> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      if (attempt > 0) await sleep(this.#cluster.clock, 5 << Math.min(attempt, 4))
      this.#decisions.flush()
      const seen = await this.#readAll(key)
      const settled = settle(key, seen, seen.length, this.#cluster.voters)
      if (settled !== undefined) return settled
      if (seen.length === 0) continue
      const best = highest(seen)
      const locks = locksAbove(seen, best.version)
      const lacking = (lock: Version): number =>
        seen.filter(({ register }) => register.lock !== lock && register.version < lock).length
      const isLacking = locks.every((lock) => lacking(lock) >= quorum.lacking)
      if (seen.length >= quorum.settle && isLacking) return merged(key, seen)
      if (attempt >= recoverFrom - 1) for (const lock of locks) await this.#recovery.recover(lock)
    }
    if (this.#cluster.voters.length === 0) throw new DfsError('down', 'no server answers')
    throw new DfsError('undecided')
  }

  // -- asking ------------------------------------------------------------------------------------

  /** Reads a register from all voting servers, or three of them. */
  async #readAll(key: Key): Promise<Replies> {
    const { voters } = this.#cluster
    const fields = { keys: [key] }
    const outcomes = await this.#cluster.askEnough(quorum.settle, voters, 'read', () => fields)
    return outcomes.flatMap(({ answer }) => answer?.reply.registers ?? [])
  }

  /** Replies of two servers that vote; of the only one, where there is only one. */
  async #askTwo<V extends 'read' | 'lookup' | 'list'>(
    verb: V,
    fields: Parameters<Cluster['request']>[2] & object,
  ): Promise<Reply<V>[]> {
    this.#decisions.flush()
    const { voters } = this.#cluster
    this.#turn += 1
    const first = this.#turn % Math.max(1, voters.length)
    const order = [...voters.slice(first), ...voters.slice(0, first)]
    const answers = await this.#cluster.askSome(quorum.read, order, verb, fields as never)
    if (answers.length === 0) this.#noReply()
    return answers.map(({ reply }) => reply)
  }

  async #askAll<V extends 'list'>(verb: V, fields: object): Promise<Reply<V>[]> {
    this.#decisions.flush()
    const outcomes = await this.#cluster.ask(this.#cluster.voters, verb, () => fields as never)
    const replies = outcomes.flatMap(({ answer }) => (answer === undefined ? [] : [answer.reply]))
    if (replies.length === 0) this.#noReply()
    return replies
  }

  #noReply(): never {
    this.#cluster.assertAdmitted()
    const blank = this.#cluster.links.some((link) => link.isUp && link.blank)
    throw new DfsError(
      'down',
      blank
        ? 'a new cluster or user needs all four servers up once, to initialize'
        : 'no server answers',
    )
  }
}

/** The register, if the replies settle it; `expected` of them must be there. */
function settle(
  key: Key,
  replies: Replies,
  expected: number,
  voters: readonly number[],
): QuorumRegister | undefined {
  if (replies.length === 0 || replies.length < expected) return undefined
  if (isTooFew(replies, voters)) return undefined
  const isLocked = locksAbove(replies, highest(replies).version).length > 0
  if (isLocked && replies.length >= quorum.read) return undefined
  return merged(key, replies)
}

/** Fewer replies than a read needs; of a single server that votes its word is taken as it is. */
function isTooFew(replies: readonly unknown[], voters: readonly number[]): boolean {
  return replies.length < quorum.read && voters.length >= quorum.read
}

function highest(replies: Replies): { readonly version: Version; readonly value: Buffer | null } {
  assert(replies.length > 0, 'no reply says nothing of a register')
  return replies
    .map(({ register }) => register)
    .reduce((best, register) => (register.version > best.version ? register : best))
}

function locksAbove(replies: Replies, version: Version): Version[] {
  const locks = replies.flatMap(({ register: { lock } }) =>
    lock !== null && lock > version ? [lock] : [],
  )
  return [...new Set(locks)]
}

function merged(key: Key, replies: Replies): QuorumRegister {
  const { version, value } = highest(replies)
  const summaries = replies.flatMap(({ folder }) => (folder === null ? [] : [folder]))
  const folder =
    value === null || summaries.length === 0
      ? null
      : summaries.reduce((best, one) => (isFuller(one, best) ? one : best))
  return { key, version, value, folder }
}

/**
 * Whether a summary has more names. An older one may arrive last: of two with the same version one may lack a name.
 */
function isFuller(one: FolderSummary, than: FolderSummary): boolean {
  return one.touched === than.touched ? one.live > than.live : one.touched > than.touched
}

/**
 * A server's page is complete only up to its last name if it has more: what another one lists behind
 * the first such end is left for the next page.
 */
function cutAtHorizon(replies: readonly Reply<'list'>[]): {
  readonly pages: readonly (readonly Listed[])[]
  readonly more: boolean
  /** Up to this name the page is complete, tombstones included: where the next one begins. */
  readonly end: string
} {
  const ends = replies.flatMap(({ more, entries }) => {
    const last = entries.at(-1)
    return more && last !== undefined ? [last.name] : []
  })
  if (ends.length === 0)
    return { pages: replies.map(({ entries }) => entries), more: false, end: '' }
  const horizon = ends.reduce((least, name) => (compareBytes(name, least) < 0 ? name : least))
  const pages = replies.map(({ entries }) =>
    entries.at(-1)?.name === horizon
      ? entries
      : entries.filter(({ name }) => compareBytes(name, horizon) <= 0),
  )
  return { pages, more: true, end: horizon }
}

/** The names of all pages in byte order, each with what every page says of it. */
function mergedNames(
  pages: readonly (readonly Listed[])[],
): { readonly name: string; readonly seen: readonly (Listed | undefined)[] }[] {
  const byName = new Map<string, (Listed | undefined)[]>()
  for (const [index, page] of pages.entries()) {
    for (const listed of page) {
      const seen = byName.get(listed.name)
      if (seen !== undefined) seen[index] = listed
      else {
        const fresh = new Array<Listed | undefined>(pages.length).fill(undefined)
        fresh[index] = listed
        byName.set(listed.name, fresh)
      }
    }
  }
  const names = [...byName].map(([name, seen]) => ({ name, seen }))
  const [first] = pages
  // The usual case, every page alike, is in order already.
  if (first?.length === names.length) return names
  return names.sort((a, b) => compareBytes(a.name, b.name))
}

function heldByAny(seen: readonly (Listed | undefined)[], version: Version | undefined): Buffer {
  const held = seen.flatMap((one) =>
    one !== undefined && one.inode?.register.version === version ? [one.held] : [],
  )
  const [first, ...rest] = held
  if (first === undefined) return Buffer.alloc(0)
  return Buffer.from(first.map((mask, at) => rest.reduce((all, one) => all | (one[at] ?? 0), mask)))
}

/** UTF-8 byte order, as the servers list. */
function compareBytes(a: string, b: string): number {
  if (a === b) return 0
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
