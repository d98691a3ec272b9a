/**
 * The file system as the kernel sees it: inode numbers, promises, and POSIX errors as DfsError. It knows neither
 * paths nor FUSE. Permissions are checked before, most often by the kernel; the effects of changes are decided here.
 */
import { constants } from 'node:fs'
import { Semaphore } from '../../async/semaphore.js'
import { byteLengthOf } from '../../byte-text.js'
import type { Clock, Random } from '../../clock.js'
import type { Client } from '../../dfc/client.js'
import { awayServers } from '../../dfc/cluster/away-servers.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import type { CacheMoment } from '../../dfc/namespace/cache/node-cache.js'
import type { Namespace } from '../../dfc/namespace/namespace.js'
import type { RenameHow } from '../../dfc/namespace/plans/rename.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { LentBuffers } from '../../memory/shared-buffer.js'
import { coversEverything } from '../../wire/placement.js'
import { fileType, rootIno, typeOf } from '../../wire/records.js'
import { ChunkPool } from '../draft/chunk-pool.js'
import { DraftMemory } from '../draft/draft-memory.js'
import { SpillSpace } from '../draft/spill-file.js'
import type { Caller } from '../kernel/request.js'
import { plainName } from './incomplete-name.js'
import { KernelView } from './kernel-view.js'
import type { LastFailures } from './last-failures.js'
import { Metadata } from './metadata.js'
import { NameCheck } from './name-check.js'
import type { Handle, OpenFile } from './open-file.js'
import { type Opened, OpenFiles } from './open-files.js'
import { OpenFolder } from './open-folder.js'
import { Positions } from './positions.js'
import { isSmallFile, isSmallFolder, ReaddirPrefetch } from './readdir-prefetch.js'
import { Reasons } from './reasons.js'
import type { RecoveryFolder } from './recovery-folder.js'
import { ClusterSpace } from './space.js'
import { ToldNames } from './told-names.js'

export interface FilesystemOptions {
  readonly client: Pick<Client, 'cluster' | 'content' | 'makeRoom' | 'namespace' | 'space' | 'sync'>
  readonly clock: Clock
  readonly random: Random
  /** Stores access control lists, which the kernel then enforces. */
  readonly acl: boolean
  /** Reading a file does not change its atime. */
  readonly noAtime?: boolean | undefined
  /** Changes of a file are on the disks of three servers before they are answered. */
  readonly sync: boolean
  /** Local folder for drafts that do not fit into memory. */
  readonly spillFolder: string
  /** Keeps data that could not be stored. */
  readonly recovery: RecoveryFolder
  /** Remembers what failed, for people who ask why. */
  readonly failures: LastFailures
}

const accessMode = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR

/** FALLOC_FL_* flags of fallocate(2). */
const keepSize = 1
const punchHole = 2
const zeroRange = 16

export class Filesystem {
  readonly kernel: KernelView
  /** The names by which the kernel knows inodes. */
  readonly names: ToldNames
  readonly check: NameCheck
  readonly metadata: Metadata
  readonly reasons: Reasons
  readonly space: ClusterSpace
  readonly failures: LastFailures
  readonly positions = new Positions()
  readonly #client: FilesystemOptions['client']
  readonly #namespace: Namespace
  /** The open files. Private, so that every change of their bytes enters by this class and is checked alike. */
  readonly #files: OpenFiles
  readonly #nextFiles = new ReaddirPrefetch(isSmallFile, limits.siblingsAheadMax)
  readonly #nextFolders = new ReaddirPrefetch(isSmallFolder, limits.siblingFoldersAheadMax)

