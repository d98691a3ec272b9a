/**
 * The file system as a kernel sees it: everything by inode number, promises in and out, POSIX errors
 * as DfsError. It knows neither paths nor FUSE. Permissions are checked by the kernel
 * (default_permissions); here it is decided what a change does.
 */
import { constants } from 'node:fs'
import { LRUCache } from 'lru-cache'
import type { Clock, Random, Time } from '../clock.js'
import type { Client } from '../dfc/client.js'
import type { NewAttributes } from '../dfc/creation.js'
import type { Namespace } from '../dfc/namespace.js'
import type { Content, Node } from '../dfc/node.js'
import type { RenameHow } from '../dfc/rename.js'
import { Slots } from '../dfc/slots.js'
import { DfsError, isError } from '../errors.js'
import { limits } from '../limits.js'
import { coversEverything } from '../wire/placement.js'
import { fileType, type Inode, typeOf } from '../wire/records.js'
import { aclOf, formatAcl, inheritedAcls, isAcl, withAcl } from './acl.js'
import {
  type Attributes,
  attributesOf,
  type Caller,
  newOwner,
  setGroupId,
  setUserId,
  withMode,
  withOwner,
  withoutPrivileges,
  withTimes,
} from './attributes.js'
import { isInGroup } from './caller-groups.js'
import { ChunkPool } from './chunk-pool.js'
import { DraftMemory } from './draft-memory.js'
import { attributeOf, createFlag, withAttribute, withoutAttribute } from './extended-attributes.js'
import { KernelView, type Place } from './kernel-view.js'
import type { Handle } from './open-file.js'
import { type Opened, OpenFiles } from './open-files.js'
import { OpenFolder } from './open-folder.js'
import { RecoveryFolder } from './recovery-folder.js'
import { Siblings } from './siblings.js'
import { SpillSpace } from './spill-file.js'

export interface FilesystemOptions {
  readonly client: Pick<Client, 'cluster' | 'content' | 'namespace' | 'space' | 'sync'>
  readonly clock: Clock
  readonly random: Random
  readonly readOnly: boolean
  /** Access control lists, which the kernel enforces then. */
  readonly acl: boolean
  /** A local folder for what does not fit into memory. */
  readonly spillFolder: string
  /** A local folder for what could not be stored. */
  readonly recoveryFolder: string
}

/** statvfs(3), in bytes. */
export interface Space {
  readonly totalBytes: number
  readonly freeBytes: number
}

const accessMode = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR

/** fallocate(2). */
const keepSize = 1
const punchHole = 2
const zeroRange = 16

/** Every change needs so many servers. */
const serversMin = limits.serverCount - 1

const incompleteSuffix = ' [incomplete]'

export class Filesystem {
  readonly files: OpenFiles
  readonly kernel: KernelView
  readonly acl: boolean
  readonly #client: FilesystemOptions['client']
  readonly #namespace: Namespace
  readonly #readOnly: boolean
  readonly #clock: Clock
  readonly #siblings = new Siblings()
  /** The threads of which an open was answered with `stale`: the next one is their second attempt. */
  readonly #sentBack = new LRUCache<number, true>({ max: limits.mountRequestsMax * 4 })
  /** What has lost its last name while only the kernel knows of it, until it does not either. */
  readonly #gone = new LRUCache<number, Node>({ max: limits.kernelCacheEntriesMax })
  #space: { readonly atMs: number; readonly answer: Space } | undefined

  constructor({ client, clock, random, ...options }: FilesystemOptions) {
    this.#client = client
    this.#clock = clock
    this.#namespace = client.namespace
    this.#readOnly = options.readOnly
    this.acl = options.acl
    this.kernel = new KernelView(clock)
    this.#namespace.onCompany = () => this.kernel.takeNames?.()
    this.#namespace.onFolderRead = (folder, names) => this.#siblings.note(folder, names)
    const tools = {
      content: client.content,
      namespace: client.namespace,
      sync: client.sync.bind(client),
      kernel: this.kernel,
      clock,
      random,
      pool: new ChunkPool(),
      spill: new SpillSpace(options.spillFolder, random),
      uploads: new Slots(limits.uploadsInFlightMax),
      memory: new DraftMemory(),
    }
    this.files = new OpenFiles(client, tools, new RecoveryFolder(options.recoveryFolder, clock))
  }

