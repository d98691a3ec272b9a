/**
 * The names and attributes of a user's files: POSIX over registers. Every change is one transaction with
 * preconditions on the values it was derived from, and is tried again with fresh values when another client was
 * faster. Files are identified by inode number; paths are resolved by the caller.
 */
import type { Time } from '../../clock.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { entryKey, fileType, type Inode, inodeKey, typeOf } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import { type Content, emptyContent } from '../content/content.js'
import type { MakesRoom } from '../content/segment-writer.js'
import type { Lease } from '../quorum/lease.js'
import type { Node } from './cache/node.js'
import { NodeCache } from './cache/node-cache.js'
import { Changes } from './changes.js'
import type { FolderReadListener } from './folder-reader.js'
import {
  type ContentTimes,
  type HowWritten,
  type InodeChange,
  InodeChanges,
} from './inode-changes.js'
import type { Journal } from './journal.js'
import { LocalLog, type LocalLogOptions, type LogDepth } from './local-log.js'
import { assertName, Lookup } from './lookup.js'
import { type IsOpen, OpenOrphans } from './open-orphans.js'
import { planCreation } from './plans/creation.js'
import { planDeletion } from './plans/deletion.js'
import { type Linking, planLink } from './plans/link.js'
import { planNamelessCreation } from './plans/nameless-creation.js'
import { type NewAttributes, newIno, newInode } from './plans/new-inode.js'
import { planRename, type Renamed, type RenameHow } from './plans/rename.js'
import { planRmdir } from './plans/rmdir.js'
import type { Sources } from './plans/sources.js'
import { planStrayName } from './plans/stray-name.js'
import { planUnlink } from './plans/unlink.js'
import { Trash } from './trash.js'
import { TrashFolder } from './trash-folder.js'

const never: IsOpen = () => false

export class Namespace {
  /** Reads names and inodes. The methods of this class change them. */
  readonly names: Lookup
  /** The trash: it keeps what was removed or replaced for a while. */
  readonly trash: Trash
  readonly #cluster: Cluster
  readonly #lease: Pick<Lease, 'exclusiveForMs' | 'use' | 'forgetAll' | 'onLost'>
  readonly #log: LocalLog
  readonly #cache: NodeCache
  readonly #changes: Changes
  readonly #inodes: InodeChanges
  readonly #orphans: OpenOrphans
  readonly #sources: Sources

  constructor({
    cluster,
    registers,
    transactions,
    lease,
    makeRoom,
    ...logging
  }: Omit<LocalLogOptions, 'cache' | 'lease'> & {
    readonly makeRoom?: MakesRoom
    readonly lease: Pick<Lease, 'exclusiveForMs' | 'use' | 'forgetAll' | 'onLost'>
  }) {
    const { clock } = cluster
    this.#cluster = cluster
    this.#lease = lease
    const cache = new NodeCache(clock, () => lease.use())
    const log = new LocalLog({ cluster, registers, transactions, lease, cache, ...logging })
    this.#log = log
    this.#cache = cache
    this.names = new Lookup(cluster, registers, lease, cache, log)
    this.#changes = new Changes(clock, transactions, lease, cache, log, makeRoom)
    this.#orphans = new OpenOrphans(clock)
    const trash = new TrashFolder({ cluster, registers, transactions })
    const { names } = this
    const orphans = this.#orphans
    this.#sources = { clock, random: cluster.random, names, cache, orphans, trash }
    this.#inodes = new InodeChanges(cluster, this.#sources, log, this.#changes)
    this.trash = new Trash(cluster, this.#sources, this.#changes)
  }

  /** How much is answered and not stored, and what the cache of names and inodes has been good for. */
  get figures(): { readonly log: LogDepth; readonly cache: NodeCache['figures'] } {
    return { log: this.#log.depth, cache: this.#cache.figures }
  }

  /**
   * Begins to answer changes before they are stored while this client is alone, which needs a journal; what is left in
   * that is stored first. Must be awaited before the first change.
   */
  begin(journal: Journal | undefined): Promise<void> {
    return this.#log.begin(journal)
  }

  /**
   * Returns since when no other client can have changed anything, on the monotonic clock; undefined when one can
   * have. Keeps the lease alive: see `Lease.use`.
   */
  useLease(): number | undefined {
    return this.#lease.use()
  }

  /**
   * Calls `listener` when the lease is about to be given up, so that other clients may change anything. Returns a
   * function that stops the calls.
   */
  onLeaseLost(listener: () => void): () => void {
    return this.#lease.onLost(listener)
  }

  /**
   * Calls `listener` when a small folder was read as a whole, after look-ups in it. Returns a function that stops the
   * calls.
   */
  onFolderRead(listener: FolderReadListener): () => void {
    return this.names.onFolderRead(listener)
  }

  // -- changing ----------------------------------------------------------------------------------

  /** Makes a file, folder, link or node. Throws `exists`, `notFound` when the folder is gone. */
  create(parent: number, name: string, attributes: NewAttributes): Promise<Node> {
    return this.#create(parent, name, attributes, false)
  }

  /** Makes a file or link, in the place of a file, link or node if one has the name. Throws `isDirectory`, `notFound`. */
  createInPlace(parent: number, name: string, attributes: NewAttributes): Promise<Node> {
    return this.#create(parent, name, attributes, true)
  }

  #create(
    parent: number,
    name: string,
    attributes: NewAttributes,
    mayReplace: boolean,
  ): Promise<Node> {
    assertName(name)
    return this.#changes.make([entryKey(parent, name)], [inodeKey(parent)], (fresh) => {
      const made = { parent, name, mayReplace, ...this.#new(attributes, parent) }
      const file = attributes.content === undefined ? undefined : { ino: made.ino, name }
      return planCreation(this.#sources, made, { inline: attributes.inline, file }, fresh)
    })
  }

  #new(attributes: NewAttributes, parent: number): { readonly ino: number; readonly inode: Inode } {
    const { clock, random } = this.#cluster
    return { ino: newIno(clock, random), inode: newInode(attributes, parent, clock.time()) }
  }

