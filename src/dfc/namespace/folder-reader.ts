/**
 * Reads folders page by page into the cache: for a listing, and to the end where that is cheaper than looking up one
 * name after the other.
 */
import { KeyedSingleFlight } from '../../async/single-flight.js'
import { compareTexts } from '../../byte-text.js'
import { limits } from '../../limits.js'
import { Listeners } from '../../listeners.js'
import { debugDfc } from '../../log.js'
import { isReadableFrom } from '../../wire/placement.js'
import { decodeEntry } from '../../wire/records.js'
import type { Lease } from '../quorum/lease.js'
import type { FolderPageSeen, QuorumEntry, Registers } from '../quorum/registers.js'
import { LookupCounts } from './cache/lookup-counts.js'
import { canBeIn, type ListedName, type Node } from './cache/node.js'
import type { CacheMoment, NodeCache } from './cache/node-cache.js'
import type { LocalLog } from './local-log.js'

export interface FolderPage {
  /** The moment before the servers were asked. */
  readonly asked: CacheMoment
  /** The folder itself; undefined when it is gone. */
  readonly self: Node | undefined
  readonly entries: readonly ListedName[]
  /** Names whose inode was removed or moved while the page was read. */
  readonly changing: readonly ListedName[]
  /** The page goes up to this name. */
  readonly end: string
  readonly more: boolean
  /** Names that cannot be decided while two servers are away. */
  readonly undecided: ReadonlySet<string>
}

export type FolderReadListener = (folder: number, names: readonly ListedName[]) => void

export class FolderReader {
  readonly #reads = new Listeners<Parameters<FolderReadListener>>()
  readonly #registers: Registers
  readonly #lease: Pick<Lease, 'use' | 'forgetAll'>
  readonly #cache: NodeCache
  readonly #log: LocalLog
  readonly #lookups = new LookupCounts()
  readonly #reading = new KeyedSingleFlight<number, void>()

  constructor(
    registers: Registers,
    lease: Pick<Lease, 'use' | 'forgetAll'>,
    cache: NodeCache,
    log: LocalLog,
  ) {
    this.#registers = registers
    this.#lease = lease
    this.#cache = cache
    this.#log = log
  }

  /**
   * Calls `listener` when a folder was read to its end after look-ups in it, if one page holds all names. Returns a
   * function that stops the calls.
   */
  onRead(listener: FolderReadListener): () => void {
    return this.#reads.add(listener)
  }