  // -- names and attributes ----------------------------------------------------------------------

  /**
   * What `name` is now. A name with the suffix of incomplete files that does not exist literally is
   * the file without it. Throws `notFound`.
   */
  async lookup(parent: number, name: string): Promise<Node> {
    try {
      return await this.#namespace.lookup(parent, name)
    } catch (error) {
      const plain = this.#plainName(name)
      if (plain === undefined || !isError(error, 'notFound', 'nameTooLong')) throw error
      return this.#namespace.lookup(parent, plain)
    }
  }

  /**
   * The same, up to a moment old and without asking anybody: null when there is no such name, undefined
   * when that takes a question.
   */
  known(parent: number, name: string): Node | null | undefined {
    return this.#plainName(name) === undefined ? this.#namespace.known(parent, name) : undefined
  }

  /** For how long the kernel may believe that there is no `name`; 0 for not at all. */
  absentForMs(parent: number, name: string): number {
    const { takeNames } = this.kernel
    if (takeNames === undefined) return 0
    return Math.min(this.#namespace.absentForMs(parent, name), limits.kernelCacheMs)
  }

  /** Throws `stale` when there is no such folder any more. */
  async assertThere(folder: number): Promise<void> {
    await this.#namespace.node(folder)
  }

  /** What is known by its number, with a name or without. Throws `stale` when it is gone. */
  async getattr(ino: number): Promise<Attributes> {
    const known = this.knownAttributes(ino)
    if (known !== undefined) return known
    try {
      return this.attributes(await this.#namespace.node(ino))
    } catch (error) {
      const file = this.files.get(ino)
      // Another mount removed what is still open here.
      if (file === undefined || !isError(error, 'stale')) throw error
      return { ...this.attributes(file.node), nlink: 0 }
    }
  }

  /** As `getattr`, without asking anybody: undefined when that takes a question. */
  knownAttributes(ino: number): Attributes | undefined {
    const gone = this.#gone.get(ino)
    if (gone !== undefined) return { ...attributesOf(gone), nlink: 0 }
    const file = this.files.get(ino)
    const node = file?.orphaned === true ? file.node : this.#namespace.cached(ino)
    return node && this.attributes(node)
  }

  /** The attributes of `node`, of which the kernel is about to be told. */
  attributes(node: Node): Attributes {
    const file = this.files.get(node.ino)
    if (file?.isDirty) return attributesOf(node, file, file.draftTime, file.dataBytes)
    const content = file?.told(node.inode) ?? node.inode
    if (typeOf(node.inode.mode) === fileType.file) this.kernel.tell(node.ino, content)
    return attributesOf(node, content)
  }

  /** The kernel has no use for it any more. */
  forget(ino: number): void {
    this.#gone.delete(ino)
  }

  async setMode(ino: number, mode: number): Promise<void> {
    await this.#update(ino, (inode, now) => withMode(inode, mode, now))
  }

  /** undefined leaves an id as it is. */
  async setOwner(ino: number, uid: number | undefined, gid: number | undefined): Promise<void> {
    await this.#update(ino, (inode, now) => withOwner(inode, uid, gid, now))
  }

  /**
   * chown(2) that changes neither id: the special bits of a file go all the same. The kernel says no
   * more before a write by `caller`, who need not be the owner; that takes the bits by itself.
   */
  async keepOwner(ino: number, caller: Caller): Promise<void> {
    const { inode } = await this.#namespace.node(ino)
    if (caller.uid !== 0 && caller.uid !== inode.uid) return
    await this.setOwner(ino, undefined, undefined)
  }

  async setTimes(
    ino: number,
    atime: Time | 'now' | undefined,
    mtime: Time | 'now' | undefined,
  ): Promise<void> {
    const { inode } = await this.#update(ino, (old, now) => withTimes(old, atime, mtime, now))
    if (mtime !== undefined) this.files.get(ino)?.setTime(inode.mtime)
  }

  /** truncate(2), for which the file need not be open. */
  async truncate(ino: number, size: number, kills?: Caller): Promise<void> {
    this.#assertWritable()
    const node = this.files.get(ino)?.node ?? (await this.#namespace.node(ino, true))
    if (typeOf(node.inode.mode) !== fileType.file) throw new DfsError('invalid')
    await this.losePrivileges(node, kills)
    await this.files.truncateNode(node, this.#nameOf(ino), size)
  }

  /** ftruncate(2). */
  async truncateOpen(handle: Handle, size: number, kills?: Caller): Promise<void> {
    await this.losePrivileges(handle.file.node, kills)
    await this.files.truncate(handle, size)
  }

  // -- making and removing -----------------------------------------------------------------------

  /** mkdir(2), mknod(2), symlink(2). `mode` has the type bits. */
  async make(
    parent: number,
    name: string,
    mode: number,
    caller: Caller,
    special: { readonly rdev?: number; readonly target?: string } = {},
  ): Promise<Node> {
    this.#assertWritable()
    if (Buffer.byteLength(special.target ?? '') > limits.symlinkBytesMax) {
      throw new DfsError('nameTooLong')
    }
    const folder = await this.#namespace.node(parent)
    const attributes = this.#newAttributes(folder.inode, mode, caller)
    return this.#namespace.create(parent, name, { ...attributes, ...special })
  }

  /**
   * The making part of open(2): the file is stored when it is closed, or a moment later. With
   * `mayExist` it is what has the name already, if something has.
   */
  async makeFile(
    parent: number,
    name: string,
    mode: number,
    caller: Caller,
    mayExist = false,
  ): Promise<Node> {
    this.#assertWritable()
    try {
      const folder = await this.#namespace.node(parent)
      const attributes = this.#newAttributes(folder.inode, mode, caller)
      return await this.#namespace.createSoon(parent, name, attributes)
    } catch (error) {
      if (!mayExist || !isError(error, 'exists')) throw error
      return this.lookup(parent, name)
    }
  }

  /**
   * open(2) with O_TMPFILE: a file without a name, which goes when it is closed unless a link has given
   * it one. Throws `notPermitted` for a folder that was removed here, as ext4 does.
   */
  async openNameless(parent: number, mode: number, flags: number, caller: Caller): Promise<Opened> {
    this.#assertWritable()
    if (this.#gone.has(parent)) throw new DfsError('notPermitted')
    const folder = await this.#namespace.node(parent)
    const attributes = this.#newAttributes(folder.inode, mode, caller)
    return this.files.openNameless(await this.#namespace.createNameless(parent, attributes), flags)
  }

  async readlink(ino: number): Promise<string> {
    const { inode } = await this.#namespace.node(ino)
    if (typeOf(inode.mode) !== fileType.symlink) throw new DfsError('invalid')
    return inode.target
  }

  async link(ino: number, parent: number, name: string): Promise<Node> {
    this.#assertWritable()
    return this.files.link(ino, name, (isFirst) => this.#namespace.link(ino, parent, name, isFirst))
  }

  async unlink(parent: number, name: string): Promise<void> {
    this.#assertWritable()
    const node = await this.#namespace.unlink(parent, name, (ino) => this.files.has(ino))
    this.kernel.forgetPlace(node.ino, parent, name)
    await this.#lostName(node)
  }

  async rmdir(parent: number, name: string): Promise<void> {
    this.#assertWritable()
    const folder = this.#cachedAt(parent, name)
    await this.#namespace.rmdir(parent, name)
    if (folder !== undefined) this.#gone.set(folder.ino, folder)
  }

  async rename(
    fromParent: number,
    fromName: string,
    toParent: number,
    toName: string,
    how: RenameHow,
  ): Promise<void> {
    this.#assertWritable()
    const isOpen = (ino: number): boolean => this.files.has(ino)
    const met = this.#cachedAt(toParent, toName)
    const { replaced } = await this.#namespace.rename(
      fromParent,
      fromName,
      toParent,
      toName,
      how,
      isOpen,
    )
    for (const [parent, name] of [[fromParent, fromName] as const, [toParent, toName] as const]) {
      const entry = this.#namespace.cachedEntry(parent, name)
      if (entry !== undefined) this.kernel.tellPlace(entry.ino, parent, name)
    }
    if (replaced !== undefined) {
      this.kernel.forgetPlace(replaced.ino, toParent, toName)
      await this.#lostName(replaced)
    } else if (met !== undefined && how === 'replace' && this.#cachedAt(toParent, toName) !== met) {
      if (typeOf(met.inode.mode) === fileType.folder) this.#gone.set(met.ino, met)
    }
  }

  // -- open files and folders --------------------------------------------------------------------

  /**
   * open(2) of what is known by its number. Throws `stale` when the name by which the kernel came here
   * means another file now, upon which it looks for the name once more.
   */
  async open(ino: number, flags: number, caller: Caller, kills?: Caller): Promise<Opened> {
    const place = this.kernel.placeOf(ino)
    if (place !== undefined && (flags & accessMode) === constants.O_RDONLY) {
      for (const { inode } of this.#siblings.nextAfter(place.parent, place.name)) {
        this.#client.content.prefetch(inode)
      }
    }
    const node = await this.#fresh(ino, place, caller.pid)
    return this.openNode(node, place?.name ?? String(ino), flags, kills)
  }

  /** The same, of which `node` has just been read; people call it `name`. */
  async openNode(node: Node, name: string, flags: number, kills?: Caller): Promise<Opened> {
    const writes = (flags & (constants.O_WRONLY | constants.O_RDWR | constants.O_TRUNC)) !== 0
    if (writes) this.#assertWritable()
    await this.losePrivileges(node, kills)
    return this.files.open(node, name, flags)
  }

  openFolder(ino: number): OpenFolder {
    return new OpenFolder(this.#namespace, ino, (names) => this.#siblings.note(ino, names))
  }

  /** The name under which a listing shows a file of which some part cannot be reached. */
  shownName(name: string, incomplete: boolean): string {
    const shown = name + incompleteSuffix
    return incomplete && Buffer.byteLength(shown) <= limits.nameBytesMax ? shown : name
  }

  /** What appends goes to the end: fcntl(2) may have changed that since the file was opened. */
  async write(
    handle: Handle,
    at: number,
    bytes: Buffer,
    appends: boolean = handle.appends,
    kills?: Caller,
  ): Promise<number> {
    if (!handle.file.isDirty) this.#assertWritable()
    await this.losePrivileges(handle.file.node, kills)
    return this.files.write(handle, at, bytes, appends)
  }

  /** Before `caller`, who has no right to keep them, changes the content of a file. */
  async losePrivileges(
    { ino, inode: { mode, gid } }: Node,
    caller: Caller | undefined,
  ): Promise<void> {
    if (caller === undefined || (mode & (setUserId | setGroupId)) === 0 || caller.uid === 0) return
    const isMember = await isInGroup(caller, gid)
    if (withoutPrivileges(mode, isMember) === mode) return
    await this.#update(ino, (inode) => ({
      ...inode,
      mode: withoutPrivileges(inode.mode, isMember),
    }))
  }

  /** fallocate(2). Space is not reserved: the servers have it or do not when it is written. */
  async allocate(
    { file, canWrite }: Handle,
    mode: number,
    at: number,
    length: number,
    caller: Caller,
  ): Promise<void> {
    if (!canWrite) throw new DfsError('badHandle')
    if (!file.isDirty) this.#assertWritable()
    if ((mode & ~(keepSize | punchHole | zeroRange)) !== 0) throw new DfsError('unsupported')
    if (at + length > limits.fileBytesMax) throw new DfsError('tooLarge')
    await this.losePrivileges(file.node, caller)
    if ((mode & (punchHole | zeroRange)) !== 0) await file.punch(at, length)
    // With nothing to do it is a modification all the same, and shows in the times.
    await file.extend((mode & keepSize) === 0 ? at + length : 0)
  }

  /** lseek(2) with SEEK_DATA or SEEK_HOLE. Throws `noSuchOffset`. */
  seek({ file, pinned }: Handle, at: number, wanted: 'data' | 'hole'): number {
    const { size, ranges } = dataOf(pinned, file)
    if (at >= size || at < 0) throw new DfsError('noSuchOffset')
    for (const { at: from, end } of ranges) {
      if (end <= at) continue
      if (wanted === 'data') return Math.max(at, from)
      if (from > at) return at
      at = end
    }
    if (wanted === 'hole') return Math.min(at, size)
    throw new DfsError('noSuchOffset')
  }

  // -- the whole ---------------------------------------------------------------------------------

  /** Up to a moment old: some programs ask at every step. */
  async space(): Promise<Space> {
    const now = this.#clock.monotonic()
    if (this.#space === undefined || now - this.#space.atMs > limits.cacheLifeMs) {
      this.#space = { atMs: now, answer: await this.#client.space() }
    }
    return this.#space.answer
  }

  /** fsync(2) of a folder: every change so far is on the disks of three servers. */
  async syncFolders(): Promise<void> {
    await this.#client.sync()
  }

  // -- extended attributes -----------------------------------------------------------------------

  /** null when there is none of that name. */
  async getAttribute(ino: number, name: string): Promise<Buffer | null> {
    this.#assertKept(name)
    const { inode } = await this.#nodeAsOpen(ino)
    return isAcl(name) ? aclOf(inode, name) : attributeOf(inode, name)
  }

  async listAttributes(ino: number): Promise<string[]> {
    const { inode } = await this.#nodeAsOpen(ino)
    return inode.attributes.map(({ name }) => name).filter((name) => this.acl || !isAcl(name))
  }

  /** `losesGroupId`: with an access ACL, the caller may not keep the set-group-ID bit. */
  async setAttribute(
    ino: number,
    name: string,
    value: Buffer,
    flags: number,
    losesGroupId = false,
  ): Promise<void> {
    this.#assertWritable()
    this.#assertKept(name)
    const { inode } = await this.#nodeAsOpen(ino)
    // As on ext4 nothing has changed when it is the same, not even the ctime.
    if (isAcl(name)) {
      if (withAcl(inode, name, value, losesGroupId, inode.ctime) === inode) return
      await this.#update(ino, (old, now) => withAcl(old, name, value, losesGroupId, now))
      return
    }
    const isSame = (flags & createFlag) === 0 && attributeOf(inode, name)?.equals(value) === true
    if (isSame) return
    await this.#update(ino, (old, now) => withAttribute(old, name, value, flags, now))
  }

  async removeAttribute(ino: number, name: string): Promise<void> {
    // That there was no list is no error.
    if (isAcl(name)) await this.setAttribute(ino, name, formatAcl([]), 0)
    else await this.#update(ino, (inode, now) => withoutAttribute(inode, name, now))
  }

  // ------------------------------------------------------------------------------------------------

  #newAttributes(folder: Inode, mode: number, caller: Caller): NewAttributes {
    const owner = newOwner(folder, mode, caller)
    const inherits = this.acl && typeOf(mode) !== fileType.symlink
    const inherited = inherits ? inheritedAcls(folder, owner.mode) : undefined
    // Without lists the kernel has applied the umask, and nothing is left of it to be applied.
    return { ...owner, ...(inherited ?? { mode: owner.mode & ~(caller.umask ?? 0) }) }
  }

  /** Lists that nobody enforces are neither shown nor taken. */
  #assertKept(name: string): void {
    if (!this.acl && isAcl(name)) throw new DfsError('unsupported')
  }

  async #update(ino: number, change: (inode: Inode, now: Time) => Inode): Promise<Node> {
    this.#assertWritable()
    const gone = this.#gone.get(ino)
    if (gone !== undefined) {
      // Whoever still has it open sees what becomes of it; the servers know nothing of it any more.
      const changed = { ...gone, inode: change(gone.inode, this.#clock.time()) }
      this.#gone.set(ino, changed)
      return changed
    }
    const node = await this.#namespace.update(ino, change)
    this.files.get(ino)?.noteNode(node)
    return node
  }

  /** While a file is being written its attributes are asked for at every write: from memory then. */
  async #nodeAsOpen(ino: number): Promise<Node> {
    const file = this.files.get(ino)
    const open = file?.isDirty === true || file?.orphaned === true ? file.node : undefined
    const known = this.#gone.get(ino) ?? this.#namespace.cached(ino) ?? open
    return known ?? (await this.#namespace.node(ino))
  }

  async #lostName(node: Node): Promise<void> {
    if (node.inode.nlink > 0 || typeOf(node.inode.mode) === fileType.folder) return
    if (this.files.has(node.ino)) await this.files.orphan(node)
    else this.#gone.set(node.ino, node)
  }

  #cachedAt(parent: number, name: string): Node | undefined {
    const entry = this.#namespace.cachedEntry(parent, name)
    return entry && this.#namespace.cached(entry.ino)
  }

  /** For people. */
  #nameOf(ino: number): string {
    return this.kernel.placeOf(ino)?.name ?? String(ino)
  }