  /**
   * Creates a file without a name, like one whose last name was removed while it is open here: it stays with nlink 0
   * until `forget`, unless `link` gives it a name. Throws `notFound` when the folder is gone.
   */
  createNameless(parent: number, attributes: NewAttributes): Promise<Node> {
    return this.#changes.make([], [inodeKey(parent)], (fresh) =>
      planNamelessCreation(this.#sources, { parent, ...this.#new(attributes, parent) }, fresh),
    )
  }

  /** Throws, once, if a change of the file that was answered could not be stored. */
  assertKept(ino: number): void {
    this.#log.assertKept(ino)
  }

  /** Resolves when every answered change is stored. Throws the failure that prevents it. */
  settle(): Promise<void> {
    return this.#log.settle()
  }

  /** Does so, and throws, once, if an answered change could not be stored. */
  sync(): Promise<void> {
    return this.#log.sync()
  }

  /** Ends all retries. */
  end(): void {
    this.#log.end()
  }

  /** PUT of a whole file: makes it, or replaces the content of the file that has the name. */
  async replace(parent: number, name: string, attributes: NewAttributes): Promise<Node> {
    for (let attempt = 0; attempt < limits.conflictAttemptsMax; attempt += 1) {
      const file = await this.#fileAt(parent, name)
      try {
        if (file !== undefined) return await this.#rewritten(file.ino, name, attributes)
      } catch (error) {
        // Another file has the name meanwhile.
        if (!isError(error, 'notFound', 'stale', 'exists')) throw error
      }
      try {
        return await this.create(parent, name, attributes)
      } catch (error) {
        if (!isError(error, 'exists')) throw error
      }
    }
    throw new DfsError('busy', 'gave up: other clients keep changing this name')
  }