  constructor({ client, clock, random, ...options }: FilesystemOptions) {
    this.#client = client
    this.#namespace = client.namespace
    this.failures = options.failures
    this.space = new ClusterSpace(client, clock)
    this.kernel = new KernelView(clock)
    this.names = new ToldNames(clock)
    this.check = new NameCheck({
      namespace: client.namespace,
      names: this.names,
      clock,
      plainName,
    })
    this.#namespace.onLeaseLost(() => this.#doubtAll())
    // Which files are incomplete depends on the servers that can be reached.
    client.cluster.onChange(() => this.#doubtAll())
    this.#namespace.onFolderRead((folder, names) => this.#nextFiles.note(folder, names))
    const tools = {
      content: client.content,
      namespace: client.namespace,
      sync: client.sync.bind(client),
      kernel: this.kernel,
      clock,
      random,
      pool: new ChunkPool(),
      spill: new SpillSpace(options.spillFolder, random),
      uploads: new Semaphore(limits.uploadsInFlightMax),
      memory: new DraftMemory(),
      failures: this.failures,
    }
    this.#files = new OpenFiles(client, tools, options.recovery, options.sync)
    this.failures.connect({
      nameOf: (ino) => this.#files.get(ino)?.name ?? this.#nameOf(ino),
      away: () => awayServers(client.cluster),
    })
    this.metadata = new Metadata({
      namespace: client.namespace,
      files: this.#files,
      kernel: this.kernel,
      clock,
      acl: options.acl,
      noAtime: options.noAtime === true,
      assertWritable: () => this.assertWritable(),
    })
    this.reasons = new Reasons(client.cluster, this.metadata, this.failures)
  }

  // -- names -------------------------------------------------------------------------------------

  /**
   * Finds `name`. A name with the suffix of incomplete files that does not exist literally means the file without the
   * suffix. Throws `notFound`.
   */
  async lookup(parent: number, name: string): Promise<Node> {
    try {
      return await this.#namespace.names.lookup(parent, name)
    } catch (error) {
      const plain = plainName(name)
      if (plain === undefined || !isError(error, 'notFound', 'nameTooLong')) throw error
      const node = await this.#namespace.names.lookup(parent, plain)
      const { cluster, content } = this.#client
      // While every piece can be reached, only a file that has lost one is listed so.
      const isListedSo =
        !coversEverything(new Set(cluster.voters)) || !(await content.isWhole(node.inode))
      if (!isListedSo) throw error
      return node
    }
  }

  /**
   * Finds `name` without asking a server, up to a moment old: null when there is no such name, undefined when only a
   * server can tell.
   */
  known(parent: number, name: string): Node | null | undefined {
    return plainName(name) === undefined ? this.#namespace.names.known(parent, name) : undefined
  }

  /**
   * Finds an inode by number, whatever its name: numbers are never used again. Throws `stale` when it has no name any
   * more.
   */
  async numbered(ino: number): Promise<Node> {
    const node = await this.metadata.find(ino)
    const isUnnamed = node.inode.nlink === 0 && typeOf(node.inode.mode) !== fileType.folder
    if (isUnnamed || this.metadata.isGone(ino)) throw new DfsError('stale')
    return node
  }

  /** Finds the parent of the folder `ino`. Throws `stale`, `notDirectory`. */
  async above(ino: number): Promise<Node> {
    const { inode } = await this.numbered(ino)
    if (typeOf(inode.mode) !== fileType.folder) throw new DfsError('notDirectory')
    return this.numbered(ino === rootIno ? ino : inode.parent)
  }

  /** How long the kernel may cache that there is no `name`, in ms; 0 for not at all. */
  absentForMs(parent: number, name: string): number {
    if (!this.kernel.canInvalidateEntries) return 0
    const absentMs = this.#namespace.names.absentForMs(parent, name)
    // A file may become incomplete, and have this name then.
    if (plainName(name) !== undefined) return Math.min(absentMs, limits.kernelCacheMs)
    return absentMs > 0 ? this.kernel.validMs(true) : 0
  }

  /** How long the kernel may cache which inode `name` means, in ms. */
  namedForMs(parent: number, name: string): number {
    return this.kernel.validMs(this.#namespace.names.certain(parent, name) != null)
  }

  /** Checks that the folder still exists. Throws `stale`. */
  async assertThere(folder: number): Promise<void> {
    await this.#namespace.names.node(folder)
  }

  /** Truncates a file that need not be open: truncate(2). */
  async truncate(
    ino: number,
    size: number,
    caller: Caller,
    dropPrivilegesOf?: Caller,
  ): Promise<void> {
    this.assertWritable()
    const node = await this.check.node(ino, caller.pid)
    if (typeOf(node.inode.mode) !== fileType.file) throw new DfsError('invalid')
    await this.metadata.losePrivileges(node, dropPrivilegesOf)
    await this.#files.truncateNode(node, this.#nameOf(ino), size)
  }

  /** Truncates an open file: ftruncate(2). */
  async truncateOpen(handle: Handle, size: number, dropPrivilegesOf?: Caller): Promise<void> {
    await this.metadata.losePrivileges(handle.file.node, dropPrivilegesOf)
    await this.#files.truncate(handle, size)
  }

  // -- making and removing -----------------------------------------------------------------------

  /** Creates a folder, special file or link: mkdir(2), mknod(2), symlink(2). `mode` includes the type bits. */
  async make(
    parent: number,
    name: string,
    mode: number,
    caller: Caller,
    special: { readonly rdev?: number; readonly target?: string } = {},
  ): Promise<Node> {
    this.assertWritable()
    if (byteLengthOf(special.target ?? '') > limits.symlinkBytesMax) {
      throw new DfsError('nameTooLong')
    }
    const folder = await this.#namespace.names.node(parent)
    const attributes = this.metadata.ofNew(folder.inode, mode, caller)
    return this.#namespace.create(parent, name, { ...attributes, ...special })
  }

  /** Creates a file for open(2). */
  async makeFile(parent: number, name: string, mode: number, caller: Caller): Promise<Node> {
    this.assertWritable()
    const folder = await this.#namespace.names.node(parent)
    const attributes = this.metadata.ofNew(folder.inode, mode, caller)
    return this.#namespace.create(parent, name, attributes)
  }

  /**
   * Opens a new file without a name, O_TMPFILE of open(2). It is deleted when it is closed, unless a link has given
   * it a name. Throws `notPermitted` for a folder that was removed here, as ext4 does.
   */
  async openNameless(parent: number, mode: number, flags: number, caller: Caller): Promise<Opened> {
    this.assertWritable()
    if (this.metadata.isGone(parent)) throw new DfsError('notPermitted')
    const folder = await this.#namespace.names.node(parent)
    const attributes = this.metadata.ofNew(folder.inode, mode, caller)
    return this.#files.openNameless(await this.#namespace.createNameless(parent, attributes), flags)
  }

  async readlink(ino: number): Promise<string> {
    const { inode } = await this.#namespace.names.node(ino)
    if (typeOf(inode.mode) !== fileType.symlink) throw new DfsError('invalid')
    this.metadata.wasRead(ino)
    return inode.target
  }

  async link(ino: number, parent: number, name: string): Promise<Node> {
    this.assertWritable()
    return this.#files.link(ino, name, (isFirst) =>
      this.#namespace.link(ino, parent, name, isFirst),
    )
  }

  async unlink(parent: number, name: string): Promise<void> {
    this.assertWritable()
    const node = await this.#namespace.unlink(parent, name, (ino) => this.#files.has(ino))
    this.names.forget(node.ino, parent, name)
    await this.metadata.lostName(node)
  }

  async rmdir(parent: number, name: string): Promise<void> {
    this.assertWritable()
    const folder = this.#cachedAt(parent, name)
    await this.#namespace.rmdir(parent, name)
    if (folder === undefined) return
    this.names.forget(folder.ino, parent, name)
    this.metadata.setGone(folder)
  }

  async rename(
    fromParent: number,
    fromName: string,
    toParent: number,
    toName: string,
    how: RenameHow,
  ): Promise<void> {
    this.assertWritable()
    const isOpen = (ino: number): boolean => this.#files.has(ino)
    const met = this.#cachedAt(toParent, toName)
    const { replaced } = await this.#namespace.rename(
      fromParent,
      fromName,
      toParent,
      toName,
      how,
      isOpen,
    )
    const left = this.#namespace.names.cachedEntry(fromParent, fromName)
    const moved = this.#namespace.names.cachedEntry(toParent, toName)
    if (moved !== undefined) this.names.forget(moved.ino, fromParent, fromName)
    if (left !== undefined) this.names.forget(left.ino, toParent, toName)
    const validMs = this.kernel.validMs(true)
    if (moved !== undefined) this.names.tell(moved.ino, toParent, toName, validMs)
    if (left !== undefined) this.names.tell(left.ino, fromParent, fromName, validMs)
    if (replaced !== undefined) {
      this.names.forget(replaced.ino, toParent, toName)
      await this.metadata.lostName(replaced)
    } else if (met !== undefined && how === 'replace' && this.#cachedAt(toParent, toName) !== met) {
      this.names.forget(met.ino, toParent, toName)
      if (typeOf(met.inode.mode) === fileType.folder) this.metadata.setGone(met)
    }
  }

