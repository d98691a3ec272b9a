/**
 * The names and attributes of a user's files: POSIX over registers. Every change is one transaction
 * with preconditions on what it was derived from, tried again with fresh values when another client
 * was faster. Everything is by inode number; paths are the affair of the caller.
 */
import { compareTimes, randomBelow, sleep, type Time } from '../clock.js'
import { DfsError, isError } from '../errors.js'
import { limits } from '../limits.js'
import { coversEverything, isReadableFrom } from '../wire/placement.js'
import {
  decodeEntry,
  decodeInode,
  encodeEntry,
  encodeInode,
  entryKey,
  fileType,
  type Inode,
  inodeKey,
  isEntryName,
  type Key,
  type Precondition,
  parseKey,
  rootIno,
  type Segment,
  type Transaction,
  typeOf,
} from '../wire/records.js'
import { noVersion, type Version } from '../wire/version.js'
import type { Cluster } from './cluster.js'
import { FolderLookups } from './folder-lookups.js'
import { KeyLocks } from './key-locks.js'
import type { Lease } from './lease.js'
import { Newborn, type NewbornFile } from './newborn.js'
import { type Content, emptyContent, type ListedName, type Node } from './node.js'
import { type EntryView, NodeCache } from './node-cache.js'
import type { PreparedSegment } from './prepared-segment.js'
import type { QuorumEntry, QuorumRegister, Registers } from './registers.js'
import { nodeOf, summaryAfter } from './summary.js'
import type { Transactions } from './transaction.js'

export interface NewAttributes {
  /** With the file type bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly rdev?: number
  /** Of a symbolic link. */
  readonly target?: string
  readonly content?: Content
  /** The content's only segment when it is small: it rides inside the commit. */
  readonly inline?: PreparedSegment
  /** Now when absent. */
  readonly mtime?: Time
  readonly attributes?: Inode['attributes']
}

export type RenameHow = 'replace' | 'noReplace' | 'exchange'
/** Whether the inode of a file whose last link goes is still in use here, and must stay for now. */
export type Keep = (ino: number) => boolean

/** One attempt of a change: what to commit, and what is true once it is committed. */
interface Plan<T> {
  readonly body: Transaction
  readonly inline?: PreparedSegment | undefined
  readonly onDisk?: boolean | undefined
  /** Brings the cache up to date and gives the result. */
  readonly done: (id: Version) => T
}

type Planned<T> = Plan<T> | { readonly body: undefined; readonly result: T } | undefined

interface FoundEntry extends EntryView {
  readonly ino: number
}

/** How a file is to be written. */
interface Rewriting {
  readonly inline?: PreparedSegment | undefined
  readonly onDisk?: boolean
  /** Throws when it must not be. */
  readonly check?: (node: Node) => Promise<void>
  /** Nothing is done to a file that is stored already. */
  readonly onlyNewborn?: boolean
}

/** What `create` is about to make. */
interface NewFile {
  readonly parent: number
  readonly name: string
  readonly ino: number
  readonly inode: Inode
}

const absentEntry: EntryView = { version: noVersion, ino: null, type: 0 }
const attemptsMax = 12
const never: Keep = () => false

export class Namespace {
  readonly #cluster: Cluster
  readonly #registers: Registers
  readonly #transactions: Transactions
  readonly #lease: Pick<Lease, 'aloneForMs' | 'aloneSinceMs' | 'forgetAll' | 'onEnd'>
  readonly #cache: NodeCache
  readonly #newborn: Newborn
  readonly #locks = new KeyLocks()
  readonly #lookups = new FolderLookups()
  readonly #beingRead = new Map<number, Promise<void>>()
  /** Files without a name that somebody here has open. */
  readonly #kept = new Set<number>()
  #renewedMs: number

  constructor(
    cluster: Cluster,
    registers: Registers,
    transactions: Transactions,
    lease: Pick<Lease, 'aloneForMs' | 'aloneSinceMs' | 'forgetAll' | 'onEnd'>,
  ) {
    this.#cluster = cluster
    this.#registers = registers
    this.#transactions = transactions
    this.#lease = lease
    this.#cache = new NodeCache(cluster.clock, () => lease.aloneSinceMs)
    this.#newborn = new Newborn(cluster.clock, (ino) => this.#bear(ino))
    this.#renewedMs = cluster.clock.monotonic()
  }

  // -- reading -----------------------------------------------------------------------------------

  /** For how long from now on nobody else can make `name`, which is not there; 0 when they can. */
  absentForMs(parent: number, name: string): number {
    return this.#certain(parent, name) === null ? this.#lease.aloneForMs : 0
  }

  /** Calls `listener` when other clients are about to be let in, and a time that was told is over. */
  set onCompany(listener: () => void) {
    this.#lease.onEnd = listener
  }