  /**
   * Reads the names greater than `after` that fit into a page. `whole` says that the voting servers have every piece
   * between them, so that no file needs to be checked for missing pieces.
   */
  async page(folder: number, after: string, whole: boolean): Promise<FolderPage> {
    const { moment, answer } = await this.#log.askForNames([folder], () =>
      this.#registers.list(folder, after, !whole),
    )
    return this.#noted(folder, after, whole, moment, answer)
  }

  /** Notes a page that was read in the cache. */
  #noted(
    folder: number,
    after: string,
    whole: boolean,
    asked: CacheMoment,
    page: FolderPageSeen,
  ): FolderPage {
    const { end, more } = page
    const { atMs } = asked
    const isInside = (name: string): boolean =>
      compareTexts(name, after) > 0 && (!more || compareTexts(name, end) <= 0)
    const self = this.#cache.noteNode(folder, page.folder, atMs)
    const undecided = new Set([
      ...page.undecided,
      ...this.#cache.undecidedIn(folder).filter(isInside),
      ...page.entries.filter((one) => this.#isUndecided(one)).map(({ name }) => name),
    ])
    const decided = page.entries.filter(({ name }) => !undecided.has(name))
    const listed = decided.map((entry) => this.#note(folder, entry, whole, atMs))
    const entries = this.#withOwn(folder, atMs, listed, isInside)
    const changing = listed.filter(
      ({ node }, index) =>
        decided[index]?.inode?.value === null || (node && !canBeIn(node, folder)),
    )
    if (undecided.size > 0) this.#lease.forgetAll()
    else {
      const isKept = whole && entries.every(({ incomplete }) => !incomplete)
      const names = isKept ? entries.map(({ name }) => name) : undefined
      this.#cache.setListed(folder, after, end, more, atMs, names)
    }
    return { asked, self, entries, changing, end, more, undecided }
  }

  /** Applies to a part of a listing what this client has changed and the answer of the servers may not have. */
  #withOwn(
    folder: number,
    askedMs: number,
    listed: readonly ListedName[],
    isInside: (name: string) => boolean,
  ): readonly ListedName[] {
    const own = this.#cache.changedIn(folder, askedMs).filter(({ name }) => isInside(name))
    if (own.length === 0) return listed
    const changed = new Set(own.map(({ name }) => name))
    const added = own.flatMap(({ name, entry: { ino, type } }) => {
      if (ino === null) return []
      return [{ name, ino, type, node: this.#cache.staleNode(ino), incomplete: false }]
    })
    const all = [...listed.filter(({ name }) => !changed.has(name)), ...added]
    return all.sort((one, other) => compareTexts(one.name, other.name))
  }

  /** Whether to read the folder to its end now that one of its names has to be asked for. */
  paysToRead(folder: number): boolean {
    if (this.#reading.isRunning(folder)) return true
    if (this.#lease.use() === undefined) return false
    const summary = this.#cache.staleNode(folder)?.folder
    return summary != null && this.#lookups.paysToRead(folder, summary.live)
  }

  /** Whether the folder is being read to its end. */
  isBeingRead(folder: number): boolean {
    return this.#reading.isRunning(folder)
  }

  /**
   * Reads a folder into the cache. Resolves also when that fails; never rejects.
   */
  readToEnd(folder: number): Promise<void> {
    return this.#reading.run(folder, async () => {
      // The look-up of the single name follows, and throws the failure.
      const isKnown = await this.#readAll(folder).catch(() => false)
      this.#lookups.wasRead(folder, isKnown)
    })
  }

  /**
   * Reads small folders into the cache before anything in them is asked for, many with one request. What it does not
   * find is read when it is needed.
   */
  readAhead(folders: readonly number[]): void {
    const wanted = folders.filter((folder) => !this.#reading.isRunning(folder))
    for (let at = 0; at < wanted.length; at += limits.listFoldersMax) {
      const some = wanted.slice(at, at + limits.listFoldersMax)
      const reading = this.#readTogether(some).catch((error: unknown) => {
        debugDfc('read ahead: %o', error)
      })
      for (const folder of some) void this.#reading.run(folder, () => reading)
    }
  }

  async #readTogether(folders: readonly number[]): Promise<void> {
    const { moment, answer } = await this.#log.askForNames(folders, () =>
      this.#registers.listFolders(folders),
    )
    for (const [index, page] of answer.entries()) {
      const folder = folders[index]
      if (folder !== undefined && page !== undefined) this.#noted(folder, '', true, moment, page)
    }
  }

  async #readAll(folder: number): Promise<boolean> {
    const live = this.#cache.staleNode(folder)?.folder?.live ?? 0
    const pagesMax = 2 + live / limits.knownNamesPerPageMin
    let after = ''
    for (let count = 0; count < pagesMax; count += 1) {
      const { entries, end, more, undecided } = await this.page(folder, after, true)
      if (undecided.size > 0) return false
      if (!more && count === 0) this.#reads.call(folder, entries)
      if (!more) return true
      after = end
    }
    return false
  }

  /** Whether it is undecided what the inode of the name is. */
  #isUndecided({ entry: { value } }: QuorumEntry): boolean {
    return value !== null && this.#cache.isUndecided(decodeEntry(value).ino)
  }

  #note(
    folder: number,
    { name, entry, inode, held, lost }: QuorumEntry,
    whole: boolean,
    askedMs: number,
  ): ListedName {
    const { entry: view, node } = this.#cache.noteStep(folder, name, entry, inode, askedMs)
    const incomplete =
      node === undefined ||
      lost ||
      (!whole && node.inode.segments.some((s, i) => !isReadableFrom(s, [held[i] ?? 0])))
    return { name, ino: view.ino ?? 0, type: view.type, node, incomplete }
  }
}
