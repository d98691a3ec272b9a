/**
 * The attributes of inodes as sent to the kernel, and their changes: mode, owner, times, extended attributes and
 * access control lists. Permissions are checked before, most often by the kernel.
 */
import assert from 'node:assert/strict'
import type { Clock, Time } from '../../clock.js'
import { type ListedName, type Node, newerOf } from '../../dfc/namespace/cache/node.js'
import type { Listing } from '../../dfc/namespace/lookup.js'
import type { Namespace } from '../../dfc/namespace/namespace.js'
import type { NewAttributes } from '../../dfc/namespace/plans/new-inode.js'
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
  isOfPrograms,
  isTrusted,
  whyAttribute,
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
  /** Stores access control lists, which the kernel then enforces. */
  readonly acl: boolean
  /** Reading a file does not change its atime. */
  readonly noAtime: boolean
  /** Throws `readOnly` when nothing can be changed. */
  readonly assertWritable: () => void
}

/** Attributes to send to the kernel. */
export interface ToldAttributes {
  readonly attributes: Attributes
  /** For how long the kernel may keep them. */
  readonly validMs: number
}

export class Metadata {
  readonly acl: boolean
  readonly #namespace: Namespace
  readonly #files: OpenFiles
  readonly #kernel: KernelView
  readonly #clock: Clock
  readonly #assertWritable: () => void
  readonly #reads: AccessTimes | undefined
  /** Inodes that lost their last name while no file handle has them open, until the kernel forgets them. */
  readonly #gone = new Map<number, Node>()

  constructor({ namespace, files, kernel, clock, acl, noAtime, assertWritable }: MetadataOptions) {
    this.#namespace = namespace
    this.#files = files
    this.#kernel = kernel
    this.#clock = clock
    this.acl = acl
    this.#reads = noAtime ? undefined : new AccessTimes()
    this.#assertWritable = assertWritable
  }

  // -- attributes sent to the kernel -------------------------------------------------------------

  /** Finds an inode by number, with a name or without. Throws `stale` when it is gone. */
  async find(ino: number): Promise<Node> {
    const known = this.known(ino)
    if (known !== undefined) return known
    try {
      return await this.#namespace.names.node(ino)
    } catch (error) {
      const file = this.#files.get(ino)
      // Another mount removed a file that is still open here.
      if (file === undefined || !isError(error, 'stale')) throw error
      file.isRemoved = true
      return file.node
    }
  }

  /** Finds an inode without asking a server: undefined when only a server can tell. */
  known(ino: number): Node | undefined {
    const gone = this.#gone.get(ino)
    if (gone !== undefined) return gone
    const file = this.#files.get(ino)
    return file?.orphaned === true ? file.node : this.#namespace.names.cached(ino)
  }

  /**
   * The attributes to send to the kernel for an inode that was read as `seen`. Must be called when the answer is
   * written, not before: it returns the newest attributes that this mount knows, those of uncommitted writes or else
   * of the last commit, however old `seen` is.
   */
  told(seen: Node): ToldAttributes {
    const { names } = this.#namespace
    return this.#toldOf(newerOf(names.latest(seen.ino) ?? seen, seen), names.isCertain(seen.ino))
  }

  /**
   * The attributes to send for an inode whose newest version outside of the open files is `newest`. `isCertain`: no
   * other client can have changed it.
   */
  #toldOf(newest: Node, isCertain: boolean): ToldAttributes {
    const { ino } = newest
    const gone = this.#gone.size === 0 ? undefined : this.#gone.get(ino)
    if (gone !== undefined) {
      const attributes = { ...this.#attributesOf(gone), nlink: 0 }
      return { attributes, validMs: limits.kernelCacheMs }
    }
    const file = this.#files.get(ino)
    const node = newerOf(newest, file?.node)
    file?.noteNode(node)
    const content = file?.isDirty === true ? undefined : (file?.told(node.inode) ?? node.inode)
    const validMs = this.#kernel.validMs(isCertain)
    const isFile = typeOf(node.inode.mode) === fileType.file
    this.#kernel.tell(ino, node.version, isFile ? content : undefined, file !== undefined, validMs)
    const size = content ?? file
    const attributes = this.#attributesOf(node, size, file?.draftTimes, file?.dataBytes)
    return {
      attributes: file?.isRemoved === true ? { ...attributes, nlink: 0 } : attributes,
      validMs,
    }
  }