  /** The node that `name` in `parent` names now. Throws `notFound`, `nameTooLong`. */
  async lookup(parent: number, name: string): Promise<Node> {
    assertName(name)
    let certain = this.#certain(parent, name)
    if (certain === undefined && this.#paysToRead(parent)) {
      await this.#readToEnd(parent)
      certain = this.#certain(parent, name)
    }
    if (certain === null) throw new DfsError('notFound')
    if (certain !== undefined) return certain
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const [askedMs, [step]] = await this.#asked(() => this.#registers.lookup(parent, [name]))
      const node =
        step &&
        this.#cache.asOf(askedMs, () => this.#noteStep(parent, name, step.entry, step.inode))
      if (node !== undefined) return node
      // An entry without its inode was read while the name was taken from one and given to another.
      if (step === undefined || step.entry.value === null) break
    }
    throw new DfsError('notFound')
  }

  /** The node at the end of `names` from the root, symbolic links not followed. */
  async walk(names: readonly string[]): Promise<Node> {
    for (const name of names) assertName(name)
    if (names.length === 0) return this.node(rootIno, true)
    await this.#newborn.settle()
    const nodes: Node[] = []
    for (let at = 0; at < names.length; at += limits.lookupNamesMax) {
      const parent = nodes.at(-1)?.ino ?? rootIno
      const some = names.slice(at, at + limits.lookupNamesMax)
      const [askedMs, steps] = await this.#asked(() => this.#registers.lookup(parent, some))
      for (const [depth, step] of steps.entries()) {
        const folder = nodes.at(-1)?.ino ?? rootIno
        const node = this.#cache.asOf(askedMs, () =>
          this.#noteStep(folder, some[depth] ?? '', step.entry, step.inode),
        )
        if (node === undefined) throw new DfsError('notFound')
        nodes.push(node)
      }
      if (nodes.length < Math.min(at + some.length, names.length)) break
    }
    const last = nodes.at(-1)
    if (last === undefined) throw new DfsError('notFound')
    if (nodes.length < names.length) throw new DfsError('notDirectory')
    return last
  }

  /**
   * The inode: from the cache for up to `cacheLifeMs`, with `fresh` only where it cannot have changed.
   * Throws `stale` when gone.
   */
  async node(ino: number, fresh = false): Promise<Node> {
    const newborn = this.#newborn.get(ino)
    if (newborn !== undefined) return newborn.node
    const cached = fresh ? this.#cache.certainNode(ino) : this.#cache.node(ino)
    return cached ?? (await this.#askForNode(ino))
  }

  async #askForNode(ino: number): Promise<Node> {
    const [askedMs, [register]] = await this.#asked(() => this.#registers.read([inodeKey(ino)]))
    const node = register && this.#cache.asOf(askedMs, () => this.#noteNode(ino, register))
    if (node === undefined) throw new DfsError('stale')
    return node
  }

  /** The node if it is in the cache and within its time to live. */
  cached(ino: number): Node | undefined {
    return this.#newborn.get(ino)?.node ?? this.#cache.node(ino)
  }

  /** The inode number a name had within the time to live of the cache. */
  cachedEntry(parent: number, name: string): { readonly ino: number } | undefined {
    const newborn = this.#newborn.at(parent, name)
    if (newborn !== undefined) return newborn.node
    const entry = this.#cache.entry(parent, name)
    return entry === undefined || entry.ino === null ? undefined : { ino: entry.ino }
  }

  /** A page of a folder behind the name `after`, in the byte order of the names. */
  async list(
    folder: number,
    after: string,
  ): Promise<{
    readonly entries: readonly ListedName[]
    readonly more: boolean
    /** Names that nobody can be sure of while two servers are away. */
    readonly undecided: ReadonlySet<string>
  }> {
    // What cannot be stored now is tried again by whoever waits for it.
    await this.#newborn.settle(folder).catch(() => undefined)
    const whole = coversEverything(new Set(this.#cluster.voters))
    const ask = (behind: string) => this.#page(folder, behind, whole)
    let { page, self, entries } = await ask(after)
    // A page of nothing but removed names says nothing, and is not the end.
    while (page.entries.length === 0 && page.more) ({ page, self, entries } = await ask(page.end))
    if (self === undefined) throw new DfsError('notFound')
    if (typeOf(self.inode.mode) !== fileType.folder) throw new DfsError('notDirectory')
    const changing = entries.filter((_, index) => page.entries[index]?.inode?.value === null)
    const { more, undecided } = page
    if (changing.length === 0) return { entries, more, undecided }
    const again = await Promise.all(changing.map((listed) => this.#listedAgain(folder, listed)))
    const isGone = new Set(changing.filter((_, index) => again[index] === undefined))
    const left = entries
      .filter((listed) => !isGone.has(listed))
      .map((listed) => again[changing.indexOf(listed)] ?? listed)
    return left.length === 0 && page.more
      ? this.list(folder, page.end)
      : { entries: left, more, undecided }
  }

  /** A page of a folder, behind the name `behind`, put into the cache. */
  async #page(folder: number, behind: string, whole: boolean) {
    const [askedMs, page] = await this.#asked(() => this.#registers.list(folder, behind, !whole))
    return this.#cache.asOf(askedMs, () => {
      const self = this.#noteNode(folder, page.folder)
      const entries = page.entries.map((listed) => this.#noteListed(folder, listed, whole))
      if (page.undecided.size > 0) this.#lease.forgetAll()
      else this.#cache.setListed(folder, behind, page.end, page.more)
      return { page, self, entries }
    })
  }

  #paysToRead(folder: number): boolean {
    if (this.#beingRead.has(folder)) return true
    if (this.#lease.aloneSinceMs === undefined) return false
    const summary = this.#cache.anyNode(folder)?.folder
    return summary != null && this.#lookups.paysToRead(folder, summary.live)
  }

  /** Resolves when the folder is in the cache, or will not be; never rejects. */
  #readToEnd(folder: number): Promise<void> {
    const running = this.#beingRead.get(folder)
    if (running !== undefined) return running
    const live = this.#cache.anyNode(folder)?.folder?.live ?? 0
    const pagesMax = 2 + live / limits.knownNamesPerPageMin
    const read = async (): Promise<boolean> => {
      let end = ''
      for (let count = 0; count < pagesMax; count += 1) {
        const { page } = await this.#page(folder, end, true)
        if (page.undecided.size > 0) return false
        if (!page.more) return true
        end = page.end
      }
      return false
    }
    // Whoever asked for a name asks for it alone then, and hears what is wrong.
    const done = read()
      .catch(() => false)
      .then((isKnown) => {
        this.#beingRead.delete(folder)
        this.#lookups.wasRead(folder, isKnown)
      })
    this.#beingRead.set(folder, done)
    return done
  }

  /** A name whose inode went while the folder was read: as it is now, undefined when it is gone. */
  async #listedAgain(folder: number, { name }: ListedName): Promise<ListedName | undefined> {
    try {
      const node = await this.lookup(folder, name)
      const type = node.inode.mode >> 12
      return { name, ino: node.ino, type, node, incomplete: false }
    } catch (error) {
      if (error instanceof DfsError && error.code === 'notFound') return undefined
      throw error
    }
  }

  // -- changing ----------------------------------------------------------------------------------

  /** Makes a file, folder, link or node. Throws `exists`, `notFound` when the folder is gone. */
  create(parent: number, name: string, attributes: NewAttributes): Promise<Node> {
    assertName(name)
    return this.#change([entryKey(parent, name)], [inodeKey(parent)], async (fresh) => {
      const inode = newInode(attributes, parent, this.#cluster.clock.time())
      return this.#creation({ parent, name, ino: this.#newIno(), inode }, attributes.inline, fresh)
    })
  }

  /**
   * As `create`, for a file that is about to be written to. Where this client is alone, the file is
   * stored together with its first content, or a moment later: `store` waits for that. Until then
   * only this client knows of it, and it is gone with this client.
   */
  async createSoon(parent: number, name: string, attributes: NewAttributes): Promise<Node> {
    assertName(name)
    if (this.#lease.aloneSinceMs === undefined) return this.create(parent, name, attributes)
    const node = await this.#locks.hold([entryKey(parent, name)], [inodeKey(parent)], async () => {
      this.#transactions.assertWritable()
      const folder = await this.#folder(parent, false)
      const place = this.#certain(parent, name)
      if (place !== undefined && place !== null) throw new DfsError('exists')
      // Nobody else can make the name now; what they made before would be known here.
      if (place === undefined || this.#cache.certainNode(folder.ino) === undefined) return undefined
      const inode = newInode(attributes, parent, this.#cluster.clock.time())
      const id = this.#cluster.versions.next()
      const born = { ino: this.#newIno(), version: id, inode, folder: null }
      this.#newborn.add({ parent, name, node: born })
      this.#touch(parent, id, undefined, { ino: born.ino, type: attributes.mode >> 12 })
      return born
    })
    return node ?? (await this.create(parent, name, attributes))
  }

  /** Resolves when what `createSoon` made (one file, or all of them) is stored. */
  async store(ino?: number): Promise<void> {
    if (ino === undefined) await this.#newborn.settle()
    else if (this.#newborn.get(ino) !== undefined) await this.#bear(ino)
  }

  /** What makes a name and its inode. Throws `exists`. */
  async #creation(
    { parent, name, ino, inode }: NewFile,
    inline: PreparedSegment | undefined,
    fresh: boolean,
  ): Promise<Plan<Node>> {
    const entry = entryKey(parent, name)
    const type = inode.mode >> 12
    const folder = await this.#folder(parent, fresh)
    const place = await this.#entryForCreate(parent, name, fresh)
    if (place.ino !== null) throw new DfsError('exists')
    return {
      inline,
      body: {
        writes: [
          { key: entry, value: encodeEntry({ ino, type }) },
          { key: inodeKey(ino), value: encodeInode(inode) },
        ],
        preconditions: [
          { key: entry, absent: true, version: place.version },
          { key: inodeKey(ino), absent: true, version: noVersion },
          exactly(folder),
        ],
        emptyFolders: [],
      },
      done: (id) => {
        this.#writeEntry(parent, name, id, ino, type)
        if (typeOf(inode.mode) === fileType.folder) this.#cache.setEmpty(ino)
        return this.#writeNode(ino, id, inode)
      },
    }
  }

  /** PUT of a whole file: makes it, or replaces the content of the file that has the name. */
  async replace(parent: number, name: string, attributes: NewAttributes): Promise<Node> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      try {
        const { ino, inode } = await this.lookup(parent, name)
        if (typeOf(inode.mode) === fileType.folder) throw new DfsError('isDirectory')
        if (typeOf(inode.mode) !== fileType.file) throw new DfsError('exists')
        return await this.#rewrite(
          ino,
          (old, now) => ({
            ...old,
            ...(attributes.content ?? emptyContent),
            mode: attributes.mode,
            mtime: attributes.mtime ?? now,
            ctime: now,
          }),
          { inline: attributes.inline },
        )
      } catch (error) {
        if (!isGone(error)) throw error
      }
      try {
        return await this.create(parent, name, attributes)
      } catch (error) {
        if (!(error instanceof DfsError && error.code === 'exists')) throw error
      }
    }
    throw new DfsError('busy', 'the name changes faster than it can be replaced')
  }

  /**
   * Removes a name. The inode goes with its last name, unless `keep` says that it is in use: then it
   * stays with nlink 0 until `forget`. Returns the inode as it is afterwards.
   */
  unlink(parent: number, name: string, keep: Keep = never): Promise<Node> {
    assertName(name)
    const entry = entryKey(parent, name)
    return this.#changeStored([[parent, name]], [entry], [], async (fresh) => {
      const found = await this.#existing(parent, name, fresh)
      const node = await this.#nodeForChange(found.ino, fresh)
      if (typeOf(node.inode.mode) === fileType.folder) throw new DfsError('isDirectory')
      const change = this.#droppedLink(node, keep)
      return {
        body: {
          writes: [{ key: entry, value: null }, change.write],
          preconditions: [{ key: entry, absent: false, version: found.version }, exactly(node)],
          emptyFolders: [],
        },
        done: (id) => {
          this.#writeEntry(parent, name, id, null, 0)
          return change.done(id)
        },
      }
    })
  }

  /**
   * Writes the files that are kept without a name again, once an hour at most, so that they are not
   * taken for those of a mount that died.
   */
  async renewKept(everyMs: number = limits.orphanRenewalMs): Promise<void> {
    const nowMs = this.#cluster.clock.monotonic()
    if (nowMs - this.#renewedMs < everyMs) return
    this.#renewedMs = nowMs
    for (const ino of this.#kept) {
      try {
        await this.#rewrite(ino, (inode) => inode)
      } catch (error) {
        if (!isGone(error)) throw error
        this.#kept.delete(ino)
      }
    }
  }

  /** Deletes an inode that no name refers to any more. */
  async forget(ino: number): Promise<void> {
    this.#kept.delete(ino)
    await this.#change([inodeKey(ino)], [], async (fresh) => {
      const node = await this.#nodeForChange(ino, fresh)
      if (node.inode.nlink > 0) return undefined
      return {
        body: {
          writes: [{ key: inodeKey(ino), value: null }],
          preconditions: [exactly(node)],
          emptyFolders: [],
        },
        done: () => this.#cache.dropNode(ino),
      }
    }).catch((error: unknown) => {
      if (!isGone(error)) throw error
    })
  }

  /** Throws `notEmpty`, `notDirectory`. */
  async rmdir(parent: number, name: string): Promise<void> {
    assertName(name)
    const entry = entryKey(parent, name)
    await this.#newborn.settle()
    return this.#change([entry], [], async (fresh) => {
      const found = await this.#existing(parent, name, fresh)
      const node = await this.#nodeForChange(found.ino, fresh)
      if (typeOf(node.inode.mode) !== fileType.folder) throw new DfsError('notDirectory')
      return {
        body: {
          writes: [
            { key: entry, value: null },
            { key: inodeKey(node.ino), value: null },
          ],
          preconditions: [{ key: entry, absent: false, version: found.version }, exactly(node)],
          emptyFolders: [node.ino],
        },
        done: (id) => {
          this.#writeEntry(parent, name, id, null, 0)
          this.#cache.dropNode(node.ino)
        },
      }
    })
  }

  /** Gives a file another name. Throws `exists`, `notPermitted` for a folder, `tooManyLinks`. */
  async link(ino: number, parent: number, name: string): Promise<Node> {
    assertName(name)
    const entry = entryKey(parent, name)
    await this.store(ino)
    return this.#changeStored(
      [[parent, name]],
      [entry, inodeKey(ino)],
      [inodeKey(parent)],
      async (fresh) => {
        const folder = await this.#folder(parent, fresh)
        const place = await this.#entryForCreate(parent, name, fresh)
        if (place.ino !== null) throw new DfsError('exists')
        const node = await this.#nodeForChange(ino, fresh)
        if (typeOf(node.inode.mode) === fileType.folder) throw new DfsError('notPermitted')
        if (node.inode.nlink === 0) throw new DfsError('notFound')
        if (node.inode.nlink >= limits.linksMax) throw new DfsError('tooManyLinks')
        const inode = {
          ...node.inode,
          nlink: node.inode.nlink + 1,
          ctime: this.#cluster.clock.time(),
        }
        return {
          body: {
            writes: [
              { key: entry, value: encodeEntry({ ino, type: inode.mode >> 12 }) },
              { key: inodeKey(ino), value: encodeInode(inode) },
            ],
            preconditions: [
              { key: entry, absent: true, version: place.version },
              exactly(node),
              exactly(folder),
            ],
            emptyFolders: [],
          },
          done: (id) => {
            this.#writeEntry(parent, name, id, ino, inode.mode >> 12)
            return this.#writeNode(ino, id, inode)
          },
        }
      },
    )
  }

  /** rename(2) and renameat2(2). Returns the inode that lost its name, if one did. */
  rename(
    fromParent: number,
    fromName: string,
    toParent: number,
    toName: string,
    how: RenameHow,
    keep: Keep = never,
  ): Promise<{ readonly replaced: Node | undefined }> {
    assertName(fromName)
    assertName(toName)
    const from = entryKey(fromParent, fromName)
    const to = entryKey(toParent, toName)
    const folders = [inodeKey(fromParent), inodeKey(toParent)]
    const places = [[fromParent, fromName] as const, [toParent, toName] as const]
    return this.#changeStored(places, [from, to], folders, async (fresh) => {
      const source = await this.#existing(fromParent, fromName, fresh)
      // Asked for twice, the name could be there the first time and gone the second.
      const place = from === to ? source : await this.#entryForCreate(toParent, toName, fresh)
      if (how === 'noReplace' && place.ino !== null) throw new DfsError('exists')
      if (how === 'exchange' && place.ino === null) throw new DfsError('notFound')
      if (place.ino === source.ino) {
        // Two names of one file: POSIX has rename do nothing.
        return { body: undefined, result: { replaced: undefined } }
      }
      const moved = await this.#nodeForChange(source.ino, fresh)
      const target = place.ino === null ? undefined : await this.#nodeForChange(place.ino, fresh)
      const ancestors = await this.#assertMovable(moved, target, fromParent, toParent, how)
      const now = this.#cluster.clock.time()
      const writes = new Map<Key, Buffer | null>()
      const preconditions = new Map<Key, Precondition>()
      const effects: ((id: Version) => void)[] = []
      const require = (precondition: Precondition): void => {
        preconditions.set(precondition.key, precondition)
      }
      const relocate = (node: Node, parent: number): void => {
        const isFolder = typeOf(node.inode.mode) === fileType.folder
        const inode = { ...node.inode, ctime: now, parent: isFolder ? parent : 0 }
        require(exactly(node))
        writes.set(inodeKey(node.ino), encodeInode(inode))
        effects.push((id) => this.#writeNode(node.ino, id, inode, node.folder))
      }
      require({ key: from, absent: false, version: source.version })
      require({ key: to, absent: place.ino === null, version: place.version })
      require(exactly(await this.#folder(toParent, fresh)))
      for (const ancestor of ancestors) require(exactly(ancestor))
      writes.set(to, encodeEntry({ ino: source.ino, type: source.type }))
      relocate(moved, toParent)
      let replaced: Node | undefined
      const emptyFolders: number[] = []
      if (how === 'exchange' && target !== undefined && place.ino !== null) {
        require(exactly(await this.#folder(fromParent, fresh)))
        writes.set(from, encodeEntry({ ino: place.ino, type: place.type }))
        relocate(target, fromParent)
      } else {
        writes.set(from, null)
        if (target !== undefined) {
          require(exactly(target))
          if (typeOf(target.inode.mode) === fileType.folder) {
            emptyFolders.push(target.ino)
            writes.set(inodeKey(target.ino), null)
            effects.push(() => this.#cache.dropNode(target.ino))
          } else {
            const change = this.#droppedLink(target, keep)
            writes.set(change.write.key, change.write.value)
            effects.push((id) => {
              replaced = change.done(id)
            })
          }
        }
      }
      return {
        body: {
          writes: [...writes].map(([key, value]) => ({ key, value })),
          preconditions: [...preconditions.values()],
          emptyFolders,
        },
        done: (id) => {
          for (const effect of effects) effect(id)
          const swapped = how === 'exchange' ? place.ino : null
          this.#writeEntry(fromParent, fromName, id, swapped, swapped === null ? 0 : place.type)
          this.#writeEntry(toParent, toName, id, source.ino, source.type)
          return { replaced }
        },
      }
    })
  }

  /** Changes attributes; `change` is called with the latest inode, perhaps more than once. */
  async update(ino: number, change: (inode: Inode, now: Time) => Inode): Promise<Node> {
    const newborn = this.#newborn.get(ino)
    if (newborn === undefined || newborn.isOnItsWay) return this.#rewrite(ino, change)
    const inode = change(newborn.node.inode, this.#cluster.clock.time())
    newborn.node = { ...newborn.node, inode }
    return newborn.node
  }

  /**
   * The commit at close: replaces the content that was read as `base` by `content`. Attributes that
   * others changed meanwhile are kept, and so is an mtime that was set since `base` was read; the
   * last close wins. `onDisk`: this change is on the disks of three servers when it resolves. Throws
   * `stale` when the file is gone.
   */
  writeContent(
    ino: number,
    base: Node,
    content: Content,
    times: { readonly mtime: Time; readonly ctime: Time },
    { inline, onDisk = false }: Pick<Rewriting, 'inline' | 'onDisk'> = {},
  ): Promise<Node> {
    return this.#rewrite(
      ino,
      (inode) => ({
        ...inode,
        size: content.size,
        segments: content.segments,
        extents: content.extents,
        mtime:
          compareTimes(inode.mtime, base.inode.mtime) === 0 ||
          compareTimes(inode.mtime, times.mtime) < 0
            ? times.mtime
            : inode.mtime,
        ctime: times.ctime,
      }),
      { inline, onDisk, check: (node) => this.#assertStored(node, content, inline) },
    )
  }

  /** Makes the root folder of a new account. Resolves when there is one, whoever made it. */
  async makeRoot(): Promise<void> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      if (await this.#makeRootOnce()) return
      // Several clients that begin at once can keep one another from it.
      await sleep(this.#cluster.clock, randomBelow(this.#cluster.random, 20 << attempt))
    }
    throw new DfsError('busy', 'the root folder could not be made')
  }

  async #makeRootOnce(): Promise<boolean> {
    const [register] = await this.#registers.read([inodeKey(rootIno)])
    if (register === undefined || register.value !== null) return true
    const inode = newInode(
      { mode: fileType.folder | 0o755, uid: processId('uid'), gid: processId('gid') },
      rootIno,
      this.#cluster.clock.time(),
    )
    const key = inodeKey(rootIno)
    const { committed } = await this.#transactions.commit({
      writes: [{ key, value: encodeInode(inode) }],
      preconditions: [{ key, absent: true, version: register.version }],
      emptyFolders: [],
    })
    return committed
  }

  // -- what is stored a moment later -------------------------------------------------------------

  /** Stores a file that `createSoon` made, unless somebody else has done it meanwhile. */
  async #bear(ino: number): Promise<void> {
    await this.#rewrite(ino, (inode) => inode, { onlyNewborn: true })
  }

  /** As `#change`, once what these names stand for is stored. */
  async #changeStored<T>(
    places: readonly (readonly [parent: number, name: string])[],
    exclusive: readonly Key[],
    shared: readonly Key[],
    plan: (fresh: boolean) => Promise<Planned<T>>,
  ): Promise<T> {
    for (const [parent, name] of places) {
      const newborn = this.#newborn.at(parent, name)
      if (newborn !== undefined) await this.#bear(newborn.node.ino)
    }
    return this.#change(exclusive, shared, plan)
  }

  /** What is certain of a name: its node, null when there is none, undefined when nothing is. */
  #certain(parent: number, name: string): Node | null | undefined {
    const newborn = this.#newborn.at(parent, name)
    if (newborn !== undefined) return newborn.node
    const entry = this.#cache.certainEntry(parent, name)
    if (entry === undefined) return undefined
    return entry.ino === null ? null : this.#cache.certainNode(entry.ino)
  }

  /** The answer, and when it was asked for. */
  async #asked<T>(ask: () => Promise<T>): Promise<readonly [askedMs: number, answer: T]> {
    const askedMs = this.#cluster.clock.monotonic()
    return [askedMs, await ask()]
  }

  // -- the loop of every change ------------------------------------------------------------------

  /**
   * Plans, commits, and when somebody else was faster plans again from fresh values. A plan without a
   * body has nothing to do.
   */
  #change<T>(
    exclusive: readonly Key[],
    shared: readonly Key[],
    plan: (fresh: boolean) => Promise<Planned<T>>,
  ): Promise<T> {
    return this.#locks.hold(exclusive, shared, async () => {
      const startedMs = this.#cluster.clock.monotonic()
      for (let attempt = 0; ; attempt += 1) {
        this.#transactions.assertWritable()
        const planned = await this.#planned(plan, attempt > 0).catch((error: unknown) => {
          // What fewer servers say may be old, and must not be the reason for a refusal.
          this.#transactions.assertWritable()
          // The name was there and its file was gone a moment later: somebody removed both.
          const isEntry = exclusive[0]?.startsWith('e') === true
          throw isEntry && isError(error, 'stale') ? new DfsError('notFound') : error
        })
        if (planned === undefined) return undefined as T
        if (planned.body === undefined) return planned.result
        const { body, inline, onDisk } = planned
        const [askedMs, outcome] = await this.#asked(() =>
          this.#transactions.commit(body, inline, onDisk),
        )
        if (outcome.committed) {
          return this.#cache.asOf(askedMs, () => planned.done(outcome.id))
        }
        if (outcome.why === 'notEmpty') throw new DfsError('notEmpty')
        this.#doubt(outcome.key)
        const elapsedMs = this.#cluster.clock.monotonic() - startedMs
        if (attempt >= attemptsMax || elapsedMs > limits.transactionPatienceMs) {
          throw new DfsError('busy', 'others change the same names all the time')
        }
      }
    })
  }

  /**
   * What was known of `key` was wrong, which cannot be as long as we are alone: but a transaction that
   * a dead client left undecided may have been decided. A name that was not there may have been
   * removed before our time, and is no reason to doubt the rest.
   */
  #doubt(key: Key): void {
    const parsed = parseKey(key)
    const isAbsence =
      parsed.kind === 'entry' && this.#cache.anyEntry(parsed.parent, parsed.name)?.ino == null
    if (!isAbsence) this.#lease.forgetAll()
  }

  /** What a plan refuses from cached values it must refuse from fresh ones too. */
  async #planned<P>(plan: (fresh: boolean) => Promise<P>, fresh: boolean): Promise<P> {
    try {
      return await plan(fresh)
    } catch (error) {
      if (fresh || !(error instanceof DfsError)) throw error
      return await plan(true)
    }
  }

  #rewrite(
    ino: number,
    change: (inode: Inode, now: Time) => Inode,
    { inline, onDisk = false, check, onlyNewborn = false }: Rewriting = {},
  ): Promise<Node> {
    const place = this.#newborn.get(ino)
    const exclusive = place === undefined ? [] : [entryKey(place.parent, place.name)]
    const shared = place === undefined ? [] : [inodeKey(place.parent)]
    const done = this.#change([...exclusive, inodeKey(ino)], shared, async (fresh) => {
      const newborn = this.#newborn.get(ino)
      if (newborn !== undefined) {
        await check?.(newborn.node)
        return { ...(await this.#birth(newborn, change, inline, fresh)), onDisk }
      }
      const node = await this.#nodeForChange(ino, fresh)
      if (onlyNewborn) return { body: undefined, result: node }
      await check?.(node)
      const inode = change(node.inode, this.#cluster.clock.time())
      return {
        inline,
        onDisk,
        body: {
          writes: [{ key: inodeKey(ino), value: encodeInode(inode) }],
          preconditions: [exactly(node)],
          emptyFolders: [],
        },
        done: (id) => this.#writeNode(ino, id, inode, node.folder),
      }
    })
    return done.finally(() => {
      if (place !== undefined) place.isOnItsWay = false
    })
  }

  /** A file that was made here is stored, with what it has got since. */
  async #birth(
    newborn: NewbornFile,
    change: (inode: Inode, now: Time) => Inode,
    inline: PreparedSegment | undefined,
    fresh: boolean,
  ): Promise<Plan<Node>> {
    const { parent, name, node } = newborn
    newborn.isOnItsWay = true
    const inode = change(node.inode, this.#cluster.clock.time())
    try {
      const plan = await this.#creation({ parent, name, ino: node.ino, inode }, inline, fresh)
      return {
        ...plan,
        done: (id) => {
          this.#newborn.delete(node.ino)
          return plan.done(id)
        },
      }
    } catch (error) {
      // Another client was let in before it could be stored: the name is theirs.
      if (fresh && isError(error, 'exists', 'notFound')) this.#newborn.delete(node.ino)
      throw error
    }
  }

  /**
   * A commit must not refer to what is gone: when another client replaced the content that ours
   * builds upon, the servers may have collected it. Throws `stale` then. What the file refers to now
   * and what travels inside the commit need not be asked for.
   */
  async #assertStored(
    node: Node,
    content: Content,
    inline: PreparedSegment | undefined,
  ): Promise<void> {
    const current = new Set(node.inode.segments.map(({ id }) => id))
    const asked = content.segments.filter(({ id }) => !current.has(id) && id !== inline?.segment.id)
    if (asked.length === 0) return
    const segments = asked.map(({ id }) => id)
    const enough = limits.serverCount - 1
    const { up } = this.#cluster
    const outcomes = await this.#cluster.askEnough(enough, up, 'held', () => ({ segments }))
    const held = outcomes.flatMap(({ answer }) => answer?.reply ?? [])
    // Of what is on two servers, three that answer have something; fewer prove nothing.
    if (held.length < enough) throw new DfsError('readOnly')
    const isThere = (segment: Segment, index: number): boolean =>
      isReadableFrom(
        segment,
        held.map((reply) => reply.held[index]?.pieces ?? 0),
      )
    if (!asked.every(isThere)) {
      throw new DfsError('stale', 'another client replaced the file that was written to')
    }
  }

  /** The write that takes one name away from a file. */
  #droppedLink(
    node: Node,
    keep: Keep,
  ): { write: { key: Key; value: Buffer | null }; done: (id: Version) => Node } {
    const nlink = Math.max(0, node.inode.nlink - 1)
    const inode = { ...node.inode, nlink, ctime: this.#cluster.clock.time() }
    const key = inodeKey(node.ino)
    if (nlink === 0 && !keep(node.ino)) {
      return {
        write: { key, value: null },
        done: (id) => {
          this.#cache.dropNode(node.ino)
          return { ino: node.ino, version: id, inode, folder: null }
        },
      }
    }
    return {
      write: { key, value: encodeInode(inode) },
      done: (id) => {
        if (nlink === 0) this.#kept.add(node.ino)
        return this.#writeNode(node.ino, id, inode)
      },
    }
  }

  /**
   * The rules of rename(2) about kinds and loops. A folder that changes its parent must not move
   * into itself: the chain of folders above the target, which the commit depends on, is returned.
   */
  async #assertMovable(
    moved: Node,
    target: Node | undefined,
    fromParent: number,
    toParent: number,
    how: RenameHow,
  ): Promise<Node[]> {
    const movesFolder = typeOf(moved.inode.mode) === fileType.folder
    const meetsFolder = target !== undefined && typeOf(target.inode.mode) === fileType.folder
    if (target !== undefined && how === 'replace') {
      if (movesFolder && !meetsFolder) throw new DfsError('notDirectory')
      if (!movesFolder && meetsFolder) throw new DfsError('isDirectory')
    }
    if (fromParent === toParent) return []
    const ancestors = movesFolder ? await this.#ancestors(toParent, moved.ino) : []
    if (how !== 'exchange' || !meetsFolder || target === undefined) return ancestors
    return [...ancestors, ...(await this.#ancestors(fromParent, target.ino))]
  }

  /** The folders from `folder` up to the root; throws `invalid` when `not` is among them. */
  async #ancestors(folder: number, not: number): Promise<Node[]> {
    const chain: Node[] = []
    for (let ino = folder; ; ) {
      if (ino === not) throw new DfsError('invalid')
      const node = await this.#nodeForChange(ino, true)
      chain.push(node)
      if (ino === rootIno || chain.length >= limits.transactionPreconditionsMax / 2) return chain
      ino = node.inode.parent
    }
  }

  // -- what a change starts from -----------------------------------------------------------------

  async #nodeForChange(ino: number, fresh: boolean): Promise<Node> {
    return (fresh ? undefined : this.#cache.anyNode(ino)) ?? this.#askForNode(ino)
  }

  async #folder(ino: number, fresh: boolean): Promise<Node> {
    try {
      const node = await this.#nodeForChange(ino, fresh)
      if (typeOf(node.inode.mode) !== fileType.folder) throw new DfsError('notDirectory')
      return node
    } catch (error) {
      if (error instanceof DfsError && error.code === 'stale') throw new DfsError('notFound')
      throw error
    }
  }

  async #entryForCreate(parent: number, name: string, fresh: boolean): Promise<EntryView> {
    const cached = fresh ? undefined : this.#cache.anyEntry(parent, name)
    if (cached !== undefined) return cached
    if (!fresh && this.#cache.certainEntry(parent, name) !== undefined) return absentEntry
    const [askedMs, [step]] = await this.#asked(() => this.#registers.lookup(parent, [name]))
    if (step === undefined) return absentEntry
    this.#cache.asOf(askedMs, () => this.#noteStep(parent, name, step.entry, step.inode))
    return viewOf(step.entry)
  }

  async #existing(parent: number, name: string, fresh: boolean): Promise<FoundEntry> {
    const entry = await this.#entryForCreate(parent, name, fresh)
    if (entry.ino === null) throw new DfsError('notFound')
    return { ...entry, ino: entry.ino }
  }

  /**
   * 53 bits: the time in steps of 64 ms, which comes round after six days, and 30 random ones. Files
   * made together are then neighbours in the servers' indexes, which spares them many pages.
   */
  #newIno(): number {
    const step = Math.floor(this.#cluster.clock.now() / 64) % 2 ** 23
    const chance = this.#cluster.random.bytes(4).readUInt32BE(0) % 2 ** 30
    return Math.max(rootIno + 1, step * 2 ** 30 + chance)
  }

  // -- keeping the cache -------------------------------------------------------------------------

  #noteStep(
    parent: number,
    name: string,
    entry: QuorumRegister,
    inode: QuorumRegister | undefined,
  ): Node | undefined {
    const view = viewOf(entry)
    this.#cache.setEntry(parent, name, view)
    if (view.ino === null || inode === undefined) return undefined
    return this.#noteNode(view.ino, inode)
  }

  #noteNode(ino: number, register: QuorumRegister): Node | undefined {
    if (register.value === null) {
      this.#cache.dropNode(ino)
      return undefined
    }
    const node = nodeOf(ino, register.version, decodeInode(register.value), register.folder)
    this.#cache.setNode(node)
    return node
  }

  #noteListed(
    folder: number,
    { name, entry, inode, held }: QuorumEntry,
    whole: boolean,
  ): ListedName {
    const view = viewOf(entry)
    this.#cache.setEntry(folder, name, view)
    const ino = view.ino ?? 0
    const node = inode === undefined ? undefined : this.#noteNode(ino, inode)
    const incomplete =
      node === undefined ||
      (!whole && node.inode.segments.some((s, i) => !isReadableFrom(s, [held[i] ?? 0])))
    return { name, ino, type: view.type, node, incomplete }
  }

  /** After an own commit: what was just written is what is there. */
  #writeEntry(parent: number, name: string, id: Version, ino: number | null, type: number): void {
    const before = this.#cache.anyEntry(parent, name)
    this.#cache.setEntry(parent, name, { version: id, ino, type })
    this.#touch(parent, id, before, { ino, type })
  }

  /** A folder's entry has become `after`. */
  #touch(
    parent: number,
    id: Version,
    before: Pick<EntryView, 'ino' | 'type'> | undefined,
    after: Pick<EntryView, 'ino' | 'type'>,
  ): void {
    const folder = this.#cache.anyNode(parent)
    if (folder?.folder) {
      const summary = summaryAfter(folder.folder, id, before, after)
      this.#cache.replaceNode(nodeOf(parent, folder.version, folder.inode, summary))
    }
  }

  #writeNode(ino: number, id: Version, inode: Inode, folder: Node['folder'] = null): Node {
    const isFolder = typeOf(inode.mode) === fileType.folder
    const summary = isFolder ? (folder ?? { touched: noVersion, live: 0, subfolders: 0 }) : null
    const node: Node = { ino, version: id, inode, folder: summary }
    this.#cache.setNode(node)
    return node
  }
}

