/**
 * What the kernel is told of inodes, and what it changes of them: mode, owner, times, extended attributes
 * and access control lists. Permissions are checked by the kernel (default_permissions).
 */
import { LRUCache } from 'lru-cache'
import type { Clock, Time } from '../../clock.js'
import { type ListedName, type Node, newerOf } from '../../dfc/namespace/cache/node.js'
import type { NewAttributes } from '../../dfc/namespace/creation.js'
import type { Listing } from '../../dfc/namespace/lookup.js'
import type { Namespace } from '../../dfc/namespace/namespace.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { fileType, type Inode, typeOf } from '../../wire/records.js'
import type { Attributes } from '../kernel/answers.js'
import type { Caller } from '../kernel/request.js'
import { AccessTimes } from './access-times.js'
import { aclOf, formatAcl, inheritedAcls, isAcl, withAcl } from './acl.js'
import {
  attributesOf,
  newOwner,
  setGroupId,
  setUserId,
  withMode,
  withOwner,
  withoutPrivileges,
  withTimes,
} from './attributes.js'
import { isInGroup, mayReadTrusted } from './caller-rights.js'
import {
  attributeOf,
  createFlag,
  isTrusted,
  withAttribute,
  withoutAttribute,
} from './extended-attributes.js'
import type { KernelView } from './kernel-view.js'
import type { OpenFiles } from './open-files.js'

export interface MetadataOptions {
  readonly namespace: Namespace
  readonly files: OpenFiles
  readonly kernel: KernelView
  readonly clock: Clock
  /** Access control lists are kept, which the kernel enforces then. */
  readonly acl: boolean
  /** Reading a file does not change its atime. */
  readonly noAtime: boolean
  /** Throws `readOnly`. */
  readonly assertWritable: () => void
}

export class Metadata {
  readonly acl: boolean
  readonly #namespace: Namespace
  readonly #files: OpenFiles
  readonly #kernel: KernelView
  readonly #clock: Clock
  readonly #assertWritable: () => void
  readonly #reads: AccessTimes | undefined
  /** What has lost its last name while only the kernel knows of it, until it does not either. */
  readonly #gone = new LRUCache<number, Node>({ max: limits.kernelCacheEntriesMax })

  constructor({ namespace, files, kernel, clock, acl, noAtime, assertWritable }: MetadataOptions) {
    this.#namespace = namespace
    this.#files = files
    this.#kernel = kernel
    this.#clock = clock
    this.acl = acl
    this.#reads = noAtime ? undefined : new AccessTimes()
    this.#assertWritable = assertWritable
  }

  // -- what the kernel is told -------------------------------------------------------------------

  /** What is known by its number, with a name or without. Throws `stale` when it is gone. */
  async find(ino: number): Promise<Node> {
    const known = this.known(ino)
    if (known !== undefined) return known
    try {
      return await this.#namespace.node(ino)
    } catch (error) {
      const file = this.#files.get(ino)
      // Another mount removed what is still open here.
      if (file === undefined || !isError(error, 'stale')) throw error
      file.isRemoved = true
      return file.node
    }
  }

  /** As `find`, without asking anybody: undefined when that takes a question. */
  known(ino: number): Node | undefined {
    const gone = this.#gone.get(ino)
    if (gone !== undefined) return gone
    const file = this.#files.get(ino)
    return file?.orphaned === true ? file.node : this.#namespace.cached(ino)
  }

  /**
   * The attributes of what was seen as `seen`, of which the kernel is told now: to be called when the answer is
   * written, and not before. Whatever was read a moment ago, and however long that took, they are those of
   * the newest that this mount knows: of what is written here and not committed, else of the last commit.
   */
  told(seen: Node): Attributes {
    return this.#toldOf(newerOf(this.#namespace.latest(seen.ino) ?? seen, seen))
  }

  /** The same of the newest that is known of those that are not open. */
  #toldOf(newest: Node): Attributes {
    const { ino } = newest
    const gone = this.#gone.size === 0 ? undefined : this.#gone.get(ino)
    if (gone !== undefined) return { ...this.#attributesOf(gone), nlink: 0 }
    const file = this.#files.get(ino)
    const node = newerOf(newest, file?.node)
    file?.noteNode(node)
    const content = file?.isDirty === true ? undefined : (file?.told(node.inode) ?? node.inode)
    if (typeOf(node.inode.mode) === fileType.file) {
      this.#kernel.tell(ino, node.version, content, file !== undefined)
    }
    const size = content ?? file
    const attributes = this.#attributesOf(node, size, file?.draftTimes, file?.dataBytes)
    return file?.isRemoved === true ? { ...attributes, nlink: 0 } : attributes
  }