  /**
   * Returns the file with this name, undefined when there is none. Throws `isDirectory` for a folder, `exists` for a
   * link or node.
   */
  async #fileAt(parent: number, name: string): Promise<Node | undefined> {
    try {
      const node = await this.names.lookup(parent, name)
      if (typeOf(node.inode.mode) === fileType.file) return node
      // Cached values, or those of few servers, are no reason for a refusal.
      return await this.#changes.make([entryKey(parent, name)], [], async () => {
        const { ino } = await this.names.existingForChange(parent, name, true)
        const result = await this.names.nodeForChange(ino, true)
        if (typeOf(result.inode.mode) === fileType.folder) throw new DfsError('isDirectory')
        if (typeOf(result.inode.mode) !== fileType.file) throw new DfsError('exists')
        return { body: undefined, result }
      })
    } catch (error) {
      if (!isError(error, 'notFound', 'stale')) throw error
      return undefined
    }
  }

  #rewritten(ino: number, name: string, attributes: NewAttributes): Promise<Node> {
    const { content = emptyContent, mode, mtime, inline } = attributes
    const change = (old: Inode, now: Time): Inode => ({
      ...old,
      ...content,
      mode,
      mtime: mtime ?? now,
      ctime: now,
      attributes: attributes.attributes ?? old.attributes,
    })
    return this.#inodes.rewrite(ino, change, { inline, name })
  }

  /**
   * Removes a name. The inode goes with its last name, unless `isOpen` says that it is in use: then it
   * stays with nlink 0 until `forget`. Returns the inode as it is afterwards.
   */
  unlink(parent: number, name: string, isOpen: IsOpen = never): Promise<Node> {
    assertName(name)
    return this.#changes.make([entryKey(parent, name)], [], (fresh) =>
      planUnlink(this.#sources, { parent, name, isOpen }, fresh),
    )
  }

  /**
   * Rewrites the files without a name that are open here, each once in `everyMs` at most, so that repair does not
   * take them for those of a mount that died.
   */
  renewKept(everyMs: number = limits.orphanRenewalMs): Promise<void> {
    return this.#orphans.renew(everyMs, (ino) => this.#inodes.rewrite(ino, (inode) => inode))
  }

  /** Deletes an inode that no name refers to any more. */
  async forget(ino: number): Promise<void> {
    this.#orphans.delete(ino)
    await this.#changes
      .make([inodeKey(ino)], [], (fresh) => planDeletion(this.#sources, ino, fresh))
      .catch((error: unknown) => {
        if (!isError(error, 'notFound', 'stale')) throw error
      })
  }

  /** Throws `notEmpty`, `notDirectory`. */
  async rmdir(parent: number, name: string): Promise<void> {
    assertName(name)
    await this.#changes.make([entryKey(parent, name)], [], (fresh) =>
      planRmdir(this.#sources, { parent, name }, fresh),
    )
  }

  /**
   * Removes a name that leads nowhere, or to a folder that has its place elsewhere, which stays. Throws `notFound`, and
   * `exists` for a name that is in order.
   */
  async removeStrayName(parent: number, name: string): Promise<void> {
    assertName(name)
    await this.#changes.make([entryKey(parent, name)], [], () =>
      planStrayName(this.#sources, { parent, name }),
    )
  }

  /**
   * Gives a file another name, or with `isFirst` its first one. Throws `exists`, `notPermitted` for a folder,
   * `tooManyLinks`, `notFound` for a file that has lost its last name.
   */
  link(ino: number, parent: number, name: string, isFirst = false): Promise<Node> {
    return this.#link({ ino, parent, name, isFirst, mayReplace: false })
  }

  /**
   * Gives a file another name, in the place of another file, link or node if one has it. Throws as `link` does, and
   * `isDirectory`.
   */
  linkInPlace(ino: number, parent: number, name: string): Promise<Node> {
    return this.#link({ ino, parent, name, isFirst: false, mayReplace: true })
  }

  #link(linking: Linking): Promise<Node> {
    const { ino, parent, name } = linking
    assertName(name)
    const keys = [entryKey(parent, name), inodeKey(ino)]
    return this.#changes.make(keys, [inodeKey(parent)], (fresh) =>
      planLink(this.#sources, linking, fresh),
    )
  }

  /** rename(2) and renameat2(2). */
  rename(
    fromParent: number,
    fromName: string,
    toParent: number,
    toName: string,
    how: RenameHow,
    isOpen: IsOpen = never,
  ): Promise<Renamed> {
    assertName(fromName)
    assertName(toName)
    const entries = [entryKey(fromParent, fromName), entryKey(toParent, toName)]
    const folders = [inodeKey(fromParent), inodeKey(toParent)]
    const renaming = { fromParent, fromName, toParent, toName, how, isOpen }
    return this.#changes.make(entries, folders, (fresh) =>
      planRename(this.#sources, renaming, fresh),
    )
  }

  /** Changes attributes; `change` is called with the latest inode, perhaps more than once. */
  update(ino: number, change: InodeChange): Promise<Node> {
    return this.#inodes.rewrite(ino, change)
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
    times: ContentTimes,
    how?: HowWritten,
  ): Promise<Node> {
    return this.#inodes.writeContent(ino, base, content, times, how)
  }
}
