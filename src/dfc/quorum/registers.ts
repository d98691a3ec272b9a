/**
 * Reading registers by the read rule: two replies of servers that vote, which agree, and no lock above the
 * version they show. Any two replies meet the three votes of every acknowledged write. What a lock
 * leaves open, or one of them shows alone, is asked of all, waited for a moment, and then recovered. With three
 * replies a register counts that two of them show: a single server may lie (docs/decisions/0027).
 *
 * With a single server left nothing can be written any more; then its word is taken as it is, so that
 * names can still be listed.
 */
import assert from 'node:assert/strict'
import { assertGetsOn } from '../../async/pages.js'
import { compareTexts } from '../../byte-text.js'
import { sleep } from '../../clock.js'
import { sentenceOf } from '../../error-message.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc, notice } from '../../log.js'
import type { FolderSummary, Reply, SeenInode } from '../../wire/messages.js'
import { quorum } from '../../wire/quorum.js'
import {
  decodeEntry,
  entryKey,
  inodeKey,
  isEntryName,
  type Key,
  type Register,
} from '../../wire/records.js'
import { noVersion, type Version } from '../../wire/version.js'
import { whyNoAnswer } from '../cluster/away-servers.js'
import type { Cluster } from '../cluster/cluster.js'
import { isSame, newestConfirmed } from './confirmed.js'
import type { Decisions } from './decisions.js'
import { cutAtHorizon, heldByAny, mergedNames, type ServerPage } from './list-pages.js'
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

/** A page of a folder as a quorum shows it. */
export interface FolderPageSeen {
  readonly folder: QuorumRegister
  readonly entries: readonly QuorumEntry[]
  readonly more: boolean
  /** Up to this name the page is complete, tombstones included: where the next one begins. */
  readonly end: string
  /** Names that cannot be decided now. */
  readonly undecided: ReadonlySet<string>
}