  #attributesOf(...[node, ...rest]: Parameters<typeof attributesOf>): Attributes {
    const attributes = attributesOf(node, ...rest)
    const atime = this.#reads?.of(node.ino, attributes.atime) ?? attributes.atime
    return atime === attributes.atime ? attributes : { ...attributes, atime }
  }

  /** A program reads the file, folder or link. True when its atime has changed by that. */
  wasRead(ino: number): boolean {
    const node = this.#reads && this.known(ino)
    if (this.#reads === undefined || node === undefined) return false
    const times = { ...node.inode, ...this.#files.get(ino)?.draftTimes }
    return this.#reads.read(ino, times, this.#clock.time())
  }

  /**
   * Tells the attributes of names in `folder` that a listing has, which `asked` the servers for them a while
   * ago: undefined where a name may mean another file by now, or what is known of it is too old to be told.
   * To be used for one answer, without waiting for anything in between.
   */
  listingOf(
    folder: number,
    asked: Listing['asked'],
  ): (listed: ListedName) => Attributes | undefined {
    const isUnchanged = this.#namespace.isUnchangedSince(asked)
    return ({ name, ino, node: listed }) => {
      if (listed === undefined) return undefined
      if (isUnchanged) return this.#toldOf(listed)
      if (this.#namespace.cachedEntry(folder, name)?.ino !== ino) return undefined
      const node = this.#namespace.cached(ino)
      return node && this.#toldOf(node)
    }
  }

  /** What is told of it now. Throws `stale` when it is gone. */
  async getattr(ino: number): Promise<Attributes> {
    return this.told(await this.find(ino))
  }

  /** The kernel has no use for it any more. */
  forget(ino: number): void {
    this.#gone.delete(ino)
  }

  // -- what has no name any more -----------------------------------------------------------------

  /** The node has lost a name, perhaps its last one. */
  async lostName(node: Node): Promise<void> {
    if (node.inode.nlink > 0 || typeOf(node.inode.mode) === fileType.folder) return
    if (this.#files.has(node.ino)) await this.#files.orphan(node)
    else this.#gone.set(node.ino, node)
  }

  /** The node was removed while the kernel may still know of it. */
  setGone(node: Node): void {
    this.#gone.set(node.ino, node)
  }

  isGone(ino: number): boolean {
    return this.#gone.has(ino)
  }

  // -- changing ----------------------------------------------------------------------------------

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
    if (atime !== undefined) this.#reads?.forget(ino)
    if (mtime !== undefined) this.#files.get(ino)?.setTime(inode.mtime)
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

  /** Of what is made in `folder` by `caller`. `mode` has the type bits. */
  ofNew(folder: Inode, mode: number, caller: Caller): NewAttributes {
    const owner = newOwner(folder, mode, caller)
    const inherits = this.acl && typeOf(mode) !== fileType.symlink
    const inherited = inherits ? inheritedAcls(folder, owner.mode) : undefined
    // Without lists the kernel has applied the umask, and nothing is left of it to be applied.
    return { ...owner, ...(inherited ?? { mode: owner.mode & ~(caller.umask ?? 0) }) }
  }

  // -- extended attributes -----------------------------------------------------------------------

  /** null when there is none of that name. */
  async getAttribute(ino: number, name: string): Promise<Buffer | null> {
    return this.#attributeOf(await this.#nodeAsOpen(ino), name)
  }

  /** As `getAttribute`, without asking anybody: undefined when that takes a question. */
  knownAttribute(ino: number, name: string): Buffer | null | undefined {
    const node = this.#knownAsOpen(ino)
    return node && this.#attributeOf(node, name)
  }

  /** Those whose values `caller` could read: programs that copy them take it for an error else. */
  async listAttributes(ino: number, caller: Caller): Promise<string[]> {
    const { inode } = await this.#nodeAsOpen(ino)
    const names = inode.attributes.map(({ name }) => name).filter((n) => this.acl || !isAcl(n))
    if (!names.some(isTrusted) || (await mayReadTrusted(caller))) return names
    return names.filter((name) => !isTrusted(name))
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

  #attributeOf({ inode }: Node, name: string): Buffer | null {
    this.#assertKept(name)
    return isAcl(name) ? aclOf(inode, name) : attributeOf(inode, name)
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
    // When it was read last is stored with what changes anyway.
    const withReads = (inode: Inode, now: Time): Inode => {
      const atime = this.#reads?.of(ino, inode.atime) ?? inode.atime
      return change(atime === inode.atime ? inode : { ...inode, atime }, now)
    }
    const node = await this.#namespace.update(ino, withReads)
    this.#files.get(ino)?.noteNode(node)
    return node
  }

  async #nodeAsOpen(ino: number): Promise<Node> {
    return this.#knownAsOpen(ino) ?? (await this.#namespace.node(ino))
  }

  /** While a file is being written its attributes are asked for at every write: from memory then. */
  #knownAsOpen(ino: number): Node | undefined {
    const file = this.#files.get(ino)
    const open = file?.isDirty === true || file?.orphaned === true ? file.node : undefined
    return this.#gone.get(ino) ?? this.#namespace.cached(ino) ?? open
  }
}