function viewOf(entry: QuorumRegister): EntryView {
  if (entry.value === null) return { version: entry.version, ino: null, type: 0 }
  return { version: entry.version, ...decodeEntry(entry.value) }
}

function exactly(node: Node): Precondition {
  return { key: inodeKey(node.ino), absent: false, version: node.version }
}

function isGone(error: unknown): boolean {
  return error instanceof DfsError && (error.code === 'notFound' || error.code === 'stale')
}

function assertName(name: string): void {
  if (Buffer.byteLength(name) > limits.nameBytesMax) throw new DfsError('nameTooLong')
  if (!isEntryName(name)) throw new DfsError('invalid', `"${name}" cannot be a name`)
  if (!name.isWellFormed()) throw new DfsError('illegalName')
}

function newInode(attributes: NewAttributes, parent: number, now: Time): Inode {
  const isFolder = typeOf(attributes.mode) === fileType.folder
  const target = attributes.target ?? ''
  const content = attributes.content ?? emptyContent
  return {
    mode: attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    nlink: 1,
    size: target === '' ? content.size : Buffer.byteLength(target),
    rdev: attributes.rdev ?? 0,
    parent: isFolder ? parent : 0,
    atime: attributes.mtime ?? now,
    mtime: attributes.mtime ?? now,
    ctime: now,
    btime: now,
    target,
    attributes: attributes.attributes ?? [],
    segments: content.segments,
    extents: content.extents,
  }
}

function processId(kind: 'uid' | 'gid'): number {
  return (kind === 'uid' ? process.getuid?.() : process.getgid?.()) ?? 0
}