  #attributesOf(...[node, ...rest]: Parameters<typeof attributesOf>): Attributes {
    const attributes = attributesOf(node, ...rest)
    const atime = this.#reads?.of(node.ino, attributes.atime) ?? attributes.atime
    return atime === attributes.atime ? attributes : { ...attributes, atime }
  }

  /** Notes that a program reads the file, folder or link. Returns true when that changes its atime. */
  wasRead(ino: number): boolean {
    const node = this.#reads && this.known(ino)
    if (this.#reads === undefined || node === undefined) return false
    const times = { ...node.inode, ...this.#files.get(ino)?.draftTimes }
    return this.#reads.read(ino, times, this.#clock.time())
  }

  /**
   * Returns a function for the attributes of the names in a listing of `folder`, for which the servers were asked at
   * `asked`. It returns undefined where a name may mean another file by now, or the attributes are too old to be
   * sent. It must be used for one answer, without awaiting anything in between.
   */
  listingOf(
    folder: number,
    asked: Listing['asked'],
  ): (listed: ListedName) => ToldAttributes | undefined {
    const isUnchanged = this.#namespace.names.isUnchangedSince(asked)
    const isAlone = this.#namespace.names.isAloneSince(asked)
    let isOver = false
    queueMicrotask(() => {
      isOver = true
    })
    return ({ name, ino, node: listed }) => {
      assert(!isOver, 'what is told of a listing may have changed')
      if (listed === undefined) return undefined
      const { names } = this.#namespace
      if (isUnchanged) return this.#toldOf(listed, isAlone)
      if (names.cachedEntry(folder, name)?.ino !== ino) return undefined
      const node = names.cached(ino)
      return node && this.#toldOf(node, names.certain(folder, name) != null)
    }
  }

  /** Forgets an inode that the kernel has forgotten. */
  forget(ino: number): void {
    this.#gone.delete(ino)
  }

  // -- inodes without a name ---------------------------------------------------------------------

  /** Notes that the node has lost a name, perhaps its last one. */
  async lostName(node: Node): Promise<void> {
    if (node.inode.nlink > 0 || typeOf(node.inode.mode) === fileType.folder) return
    if (this.#files.has(node.ino)) await this.#files.orphan(node)
    else this.setGone(node)
  }

  /** Notes that the node was removed while the kernel may still know it. */
  setGone(node: Node): void {
    this.#gone.set(node.ino, node)
    for (const oldest of this.#gone.keys()) {
      if (this.#gone.size <= limits.kernelCacheEntriesMax) break
      this.#gone.delete(oldest)
    }
  }

  isGone(ino: number): boolean {
    return this.#gone.has(ino)
  }

  // -- changing ----------------------------------------------------------------------------------

  async setMode(ino: number, mode: number): Promise<void> {
    await this.#update(ino, (inode, now) => withMode(inode, mode, now))
  }

  /** Changes the owner. An undefined id stays. */
  async setOwner(ino: number, uid: number | undefined, gid: number | undefined): Promise<void> {
    await this.#update(ino, (inode, now) => withOwner(inode, uid, gid, now))
  }

  /**
   * Carries out a chown(2) that changes neither id, which clears the special bits of a file. The kernel sends the
   * same before a write by `caller`, which need not be the owner; a write clears the bits by itself.
   */
  async keepOwner(ino: number, caller: Caller): Promise<void> {
    const { inode } = await this.#namespace.names.node(ino)
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

  /** Clears the special bits before a change of a file's content by `caller`, if it has no right to keep them. */
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

  /** Attributes of something created in `folder` by `caller`. `mode` includes the type bits. */
  ofNew(folder: Inode, mode: number, caller: Caller): NewAttributes {
    const owner = newOwner(folder, mode, caller)
    const inherits = this.acl && typeOf(mode) !== fileType.symlink
    const inherited = inherits ? inheritedAcls(folder, owner.mode) : undefined
    // Without ACLs the kernel has applied the umask already.
    return { ...owner, ...(inherited ?? { mode: owner.mode & ~(caller.umask ?? 0) }) }
  }

  // -- extended attributes -----------------------------------------------------------------------

  /** Returns an extended attribute, or null when there is none. */
  async getAttribute(ino: number, name: string): Promise<Buffer | null> {
    return this.#attributeOf(await this.#nodeAsOpen(ino), name)
  }

  /** Returns an extended attribute without asking a server: undefined when only a server can tell. */
  knownAttribute(ino: number, name: string): Buffer | null | undefined {
    const node = this.#knownAsOpen(ino)
    return node && this.#attributeOf(node, name)
  }

  /** Lists the names of attributes whose values `caller` may read: programs that copy them would fail on others. */
  async listAttributes(ino: number, caller: Caller): Promise<string[]> {
    const { inode } = await this.#nodeAsOpen(ino)
    const isShown = (name: string): boolean =>
      name !== whyAttribute && isOfPrograms(name) && (this.acl || !isAcl(name))
    const names = inode.attributes.map(({ name }) => name).filter(isShown)
    if (!names.some(isTrusted) || (await mayReadTrusted(caller))) return names
    return names.filter((name) => !isTrusted(name))
  }

  /** Sets an extended attribute. `losesGroupId`: with an access ACL, the caller may not keep the set-group-ID bit. */
  async setAttribute(
    ino: number,
    name: string,
    value: Buffer,
    flags: number,
    losesGroupId = false,
  ): Promise<void> {
    if (name === whyAttribute) throw new DfsError('notPermitted')
    this.#assertWritable()
    this.#assertKept(name)
    const { inode } = await this.#nodeAsOpen(ino)
    // As on ext4, setting the same value changes nothing, not even the ctime.
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
    if (name === whyAttribute) throw new DfsError('notPermitted')
    // Removing a list that does not exist is no error.
    if (isAcl(name)) await this.setAttribute(ino, name, formatAcl([]), 0)
    else await this.#update(ino, (inode, now) => withoutAttribute(inode, name, now))
  }

  #attributeOf({ inode }: Node, name: string): Buffer | null {
    this.#assertKept(name)
    return isAcl(name) ? aclOf(inode, name) : attributeOf(inode, name)
  }

  /** Checks that ACLs are stored: lists that are not enforced are neither shown nor accepted. */
  #assertKept(name: string): void {
    if (!this.acl && isAcl(name)) throw new DfsError('unsupported')
  }

  async #update(ino: number, change: (inode: Inode, now: Time) => Inode): Promise<Node> {
    this.#assertWritable()
    const gone = this.#gone.get(ino)
    if (gone !== undefined) {
      // A program that has the file open sees the change; the servers have forgotten the file.
      const changed = { ...gone, inode: change(gone.inode, this.#clock.time()) }
      this.#gone.set(ino, changed)
      return changed
    }
    // The time of the last read is stored together with another change.
    const withReads = (inode: Inode, now: Time): Inode => {
      const atime = this.#reads?.of(ino, inode.atime) ?? inode.atime
      return change(atime === inode.atime ? inode : { ...inode, atime }, now)
    }
    const node = await this.#namespace.update(ino, withReads)
    this.#files.get(ino)?.noteNode(node)
    return node
  }

  async #nodeAsOpen(ino: number): Promise<Node> {
    return this.#knownAsOpen(ino) ?? (await this.#namespace.names.node(ino))
  }

  /** An inode that is being written, from memory: its attributes are requested at every write. */
  #knownAsOpen(ino: number): Node | undefined {
    const file = this.#files.get(ino)
    const open = file?.isDirty === true || file?.orphaned === true ? file.node : undefined
    return this.#gone.get(ino) ?? this.#namespace.names.cached(ino) ?? open
  }
}
