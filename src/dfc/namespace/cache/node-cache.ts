/**
 * Caches nodes by inode number, and entries by folder and name. A cached value answers look-ups within its time to
 * live, and as long as this client is known to be alone; after that it only serves as a guess for the preconditions
 * of a commit, which the servers check. `note` adds values from servers, `write` those of own commits. Both take the
 * time at which the request was sent: a value may lack changes that others made since then, however late the answer
 * came.
 */
import assert from 'node:assert/strict'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../../../clock.js'
import { DfsError } from '../../../errors.js'
import { limits } from '../../../limits.js'
import {
  decodeEntry,
  decodeInode,
  entryKey,
  fileType,
  folderDirentType,
  type Inode,
  inodeKey,
  type Key,
  parseKey,
  rootIno,
  type Transaction,
  typeOf,
} from '../../../wire/records.js'
import { noVersion, type Version } from '../../../wire/version.js'
import type { QuorumRegister } from '../../quorum/registers.js'
import { FolderLists } from './folder-lists.js'
import { nodeOf, summaryAfter } from './folder-summary.js'
import { KnownFolders } from './known-folders.js'
import type { Node } from './node.js'
import { Unstored } from './unstored.js'

/** A directory entry as last seen; `ino` is null where no live entry is. */
export interface EntryView {
  readonly version: Version
  readonly ino: number | null
  readonly type: number
}

/** A name as it is known once the answer of the servers about it was noted. */
export interface NotedStep {
  readonly entry: EntryView
  /** The node of the name's inode; undefined where there is none, or the answer did not have it. */
  readonly node: Node | undefined
  /**
   * This client has given the name to another inode since: what the answer has below the name is not below it any more.
   */
  readonly isElsewhere: boolean
}

/** A change of this client that was committed or answered. */
export interface Written {
  /** The version of all registers that it wrote. */
  readonly id: Version
  /** When it was sent, or accepted by the log, on the monotonic clock. */
  readonly askedMs: number
}

/** A moment of a cache, for `isUnchangedSince`. */
export interface CacheMoment {
  /** How often a cached value had been replaced or dropped. */
  readonly changes: number
  /** On the monotonic clock. */
  readonly atMs: number
}

interface Timed<T> {
  readonly value: T
  /** When the request for it was sent, on the monotonic clock. */
  readonly atMs: number
}

/** Own changes that are remembered, far more than a client makes while an answer is on its way. */
const ownChangesMax = 2 * limits.logChangesMax

/** A folder as it was seen last. */
export interface SeenFolder {
  readonly name: string
  /** Undefined when it has left the cache. */
  readonly node: Node | undefined
}

/** Given as `max` the bound would take all of its memory at once: 30 ms in every command. */
const bound = { maxSize: limits.registerCacheEntriesMax, sizeCalculation: () => 1 }

