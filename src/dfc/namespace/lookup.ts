/**
 * Resolves names to nodes from the cache where it may answer, else from the servers. Also finds
 * the nodes that a change starts from, which may be guesses, since the servers check them.
 */
import { pages } from '../../async/pages.js'
import { byteLengthOf, compareTexts, isByteText } from '../../byte-text.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { coversEverything } from '../../wire/placement.js'
import {
  direntType,
  entryKey,
  fileType,
  inodeKey,
  isEntryName,
  rootIno,
  trashIno,
  typeOf,
} from '../../wire/records.js'
import { noVersion } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Lease } from '../quorum/lease.js'
import type { QuorumRegister, Registers } from '../quorum/registers.js'
import { canBeIn, type ListedName, type Node } from './cache/node.js'
import type { CacheMoment, EntryView, NodeCache } from './cache/node-cache.js'
import { FolderReader, type FolderReadListener } from './folder-reader.js'
import type { LocalLog } from './local-log.js'

/** A page of a folder. */
export interface Listing {
  readonly entries: readonly ListedName[]
  /** The moment before the servers were asked; see `isUnchangedSince`. */
  readonly asked: CacheMoment
  readonly more: boolean
  /** Names that cannot be decided while two servers are away. */
  readonly undecided: ReadonlySet<string>
}

export interface FoundEntry extends EntryView {
  readonly ino: number
}

const elsewhereText =
  'the folder has its place elsewhere, or is below itself: "dfc verify" tells what is wrong'
const absentEntry: EntryView = { version: noVersion, ino: null, type: 0 }

export class Lookup {
  readonly #cluster: Cluster
  readonly #registers: Registers
  readonly #lease: Pick<Lease, 'exclusiveForMs' | 'use'>
  readonly #cache: NodeCache
  readonly #log: LocalLog
  readonly #folders: FolderReader

  constructor(
    cluster: Cluster,
    registers: Registers,
    lease: Pick<Lease, 'exclusiveForMs' | 'use' | 'forgetAll'>,
    cache: NodeCache,
    log: LocalLog,
  ) {
    this.#cluster = cluster
    this.#registers = registers
    this.#lease = lease
    this.#cache = cache
    this.#log = log
    this.#folders = new FolderReader(registers, lease, cache, log)
  }

  // -- for who asks ------------------------------------------------------------------------------

  onFolderRead(listener: FolderReadListener): () => void {
    return this.#folders.onRead(listener)
  }

  /** Returns for how many ms no other client can create `name`, which does not exist; 0 when one can. */
  absentForMs(parent: number, name: string): number {
    return this.certain(parent, name) === null ? this.#lease.exclusiveForMs : 0
  }

  /**
   * The node that `name` in `parent` names now. Throws `notFound`, `nameTooLong`, and `corrupt` for a folder that has
   * its place elsewhere.
   */
  async lookup(parent: number, name: string): Promise<Node> {
    assertName(name)
    let certain = this.certain(parent, name)
    if (certain === undefined && this.#folders.paysToRead(parent)) {
      await this.#folders.readToEnd(parent)
      certain = this.certain(parent, name)
    }
    if (certain === null) throw new DfsError('notFound')
    if (certain !== undefined) return certain
    let isElsewhere = false
    for (let attempt = 0; attempt < limits.conflictAttemptsMax; attempt += 1) {
      const [askedMs, [step]] = await this.#askForNames(parent, [name])
      const node = step && this.#cache.noteStep(parent, name, step.entry, step.inode, askedMs).node
      isElsewhere = node !== undefined && !canBeIn(node, parent)
      if (node !== undefined && !isElsewhere) return node
      // An entry without its inode, or the place of its folder, was read while the name was given to another.
      if (step === undefined || step.entry.value === null) break
    }
    throw isElsewhere ? new DfsError('corrupt', elsewhereText) : new DfsError('notFound')
  }

  /** The node at the end of `names` from the root, symbolic links not followed. */
  async walk(names: readonly string[]): Promise<Node> {
    for (const name of names) assertName(name)
    if (names.length === 0) return this.node(rootIno, true)
    const { nodes, isMissing } = await this.#askAlong(rootIno, names)
    const last = nodes.at(-1)
    if (last === undefined || isMissing) throw new DfsError('notFound')
    if (nodes.length < names.length) throw new DfsError('notDirectory')
    return last
  }