  // -- open files and folders --------------------------------------------------------------------

  /**
   * Opens an inode by number: open(2). Throws `stale` when the name by which the kernel came here means another file
   * now; the kernel then looks the name up once more.
   */
  async open(
    ino: number,
    flags: number,
    caller: Caller,
    dropPrivilegesOf?: Caller,
  ): Promise<Opened> {
    const place = this.names.lastOf(ino)
    if (place !== undefined && (flags & accessMode) === constants.O_RDONLY) {
      for (const { inode } of this.#nextFiles.nextAfter(place.parent, place.name)) {
        this.#client.content.prefetch(inode)
      }
    }
    const node = await this.check.node(ino, caller.pid)
    return this.openNode(node, place?.name ?? this.#nameOf(ino), flags, dropPrivilegesOf)
  }

  /** Opens `node`, which was just read. `name` is for messages. */
  async openNode(
    node: Node,
    name: string,
    flags: number,
    dropPrivilegesOf?: Caller,
  ): Promise<Opened> {
    const writes = (flags & (constants.O_WRONLY | constants.O_RDWR | constants.O_TRUNC)) !== 0
    if (writes) this.assertWritable()
    await this.metadata.losePrivileges(node, dropPrivilegesOf)
    const opened = await this.#files.open(node, name, flags)
    const { keep, handle } = opened
    // The kernel does not report reads from its pages: such a handle, which can do little else, is assumed to read.
    const reads = keep && handle.countsReads && !handle.canWrite
    if (reads && this.metadata.wasRead(node.ino)) this.kernel.invalidateAttributes(node.ino)
    return opened
  }

  /** Reads `length` bytes from `at` on, fewer at the end of the file, into lent memory. */
  async read(handle: Handle, at: number, length: number): Promise<LentBuffers> {
    if (handle.countsReads) this.metadata.wasRead(handle.file.ino)
    return handle.file.read(handle, at, length)
  }

  /** Opens a folder, opendir(3), after `check` has found that it is the requested one. */
  openFolder(ino: number): OpenFolder {
    const as = this.kernel.listingOf(ino, this.#namespace.useLease() !== undefined)
    const place = this.names.lastOf(ino)
    if (place !== undefined) {
      const next = this.#nextFolders.nextAfter(place.parent, place.name)
      if (next.length > 0) this.#namespace.names.readAhead(next.map(({ ino: folder }) => folder))
    }
    return new OpenFolder({
      names: this.#namespace.names,
      ino,
      as,
      positions: this.positions,
      onPage: (names) => {
        this.#nextFiles.note(ino, names)
        this.#nextFolders.note(ino, names)
      },
    })
  }

  /**
   * Notes that the kernel was sent a part of a listing, from the position `from` on. `canStay`: it has no incomplete
   * file, and came with attributes that the kernel may keep for long.
   */
  wasListed({ ino, as }: OpenFolder, from: number, asked: CacheMoment, canStay: boolean): void {
    if (!as.cache) return
    if (!canStay || !this.#namespace.names.isAloneSince(asked)) this.kernel.doubtListings()
    else if (from === 0) this.kernel.setListing(ino, as)
  }

  /** Writes at `at`, or at the end if `appends`, which fcntl(2) may have changed since the file was opened. */
  async write(
    handle: Handle,
    at: number,
    bytes: Buffer,
    appends: boolean = handle.appends,
    dropPrivilegesOf?: Caller,
  ): Promise<number> {
    if (!handle.file.isDirty) this.assertWritable()
    await this.metadata.losePrivileges(handle.file.node, dropPrivilegesOf)
    return this.#files.write(handle, at, bytes, appends)
  }

  /** Performs copy_file_range(2) without moving a byte. Returns the number of bytes copied. */
  async copyRange(
    source: Handle,
    from: number,
    target: Handle,
    at: number,
    length: number,
    dropPrivilegesOf?: Caller,
  ): Promise<number> {
    await this.metadata.losePrivileges(target.file.node, dropPrivilegesOf)
    return this.#files.copyRange(source, from, target, at, length)
  }

  /** Commits what was written at each close(2), which reports what fails. */
  async flush(handle: Handle): Promise<void> {
    await this.#files.flush(handle)
  }

  /** Performs fsync(2): resolves when everything written is on the disks of three servers. */
  async syncFile({ file }: Handle): Promise<void> {
    await this.#files.sync(file)
  }

  /** Closes a handle for the last time. Data not stored yet is stored, or saved in the recovery folder. */
  async close(handle: Handle): Promise<void> {
    await this.#files.close(handle)
  }

  /**
   * Changes the space of a file: fallocate(2). Space is not reserved: the servers may still be full when it is
   * written.
   */
  async allocate(
    handle: Handle,
    mode: number,
    at: number,
    length: number,
    caller: Caller,
  ): Promise<void> {
    const { file, canWrite } = handle
    if (!canWrite) throw new DfsError('badHandle')
    if (!file.isDirty) this.assertWritable()
    if ((mode & ~(keepSize | punchHole | zeroRange)) !== 0) throw new DfsError('unsupported')
    // Beyond the largest file there is nothing to punch, and nothing grows.
    const grows = (mode & (punchHole | keepSize)) === 0
    const isPunch = (mode & punchHole) !== 0
    if (!isPunch && at + length > limits.fileBytesMax) throw new DfsError('tooLarge')
    if (!isPunch) await this.space.assertRoomFor(file, length)
    await this.metadata.losePrivileges(file.node, caller)
    if ((mode & (punchHole | zeroRange)) !== 0) await file.punch(at, length)
    // A call without an effect on the content is a modification all the same, and changes the times.
    await file.extend(grows ? at + length : 0)
    await this.#files.syncIfWanted(handle)
  }

  // -- the file system as a whole ----------------------------------------------------------------

  /** Commits what has been appended to files that stay open, such as logs; to be called now and then. */
  async commitDue(): Promise<void> {
    await this.#files.commitDue()
  }

  /** Commits everything; returns the files that could not be committed. */
  commitAll(): Promise<readonly OpenFile[]> {
    return this.#files.commitAll()
  }

  /** Ends all handles at the end of the mount: what cannot be stored goes to the recovery folder. */
  async abandonAll(): Promise<void> {
    await this.#files.abandonAll()
  }

  /** Makes every earlier change durable on three servers: fsync(2) of a folder. */
  async syncFolders(): Promise<void> {
    await this.#client.sync()
  }

  /** Throws `readOnly` at once, rather than when a change is to be stored. */
  assertWritable(): void {
    if (!this.#client.cluster.isWritable) throw new DfsError('readOnly')
  }

  // ------------------------------------------------------------------------------------------------

  /** Ends what the kernel may use without asking, because others may change it from now on. */
  #doubtAll(): void {
    this.names.doubtAll()
    this.kernel.doubtAll()
  }

  #cachedAt(parent: number, name: string): Node | undefined {
    const entry = this.#namespace.names.cachedEntry(parent, name)
    return entry && this.#namespace.names.cached(entry.ino)
  }

  /** A name of the inode, for messages. */
  #nameOf(ino: number): string {
    if (ino === rootIno) return '/'
    return this.names.lastOf(ino)?.name ?? `inode ${ino}`
  }
}