export class NodeCache {
  readonly #clock: Clock
  readonly #useLease: () => number | undefined
  readonly #nodes = new LRUCache<number, Timed<Node>>({
    ...bound,
    dispose: (timed, ino, reason) => {
      if (reason === 'evict' && this.#unstored.has(inodeKey(ino))) this.#keptNodes.set(ino, timed)
    },
  })
  readonly #entries = new LRUCache<Key, Timed<EntryView>>({
    ...bound,
    dispose: (timed, key, reason) => {
      if (reason !== 'evict') return
      if (this.#unstored.has(key)) this.#keptEntries.set(key, timed)
      else if (timed.value.ino !== null) this.#forget(key)
    },
  })
  /** Registers with changes of this client that are not stored yet: no older value of a server replaces these. */
  readonly #unstored = new Unstored()
  /** Values of such registers that had to leave the cache. */
  readonly #keptNodes = new Map<number, Timed<Node>>()
  readonly #keptEntries = new Map<Key, Timed<EntryView>>()
  /** Inodes that this client has deleted, and under which version: an answer that was on its way has them still. */
  readonly #removed = new LRUCache<number, Version>({ max: ownChangesMax })
  /** When this client has last changed or stored a name: an answer that was on its way may be from before. */
  readonly #named = new LRUCache<Key, number>({ max: ownChangesMax })
  /** The name under which each folder was seen last, and the folder that it is in. */
  readonly #places = new LRUCache<number, { readonly parent: number; readonly name: string }>(bound)
  readonly #folders = new KnownFolders()
  readonly #lists = new FolderLists()
  /** How often a cached value was replaced or dropped. */
  #changes = 0
  #hits = 0
  #misses = 0

  /** `useLease` returns since when no other client can have changed anything: `Lease.use`. */
  constructor(clock: Clock, useLease: () => number | undefined) {
    this.#clock = clock
    this.#useLease = useLease
  }

  /** How often what was looked for was here, or not, and how much there is. */
  get figures(): { readonly hits: number; readonly misses: number; readonly entries: number } {
    const entries = this.#nodes.size + this.#entries.size
    return { hits: this.#hits, misses: this.#misses, entries }
  }

  #counted<T>(found: T | undefined): T | undefined {
    if (found === undefined) this.#misses += 1
    else this.#hits += 1
    return found
  }

  /** Returns the present moment. It must be taken before the servers are asked. */
  moment(): CacheMoment {
    return { changes: this.#changes, atMs: this.#clock.monotonic() }
  }

  /**
   * Whether answers of the servers since `moment` are still the newest known values, and young enough to be passed
   * on: one check for a whole page in the place of two for each name in it.
   */
  isUnchangedSince({ changes, atMs }: CacheMoment): boolean {
    return changes === this.#changes && this.#clock.monotonic() - atMs <= limits.cacheLifeMs
  }

  /** Returns the answer and when it was asked for: the time with which its values must be noted here. */
  async asked<T>(ask: () => Promise<T>): Promise<readonly [askedMs: number, answer: T]> {
    const askedMs = this.#clock.monotonic()
    return [askedMs, await ask()]
  }

  /** Returns the node if it is within its time to live, or cannot have changed since it was read. */
  freshNode(ino: number): Node | undefined {
    return this.#counted(this.#ownNode(ino) ?? this.#fresh(this.#nodes.get(ino)))
  }

  /** Returns the node if no other client can have changed it since it was read. */
  leasedNode(ino: number): Node | undefined {
    return this.#ownNode(ino) ?? this.#certain(this.#nodes.get(ino))?.value
  }

  /** Returns the node, however old. */
  staleNode(ino: number): Node | undefined {
    return (this.#nodes.get(ino) ?? this.#keptNodes.get(ino))?.value
  }

  freshEntry(parent: number, name: string): EntryView | undefined {
    const key = entryKey(parent, name)
    return this.#counted(this.#ownEntry(key) ?? this.#fresh(this.#entries.get(key)))
  }

  /**
   * Returns the entry of a name if no other client can have changed it. A name that is missing in a folder known in
   * full has no live entry.
   */
  leasedEntry(parent: number, name: string): EntryView | undefined {
    const key = entryKey(parent, name)
    const own = this.#ownEntry(key)
    if (own !== undefined) return own
    const timed = this.#entryAt(key)
    if (timed !== undefined) return this.#certain(timed)?.value
    const absentMs = this.#folders.absentSinceMs(parent, name)
    const sinceMs = absentMs === undefined ? undefined : this.#useLease()
    if (absentMs === undefined || sinceMs === undefined || absentMs < sinceMs) return undefined
    return { version: noVersion, ino: null, type: 0 }
  }

  staleEntry(parent: number, name: string): EntryView | undefined {
    return this.#entryAt(entryKey(parent, name))?.value
  }

  #entryAt(key: Key): Timed<EntryView> | undefined {
    return this.#entries.get(key) ?? this.#keptEntries.get(key)
  }

  /** Returns the node if its newest value is one of this client that is not stored yet. */
  #ownNode(ino: number): Node | undefined {
    const id = this.#unstored.idOf(inodeKey(ino))
    const node = id === undefined ? undefined : this.staleNode(ino)
    return node?.version === id ? node : undefined
  }

  #ownEntry(key: Key): EntryView | undefined {
    const id = this.#unstored.idOf(key)
    const entry = id === undefined ? undefined : this.#entryAt(key)?.value
    return entry?.version === id ? entry : undefined
  }

  /** Notes that a change of these registers, answered under `id`, is on no server yet. */
  hold(change: Pick<Transaction, 'writes'>, id: Version): void {
    this.#unstored.hold(change, id)
  }

  /** Ends what `hold` began: the change is stored, or given up. */
  release(change: Pick<Transaction, 'writes'>): void {
    for (const key of this.#unstored.release(change)) {
      this.#unkeep(key)
      if (parseKey(key).kind === 'entry') this.#named.set(key, this.#clock.monotonic())
    }
  }

  /**
   * Ends what `hold` began: the servers have refused the change. Until `decide` it is undecided, and what is noted of its
   * registers throws `undecided`.
   */
  refuse(change: Pick<Transaction, 'writes'>): void {
    this.release(change)
    this.#unstored.refuse(change)
    // What a later change has left stays.
    for (const { key } of change.writes) if (!this.#unstored.has(key)) this.drop(key)
  }

  /** Ends what `refuse` began: the change was stored in another way, or given up. */
  decide(change: Pick<Transaction, 'writes'>): void {
    this.#unstored.decide(change)
  }

  /** A kept value goes, as from the cache: another one takes its place, or it is stored. */
  #unkeep(key: Key): void {
    if (this.#keptNodes.size === 0 && this.#keptEntries.size === 0) return
    const parsed = parseKey(key)
    if (parsed.kind === 'inode') this.#keptNodes.delete(parsed.ino)
    else if (this.#keptEntries.delete(key)) this.#forget(key)
  }

  /** Whether the newest value of the register is not stored yet. */
  isUnstored(key: Key): boolean {
    return this.#unstored.has(key)
  }

  /** Whether the newest change of a name in `folder` is not stored yet. */
  hasUnstoredIn(folder: number): boolean {
    if (this.#unstored.size === 0) return false
    const prefix = entryKey(folder, '')
    return [...this.#unstored.keys()].some((key) => key.startsWith(prefix) && this.#ownEntry(key))
  }

  /**
   * Returns the names in `folder` of which an answer that was asked for at `sinceMs` may not have what this client has
   * made of them: it is not stored yet, or was on its way.
   */
  changedIn(
    folder: number,
    sinceMs: number,
  ): readonly { readonly name: string; readonly entry: EntryView }[] {
    const keys = new Set(this.#unstored.keys())
    for (const [key, atMs] of this.#named.entries()) {
      if (atMs < sinceMs) break
      keys.add(key)
    }
    const prefix = entryKey(folder, '')
    return [...keys].flatMap((key) => {
      if (!key.startsWith(prefix)) return []
      const entry = this.#unstored.has(key) ? this.#ownEntry(key) : this.#entryAt(key)?.value
      const parsed = parseKey(key)
      return entry === undefined || parsed.kind === 'inode' ? [] : [{ name: parsed.name, entry }]
    })
  }

  /**
   * Returns the entry if this client has changed or stored it since then. Of others the version does not tell: that of a
   * removed name is gone once it was swept.
   */
  #entryNamedSince(key: Key, sinceMs: number): EntryView | undefined {
    const atMs = this.#named.peek(key)
    return atMs !== undefined && atMs >= sinceMs ? this.#entryAt(key)?.value : undefined
  }

  /** Throws `undecided`. */
  noteEntry(parent: number, name: string, register: QuorumRegister, askedMs: number): EntryView {
    const key = entryKey(parent, name)
    const own = this.#ownEntry(key)
    if (own !== undefined && this.#unstored.isBefore(key, register.version)) return own
    this.#assertDecided(key)
    const named = this.#entryNamedSince(key, askedMs)
    if (named !== undefined && register.version < named.version) return named
    const view = viewOf(register)
    this.#setEntry(parent, name, view, askedMs)
    return view
  }

  /** Notes a node that was read, and returns the newest one; undefined for a tombstone. Throws `undecided`. */
  noteNode(ino: number, register: QuorumRegister, askedMs: number): Node | undefined {
    const key = inodeKey(ino)
    const isBefore = this.#unstored.isBefore(key, register.version)
    const own = this.#ownNode(ino)
    if (own !== undefined && isBefore) return own
    const removedAs = this.#removed.get(ino)
    if (removedAs !== undefined && (isBefore || register.version < removedAs)) return undefined
    this.#assertDecided(key)
    if (register.value === null) {
      this.dropNode(ino)
      return undefined
    }
    const node = nodeOf(ino, register.version, decodeInode(register.value), register.folder)
    this.#setNode(node, askedMs)
    return this.staleNode(ino) ?? node
  }

  #assertDecided(key: Key): void {
    if (this.#unstored.isUndecided(key)) throw new DfsError('undecided')
  }

  /** How often a change of this client was refused, or a refused one decided. */
  get refusals(): number {
    return this.#unstored.refusals
  }

  /** Whether a refused change of this client is not decided yet. */
  get hasUndecided(): boolean {
    return this.#unstored.hasUndecided
  }

  /** Whether it is undecided what the inode is. */
  isUndecided(ino: number): boolean {
    return this.#unstored.isUndecided(inodeKey(ino)) && this.#ownNode(ino) === undefined
  }

  /** Returns the names in `folder` of which it is undecided what they are. */
  undecidedIn(folder: number): readonly string[] {
    return this.#unstored.undecided().flatMap((key) => {
      const parsed = parseKey(key)
      const isHere = parsed.kind === 'entry' && parsed.parent === folder
      return isHere && this.#ownEntry(key) === undefined ? [parsed.name] : []
    })
  }

  /** Notes an entry and the inode that it refers to, if that was read. Throws `undecided`. */
  noteStep(
    parent: number,
    name: string,
    entry: QuorumRegister,
    inode: QuorumRegister | undefined,
    askedMs: number,
  ): NotedStep {
    const view = this.noteEntry(parent, name, entry, askedMs)
    const { ino } = view
    if (view.version > entry.version && viewOf(entry).ino !== ino) {
      // The answer has another inode than the name has by now.
      const node = ino === null ? undefined : this.staleNode(ino)
      return { entry: view, node, isElsewhere: true }
    }
    const node =
      ino === null || inode === undefined ? undefined : this.noteNode(ino, inode, askedMs)
    return { entry: view, node, isElsewhere: false }
  }

  writeEntry(
    parent: number,
    name: string,
    { id, askedMs }: Written,
    ino: number | null,
    type: number,
  ): void {
    assert(askedMs <= this.#clock.monotonic(), 'nothing is known before it is asked for')
    const before = this.staleEntry(parent, name)
    this.#setEntry(parent, name, { version: id, ino, type }, askedMs)
    this.#named.set(entryKey(parent, name), this.#clock.monotonic())
    this.touch(parent, id, before, { ino, type })
  }

  writeNode(
    ino: number,
    { id, askedMs }: Written,
    inode: Inode,
    folder: Node['folder'] = null,
  ): Node {
    const isFolder = typeOf(inode.mode) === fileType.folder
    const summary = isFolder ? (folder ?? { touched: noVersion, live: 0, subfolders: 0 }) : null
    const node: Node = { ino, version: id, inode, folder: summary }
    this.#setNode(node, askedMs)
    return node
  }

  /** Notes that a folder's entry has become `after`. The time at which the folder was read stays. */
  touch(
    parent: number,
    id: Version,
    before: Pick<EntryView, 'ino' | 'type'> | undefined,
    after: Pick<EntryView, 'ino' | 'type'> | undefined,
  ): void {
    const known = this.#nodes.get(parent)
    if (known === undefined || known.value.folder === null) return
    const { version, inode, folder } = known.value
    const value = nodeOf(parent, version, inode, summaryAfter(folder, id, before, after))
    this.#nodes.set(parent, { value, atMs: known.atMs })
    this.#changes += 1
  }

  /** Whether this client knows of no change newer than `id` in the folders that a transaction writes to. */
  isNewest(id: Version, { writes }: Pick<Transaction, 'writes'>): boolean {
    return writes.every(({ key }) => {
      const parsed = parseKey(key)
      const folder = parsed.kind === 'entry' ? parsed.parent : parsed.ino
      return (this.staleNode(folder)?.folder?.touched ?? noVersion) <= id
    })
  }

  /** Notes that a folder was just created and is empty. */
  setEmpty(folder: number, { askedMs }: Pick<Written, 'askedMs'>): void {
    this.#folders.setEmpty(folder, askedMs)
    this.#lists.setEmpty(folder)
  }

  /**
   * Notes that a page of a folder, after the name `after` up to `end`, is in the cache. Without `more`, it is the
   * last one. `names` are all live names of the page, or undefined where the folder must not be listed from here.
   */
  setListed(
    folder: number,
    after: string,
    end: string,
    more: boolean,
    askedMs: number,
    names?: readonly string[],
  ): void {
    assert(askedMs <= this.#clock.monotonic(), 'nothing is known before it is asked for')
    this.#folders.setListed(folder, after, end, more, askedMs)
    if (names === undefined) this.#lists.drop(folder)
    else this.#lists.setListed(folder, after, end, more, names)
  }

  /** Returns all names of a folder in the order of their bytes, if no other client can have changed them. */
  leasedNames(folder: number): readonly string[] | undefined {
    const names = this.#lists.names(folder)
    const knownMs = names && this.#folders.completeSinceMs(folder)
    const sinceMs = knownMs === undefined ? undefined : this.#useLease()
    return knownMs !== undefined && sinceMs !== undefined && knownMs >= sinceMs ? names : undefined
  }

  /**
   * Returns the folders on the way from the root to a folder, that one included, by the names under which they were seen
   * last; none for the root. Undefined when one of them has left the cache.
   */
  wayTo(folder: number): readonly SeenFolder[] | undefined {
    const way: SeenFolder[] = []
    let ino = folder
    while (way.length < limits.folderDepthMax) {
      if (ino === rootIno) return way.reverse()
      const place = this.#places.get(ino)
      if (place === undefined) return undefined
      way.push({ name: place.name, node: this.staleNode(ino) })
      ino = place.parent
    }
    return undefined
  }

  /** Drops a register whose cached value is wrong. */
  drop(key: Key): void {
    const parsed = parseKey(key)
    if (parsed.kind === 'inode') {
      this.#removed.delete(parsed.ino)
      this.dropNode(parsed.ino)
      return
    }
    this.#changes += 1
    this.#entries.delete(key)
    this.#keptEntries.delete(key)
    this.#lists.drop(parsed.parent)
    this.#forget(key)
    // How many names it has is not certain any more. What is not stored of it stays.
    if (!this.#unstored.has(inodeKey(parsed.parent))) this.#nodes.delete(parsed.parent)
  }

  /**
   * Notes that this client has stored a register under `id`: drops its cached value if that is from before, and not what a
   * later change has left.
   */
  noteStored(key: Key, id: Version): void {
    this.#unstored.noteStored(key, id)
    const parsed = parseKey(key)
    const isInode = parsed.kind === 'inode'
    if ((isInode ? this.#ownNode(parsed.ino) : this.#ownEntry(key)) !== undefined) return
    const known = isInode ? this.staleNode(parsed.ino) : this.#entryAt(key)?.value
    if (known !== undefined && known.version < id) this.drop(key)
  }

  /** Notes that this client has deleted an inode, under the version `id`. Its number is never used again. */
  removeNode(ino: number, id: Version): void {
    this.dropNode(ino)
    this.#removed.set(ino, id)
  }

  dropNode(ino: number): void {
    this.#changes += 1
    this.#nodes.delete(ino)
    this.#keptNodes.delete(ino)
    this.#folders.drop(ino)
    this.#lists.drop(ino)
  }

  /** Caches the node unless a newer one is there: an answer that was under way must not replace later values. */
  #setNode(node: Node, askedMs: number): void {
    const known = this.#nodes.get(node.ino)
    const isOld = known !== undefined && isOlder(node, known.value)
    const isSame = known !== undefined && known.value.version === node.version
    if (known !== undefined && (isOld || isOlder(known.value, node))) this.#changes += 1
    if (isOld) return
    this.#keptNodes.delete(node.ino)
    this.#nodes.set(node.ino, { value: node, atMs: latestMs(askedMs, isSame ? known : undefined) })
  }

  #setEntry(parent: number, name: string, entry: EntryView, askedMs: number): void {
    const key = entryKey(parent, name)
    const known = this.#entries.get(key)
    const isSame = known?.value.version === entry.version
    if (known !== undefined && !isSame) this.#changes += 1
    if (known !== undefined && known.value.version > entry.version) return
    this.#keptEntries.delete(key)
    if (entry.ino !== null && entry.type === folderDirentType) {
      this.#places.set(entry.ino, { parent, name })
    }
    this.#lists.note(parent, name, entry.ino !== null)
    this.#entries.set(key, { value: entry, atMs: latestMs(askedMs, isSame ? known : undefined) })
  }

  #forget(key: Key): void {
    const parsed = parseKey(key)
    if (parsed.kind === 'entry') this.#folders.forget(parsed.parent, parsed.name)
  }

  #fresh<T>(timed: Timed<T> | undefined): T | undefined {
    if (timed === undefined) return undefined
    if (this.#clock.monotonic() - timed.atMs <= limits.cacheLifeMs) return timed.value
    return this.#certain(timed)?.value
  }

  #certain<T>(timed: Timed<T> | undefined): Timed<T> | undefined {
    const sinceMs = timed === undefined ? undefined : this.#useLease()
    return timed !== undefined && sinceMs !== undefined && timed.atMs >= sinceMs ? timed : undefined
  }
}

function viewOf(entry: QuorumRegister): EntryView {
  if (entry.value === null) return { version: entry.version, ino: null, type: 0 }
  return { version: entry.version, ...decodeEntry(entry.value) }
}

/** When it was last asked for, if `known` is the same value. */
function latestMs(askedMs: number, known: Timed<unknown> | undefined): number {
  return known === undefined ? askedMs : Math.max(askedMs, known.atMs)
}

function isOlder(node: Node, than: Node): boolean {
  if (node.version !== than.version) return node.version < than.version
  return (node.folder?.touched ?? '') < (than.folder?.touched ?? '')
}