const attemptsMax = 8
const recoverFrom = 4
/** Number of registers that are not settled and are asked for together. */
const manyOpen = 4

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
  /** Servers of which it was said that their lists are refused. */
  readonly #refusedLists = new Set<number>()
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
   * while two servers are away is listed as it was decided last: it must not hide all the rest. A server whose page
   * is none has another one asked in its place. Throws `protocol` where there are too few others.
   */
  async list(folder: number, after: string, withHeldPieces: boolean): Promise<FolderPageSeen> {
    const fields = { folder, after, entriesMax: limits.listEntriesMax, withHeldPieces }
    let refusal: unknown
    const check = (reply: Reply<'list'>, index: number): void => {
      try {
        this.#assertList(reply, index, after)
      } catch (error) {
        refusal = error
        throw error
      }
    }
    const ask = (): Promise<Reply<'list'>[]> =>
      (withHeldPieces
        ? this.#askAll('list', fields, check)
        : this.#askTwo('list', fields, check)
      ).catch((error: unknown) => {
        throw refusal ?? error
      })
    let replies = await ask()
    // A name that one server does not know is missing in its page: with others there one is not enough.
    for (let attempt = 1; isTooFew(replies, this.#cluster.voters); attempt += 1) {
      if (attempt >= attemptsMax) throw refusal ?? new DfsError('undecided')
      replies = await ask()
    }
    // A server that alone has more names may make them up, and go on for ever.
    if (new Set(replies.map(({ more }) => more)).size > 1) {
      const { voters } = this.#cluster
      if (voters.length >= quorum.settle)
        replies = await this.#askAll('list', fields, check, quorum.settle)
    }
    return this.#pageOf(folder, replies)
  }

  /**
   * The first pages of several folders, with one request: of the first ones, as many as the answers have room for, and
   * undefined for those that have more than a page. Throws as `list` does.
   */
  async listFolders(folders: readonly number[]): Promise<readonly (FolderPageSeen | undefined)[]> {
    assert(folders.length <= limits.listFoldersMax, 'more folders than one request has')
    const check = ({ lists }: Reply<'listFolders'>, index: number): void => {
      for (const list of lists) this.#assertList(list, index, '')
    }
    const replies = await this.#askTwo('listFolders', { folders }, check)
    if (isTooFew(replies, this.#cluster.voters)) throw new DfsError('undecided')
    const count = Math.min(...replies.map(({ lists }) => lists.length), folders.length)
    const pages = folders.slice(0, count).map(async (folder, index) => {
      const lists = replies.flatMap(({ lists: all }) => all[index] ?? [])
      return lists.some(({ more }) => more) ? undefined : await this.#pageOf(folder, lists)
    })
    return Promise.all(pages)
  }

  /** Settles what the servers have listed of a folder. */
  async #pageOf(folder: number, replies: readonly ServerPage[]): Promise<FolderPageSeen> {
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
    const confirmed = confirmedIn(seen)
    if (confirmed === undefined) return
    const { version, value } = confirmed
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
    const rest = wanted.slice(found.length)
    const asked = await this.#askAgain(rest, settled.slice(found.length))
    const others = rest.map((one, index) => this.#resolveOf(one, asked[index]))
    assert(found.length + others.length === wanted.length, 'each is resolved once')
    return others.length === 0 ? found : [...found, ...(await Promise.all(others))]
  }

  /** Asks all servers for what is not settled, many registers at once: what one alone shows is mostly settled so. */
  async #askAgain(
    wanted: readonly Wanted[],
    settled: readonly (QuorumRegister | undefined)[],
  ): Promise<(QuorumRegister | undefined)[]> {
    const found = [...settled]
    const open = wanted.flatMap((_, index) => (found[index] === undefined ? [index] : []))
    if (open.length < manyOpen) return found
    const { voters } = this.#cluster
    for (let at = 0; at < open.length; at += limits.readKeysMax) {
      const some = open.slice(at, at + limits.readKeysMax)
      const keys = some.map((index) => wanted[index]?.key ?? '')
      const outcomes = await this.#cluster.askEnough(quorum.settle, voters, 'read', () => ({
        keys,
      }))
      for (const [place, index] of some.entries()) {
        const seen = outcomes.flatMap(({ answer }) => answer?.reply.registers[place] ?? [])
        found[index] = settleAll(keys[place] ?? '', seen, voters, false)
      }
    }
    return found
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
      const shown = replies.length === 0 ? [absent] : replies
      return merged(key, shown, highest(shown))
    }
  }

  /** The second part of the read rule: ask all, wait a moment, then recover what is in the way. */
  async #insist(key: Key): Promise<QuorumRegister> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      if (attempt > 0) await sleep(this.#cluster.clock, 5 << Math.min(attempt, 4))
      this.#decisions.flush()
      const seen = await this.#readAll(key)
      const isLast = attempt >= recoverFrom
      const settled = settleAll(key, seen, this.#cluster.voters, isLast)
      if (settled !== undefined) return settled
      if (seen.length === 0 || attempt < recoverFrom - 1) continue
      const best = confirmedIn(seen) ?? absent.register
      for (const lock of locksAbove(seen, best.version)) await this.#recovery.recover(lock)
    }
    if (this.#cluster.voters.length === 0) throw new DfsError('down', 'no server answers')
    throw new DfsError('undecided')
  }

  // -- asking ------------------------------------------------------------------------------------

  /** Reads a register from all voting servers, or three of them. */
  async #readAll(key: Key): Promise<Replies> {
    await this.#cluster.reconnecting
    const { voters } = this.#cluster
    const fields = { keys: [key] }
    const outcomes = await this.#cluster.askEnough(quorum.settle, voters, 'read', () => fields)
    return outcomes.flatMap(({ answer }) => answer?.reply.registers ?? [])
  }

  /** Replies of two servers that vote; of the only one, where there is only one. */
  async #askTwo<V extends 'read' | 'lookup' | 'list' | 'listFolders'>(
    verb: V,
    fields: Parameters<Cluster['request']>[2] & object,
    check?: (reply: Reply<V>, index: number) => void,
  ): Promise<Reply<V>[]> {
    await this.#cluster.reconnecting
    this.#decisions.flush()
    const { voters } = this.#cluster
    this.#turn += 1
    const first = this.#turn % Math.max(1, voters.length)
    const order = [...voters.slice(first), ...voters.slice(0, first)]
    const answers = await this.#cluster.askSome(quorum.read, order, verb, fields as never, check)
    if (answers.length === 0) throw whyNoAnswer(this.#cluster)
    return answers.map(({ reply }) => reply)
  }

  /**
   * Replies of all servers that vote and that `check` accepts; one that takes much longer than `enough` others is not
   * waited for.
   */
  async #askAll<V extends 'list'>(
    verb: V,
    fields: object,
    check: (reply: Reply<V>, index: number) => void,
    enough: number = limits.serverCount,
  ): Promise<Reply<V>[]> {
    await this.#cluster.reconnecting
    this.#decisions.flush()
    const { voters } = this.#cluster
    const outcomes = await this.#cluster.askEnough(enough, voters, verb, () => fields as never)
    const replies = outcomes.flatMap(({ index, answer }) => {
      try {
        if (answer !== undefined) check(answer.reply, index)
      } catch (error) {
        debugDfc('%s: %o', this.#cluster.link(index).name, error)
        return []
      }
      return answer === undefined ? [] : [answer.reply]
    })
    if (replies.length === 0) throw whyNoAnswer(this.#cluster)
    return replies
  }

  /** Throws `protocol` for names that cannot be, and for those that are not in their order behind `after`. */
  #assertList({ entries, more }: ServerPage, index: number, after: string): void {
    const { name: source } = this.#cluster.link(index)
    try {
      const names = entries.map(({ name }) => name)
      if (!names.every(isEntryName)) {
        throw new DfsError('protocol', `${source} lists a name that none can be`)
      }
      const isBefore = (one: string, other: string): boolean => compareTexts(one, other) < 0
      assertGetsOn({ source, isBefore }, after, names, more)
    } catch (error) {
      if (!this.#refusedLists.has(index))
        notice(`${sentenceOf(error)}: its lists are refused`, 'warning')
      this.#refusedLists.add(index)
      throw error
    }
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
  // A third server could be asked where one alone shows something.
  const isConfirmable = voters.length >= quorum.settle && replies.length >= quorum.read
  const best = isConfirmable ? confirmedIn(replies) : highest(replies)
  if (best === undefined || best.version < highest(replies).version) return undefined
  const isLocked = locksAbove(replies, best.version).length > 0
  if (isLocked && replies.length >= quorum.read) return undefined
  return merged(key, replies, best)
}

/**
 * The register as the replies of all show it, or of as many as can be had. With three or more of them what two show
 * counts. What a lock or a single server says is newer was not committed if enough of the others lack it; one of
 * these may lie, so that three must where four have answered.
 */
function settleAll(
  key: Key,
  seen: Replies,
  voters: readonly number[],
  isLast: boolean,
): QuorumRegister | undefined {
  const settled = settle(key, seen, seen.length, voters)
  if (settled !== undefined) return settled
  if (seen.length < quorum.settle) {
    // The others do not answer about it: what one of two shows alone is most likely true.
    const isShown = isLast && seen.length >= quorum.read
    if (!isShown || locksAbove(seen, highest(seen).version).length > 0) return undefined
    return merged(key, seen, highest(seen))
  }
  const best = confirmedIn(seen)
  if (best === undefined) return undefined
  const lone = seen.flatMap(({ register: { version } }) =>
    version > best.version ? [version] : [],
  )
  const lackingMin = seen.length > quorum.settle ? quorum.lacking + 1 : quorum.lacking
  const isLacking = (id: Version): boolean => {
    const lacking = seen.filter(({ register }) => register.lock !== id && register.version < id)
    return lacking.length >= lackingMin
  }
  const isClear = [...lone, ...locksAbove(seen, best.version)].every(isLacking)
  return isClear ? merged(key, seen, best) : undefined
}

function confirmedIn(replies: Replies): SeenInode['register'] | undefined {
  const [first, second, ...others] = replies
  // The usual case, and the only one of long listings.
  if (first !== undefined && second !== undefined && others.length === 0) {
    return isSame(first.register, second.register) ? first.register : undefined
  }
  return newestConfirmed(replies.map(({ register }) => register))
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

function merged(
  key: Key,
  replies: Replies,
  { version, value }: Pick<SeenInode['register'], 'version' | 'value'>,
): QuorumRegister {
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