  /**
   * The node as the servers have it now, which must still have the name by which it is known. The thread
   * `pid` is sent back once: the kernel gives up at a second time, and what it has found since the
   * first was there after its program had asked.
   */
  async #fresh(ino: number, place: Place | undefined, pid: number): Promise<Node> {
    const isSecond = this.#sentBack.delete(pid)
    try {
      if (place === undefined) return await this.#namespace.node(ino, true)
      const node = await this.lookup(place.parent, place.name)
      if (node.ino === ino) return node
    } catch (error) {
      if (!isError(error, 'notFound', 'stale')) throw error
    }
    const found = isSecond ? this.#namespace.cached(ino) : undefined
    if (found !== undefined) return found
    this.#sentBack.set(pid, true)
    throw new DfsError('stale')
  }

  /** The name without the suffix of incomplete files, while there can be any. */
  #plainName(name: string): string | undefined {
    const isSuffixed = name.length > incompleteSuffix.length && name.endsWith(incompleteSuffix)
    if (!isSuffixed || coversEverything(new Set(this.#client.cluster.voters))) return undefined
    return name.slice(0, -incompleteSuffix.length)
  }

  /** Throws `readOnly` at once, and not only when what was written is to be stored. */
  #assertWritable(): void {
    if (this.#readOnly) throw new DfsError('readOnly', 'This mount is read-only')
    if (this.#client.cluster.voters.length < serversMin) throw new DfsError('readOnly')
  }
}

function dataOf(
  pinned: Content | undefined,
  { draft, content }: Handle['file'],
): { size: number; ranges: readonly { at: number; end: number }[] } {
  if (pinned === undefined && draft !== undefined) return { size: draft.size, ranges: draft.data }
  const { size, extents } = pinned ?? content
  return { size, ranges: extents.map(({ at, length }) => ({ at, end: at + length })) }
}