  /**
   * Resolves `names`, each in the one before, from the folder `from` on as far as they exist. Sends one request at
   * most, and none when the cache is certain of all of them.
   */
  async follow(from: number, names: readonly string[]): Promise<readonly Node[]> {
    for (const name of names) assertName(name)
    const certain = this.#certainAlong(from, names)
    if (certain !== undefined) return certain
    return (await this.#askAlong(from, names)).nodes
  }

  #certainAlong(from: number, names: readonly string[]): readonly Node[] | undefined {
    const nodes: Node[] = []
    for (const name of names) {
      const node = this.certain(nodes.at(-1)?.ino ?? from, name)
      if (node === undefined) return undefined
      if (node === null) break
      nodes.push(node)
    }
    return nodes
  }

  async #askAlong(
    from: number,
    names: readonly string[],
  ): Promise<{ readonly nodes: readonly Node[]; readonly isMissing: boolean }> {
    const nodes: Node[] = []
    for (let at = 0; at < names.length; at += limits.lookupNamesMax) {
      const parent = nodes.at(-1)?.ino ?? from
      const some = names.slice(at, at + limits.lookupNamesMax)
      const [askedMs, steps] = await this.#askForNames(parent, some)
      for (const [depth, step] of steps.entries()) {
        const folder = nodes.at(-1)?.ino ?? from
        const name = some[depth] ?? ''
        const noted = this.#cache.noteStep(folder, name, step.entry, step.inode, askedMs)
        const { node, entry } = noted
        const isGuess = noted.isElsewhere || (node !== undefined && !canBeIn(node, folder))
        if (isGuess && entry.ino !== null) {
          nodes.push(await this.lookup(folder, name))
          const rest = await this.#askAlong(nodes.at(-1)?.ino ?? from, names.slice(nodes.length))
          return { nodes: [...nodes, ...rest.nodes], isMissing: rest.isMissing }
        }
        if (node === undefined) return { nodes, isMissing: true }
        nodes.push(node)
      }
      if (nodes.length < Math.min(at + some.length, names.length)) break
    }
    return { nodes, isMissing: false }
  }

  /**
   * The inode: from the cache for up to `cacheLifeMs`, with `fresh` only where it cannot have changed.
   * Throws `stale` when gone.
   */
  async node(ino: number, fresh = false): Promise<Node> {
    const cached = fresh ? this.#cache.leasedNode(ino) : this.#cache.freshNode(ino)
    return cached ?? (await this.#askForNode(ino))
  }

  async #askForNode(ino: number): Promise<Node> {
    const keys = [inodeKey(ino)]
    const ask = (): Promise<readonly QuorumRegister[]> => this.#registers.read(keys)
    const { moment, answer } = await this.#log.askForRegisters(keys, ask)
    const [register] = answer
    const node = register && this.#cache.noteNode(ino, register, moment.atMs)
    if (node === undefined) throw new DfsError('stale')
    return node
  }

  /** Returns the newest known node of the inode, however old. */
  latest(ino: number): Node | undefined {
    return this.#cache.staleNode(ino)
  }

  /** Returns the node if it is in the cache and within its time to live. */
  cached(ino: number): Node | undefined {
    return this.#cache.freshNode(ino)
  }

  /** Returns the inode number of a name, if the cache has it within its time to live. */
  cachedEntry(parent: number, name: string): { readonly ino: number } | undefined {
    const entry = this.#cache.freshEntry(parent, name)
    return entry === undefined || entry.ino === null ? undefined : { ino: entry.ino }
  }

  /** Looks up a name without asking a server: null when there is none, undefined when only a server can tell. */
  known(parent: number, name: string): Node | null | undefined {
    assertName(name)
    const entry = this.cachedEntry(parent, name)
    if (entry !== undefined) {
      const node = this.cached(entry.ino)
      return node !== undefined && canBeIn(node, parent) ? node : undefined
    }
    // A folder that is gone has no names either.
    const isAbsent = this.cached(parent) !== undefined && this.certain(parent, name) === null
    return isAbsent ? null : undefined
  }

  /** A page of a folder behind the name `after`, in the byte order of the names. */
  async list(folder: number, after: string): Promise<Listing> {
    const whole = coversEverything(new Set(this.#cluster.voters))
    const known = whole ? this.#knownPage(folder, after) : undefined
    if (known !== undefined) return known
    if (whole && this.#folders.isBeingRead(folder)) {
      await this.#folders.readToEnd(folder)
      const read = this.#knownPage(folder, after)
      if (read !== undefined) return read
    }
    let page = await this.#folders.page(folder, after, whole)
    // A page of tombstones alone is skipped: an empty page would mean the end.
    while (page.entries.length === 0 && page.more) {
      page = await this.#folders.page(folder, page.end, whole)
    }
    const { asked, self, entries, changing, more, undecided } = page
    if (self === undefined) throw new DfsError('notFound')
    if (typeOf(self.inode.mode) !== fileType.folder) throw new DfsError('notDirectory')
    if (changing.length === 0) return { entries, asked, more, undecided }
    const again = await Promise.all(changing.map((listed) => this.#listedAgain(folder, listed)))
    const isGone = new Set(changing.filter((_, index) => again[index] === undefined))
    const left = entries
      .filter((listed) => !isGone.has(listed))
      .map((listed) => again[changing.indexOf(listed)] ?? listed)
    return left.length === 0 && more
      ? this.list(folder, page.end)
      : { entries: left, asked, more, undecided }
  }

  /** A page from the cache alone; undefined when it is not certain of all names in it. */
  #knownPage(folder: number, after: string): Listing | undefined {
    const names = this.#cache.leasedNames(folder)
    if (names === undefined || this.#cache.leasedNode(folder) === undefined) return undefined
    const first = firstAfter(names, after)
    const some = names.slice(first, first + limits.listEntriesMax)
    const entries: ListedName[] = []
    for (const name of some) {
      const node = this.certain(folder, name)
      if (node === undefined || node === null) return undefined
      const type = direntType(node.inode.mode)
      entries.push({ name, ino: node.ino, type, node, incomplete: false })
    }
    const more = first + some.length < names.length
    return { entries, asked: this.#cache.moment(), more, undecided: new Set() }
  }

  /**
   * Begins to read small folders that will be listed soon, while this client is alone and so will still know them then.
   */
  readAhead(folders: readonly number[]): void {
    if (this.#lease.use() === undefined || !coversEverything(new Set(this.#cluster.voters))) return
    this.#folders.readAhead(
      folders.filter((folder) => this.#cache.leasedNames(folder) === undefined),
    )
  }

  /** Yields all pages of a folder, in the byte order of the names. */
  pages(folder: number): AsyncGenerator<Listing, void, void> {
    return pages(
      '',
      (after) => this.list(folder, after),
      ({ entries }) => entries.map(({ name }) => name),
      { source: 'the list of a folder', isBefore: (one, other) => compareTexts(one, other) < 0 },
    )
  }

  /**
   * Looks up a name again whose inode was removed or moved while the folder was read; undefined when the name is gone. A
   * folder that has its place elsewhere comes without its node.
   */
  async #listedAgain(folder: number, listed: ListedName): Promise<ListedName | undefined> {
    const { name } = listed
    try {
      const node = await this.lookup(folder, name)
      const type = direntType(node.inode.mode)
      return { name, ino: node.ino, type, node, incomplete: false }
    } catch (error) {
      if (isError(error, 'corrupt')) return { ...listed, node: undefined, incomplete: false }
      if (error instanceof DfsError && error.code === 'notFound') return undefined
      throw error
    }
  }

  /** Whether the answer to a listing asked for at `asked` is still the newest known, and may be passed on. */
  isUnchangedSince(asked: CacheMoment): boolean {
    return this.#cache.isUnchangedSince(asked)
  }

  /**
   * Returns what a name certainly refers to: its node, null when there is none, undefined when that is not certain.
   */
  certain(parent: number, name: string): Node | null | undefined {
    const entry = this.#cache.leasedEntry(parent, name)
    if (entry === undefined) return undefined
    if (entry.ino === null) return null
    const node = this.#cache.leasedNode(entry.ino)
    return node !== undefined && canBeIn(node, parent) ? node : undefined
  }

  /** Whether no other client can have changed the inode since it was read. */
  isCertain(ino: number): boolean {
    return this.#cache.leasedNode(ino) !== undefined
  }

  /** Whether no other client can have changed anything since `asked`. */
  isAloneSince({ atMs }: CacheMoment): boolean {
    const sinceMs = this.#lease.use()
    return sinceMs !== undefined && sinceMs <= atMs
  }

  /** Looks up `names`, each in the one before, at the servers. */
  async #askForNames(
    parent: number,
    names: readonly string[],
  ): Promise<readonly [askedMs: number, steps: Awaited<ReturnType<Registers['lookup']>>]> {
    const ask = (): ReturnType<Registers['lookup']> => this.#registers.lookup(parent, names)
    // Of more than one name it is not known which registers will be read.
    const { moment, answer } = await (names.length > 1
      ? this.#log.askForAny(ask)
      : this.#log.askForRegisters(
          names.map((name) => entryKey(parent, name)),
          ask,
        ))
    return [moment.atMs, answer]
  }

  // -- what a change starts from -----------------------------------------------------------------

  /** Returns the node that a change starts from; with `fresh`, as the servers have it now. Throws `stale`. */
  async nodeForChange(ino: number, fresh: boolean): Promise<Node> {
    const cached = fresh ? undefined : this.#cache.staleNode(ino)
    if (cached !== undefined && this.#mayGuess(this.#cache.leasedNode(ino))) return cached
    return this.#askForNode(ino)
  }

  /**
   * Whether to start from a cached value of which `certain` is undefined if it is not certain. While this client is
   * alone it is not: the change is answered without waiting once everything that it relies on is certain.
   */
  #mayGuess(certain: unknown): boolean {
    return certain !== undefined || this.#lease.use() === undefined
  }

  /** Throws `notFound`, `notDirectory`. */
  async folderForChange(ino: number, fresh: boolean): Promise<Node> {
    try {
      const node = await this.nodeForChange(ino, fresh)
      if (typeOf(node.inode.mode) !== fileType.folder) throw new DfsError('notDirectory')
      // Whoever has its number, as from a restoration that is not stored, must not put into it what goes with it.
      if (node.inode.parent === trashIno) throw new DfsError('notFound')
      return node
    } catch (error) {
      if (error instanceof DfsError && error.code === 'stale') throw new DfsError('notFound')
      throw error
    }
  }

  /** Returns the entry that a change starts from. */
  async entryForChange(parent: number, name: string, fresh: boolean): Promise<EntryView> {
    const cached = fresh ? undefined : this.#cache.staleEntry(parent, name)
    if (cached !== undefined && this.#mayGuess(this.#cache.leasedEntry(parent, name))) return cached
    if (!fresh && this.#cache.leasedEntry(parent, name) !== undefined) return absentEntry
    const [askedMs, [step]] = await this.#askForNames(parent, [name])
    if (step === undefined) return absentEntry
    return this.#cache.noteStep(parent, name, step.entry, step.inode, askedMs).entry
  }

  /** Throws `notFound`. */
  async existingForChange(parent: number, name: string, fresh: boolean): Promise<FoundEntry> {
    const entry = await this.entryForChange(parent, name, fresh)
    if (entry.ino === null) throw new DfsError('notFound')
    return { ...entry, ino: entry.ino }
  }

  /** The folders from `folder` up to the root; throws `invalid` when `not` is among them. */
  async ancestors(folder: number, not: number): Promise<Node[]> {
    const chain: Node[] = []
    for (let ino = folder; ; ) {
      if (ino === not) throw new DfsError('invalid')
      const node = await this.nodeForChange(ino, true)
      chain.push(node)
      if (ino === rootIno || chain.length >= limits.transactionPreconditionsMax / 2) return chain
      ino = node.inode.parent
    }
  }
}

/** The index of the first of the sorted names that comes after `after`. */
function firstAfter(names: readonly string[], after: string): number {
  let [low, high] = [0, names.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (compareTexts(names[middle] ?? '', after) > 0) high = middle
    else low = middle + 1
  }
  return low
}

export function assertName(name: string): void {
  if (byteLengthOf(name) > limits.nameBytesMax) throw new DfsError('nameTooLong')
  if (!isByteText(name)) throw new DfsError('illegalName')
  if (!isEntryName(name)) throw new DfsError('invalid', `"${name}" cannot be a name`)
}
