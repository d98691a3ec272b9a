/**
 * A file system by inode numbers on top of operations by paths, as in libfuse: numbers stand for names, an unlinked
 * file that is open gets a hidden name until it is closed, and a missing operation is replaced by another one where
 * possible.
 */
import {
  type Attributes,
  type Caller,
  type Changes,
  type Created,
  type FileSystem,
  type FolderEntry,
  FuseError,
  fileTypes,
  type Opened,
  type OpenPlace,
  type Statfs,
  type Time,
  timeOfMs,
} from '../kernel/index.js'
import type { Calls } from './calls.js'
import { errors, OperationError } from './errno.js'
import type { Descriptor, FileSystemStat, OperationName, Stat } from './operations.js'
import { type PathNode, PathTable } from './path-table.js'

/** Options of libfuse for how files are shown and opened. */
export interface Presentation {
  /** User and group of every file; undefined for those of the file. */
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** Permissions removed from every file. */
  readonly umask?: number | undefined
  /** The kernel's pages of a file stay valid when it is opened again. */
  readonly kernelCache: boolean
  /** The kernel keeps no pages of files. */
  readonly directIo: boolean
  /** Open files are unlinked like others, rather than hidden. */
  readonly hardRemove: boolean
  /** Only this user, and root, may enter. */
  readonly onlyUser?: number | undefined
}

interface OpenFile {
  readonly fd: Descriptor
  readonly node: PathNode
}

/** The id -1 of chown(2), as the operation gets it. */
const unchanged = 0xffff_ffff
/** Inode number in listings for one that is not known yet. */
const unknownIno = 0xffff_ffff
const rootStat: Stat = {
  mode: fileTypes.folder | 0o755,
  size: 4096,
  nlink: 2,
  atime: 0,
  mtime: 0,
  ctime: 0,
}
type MethodName = Extract<keyof PathFileSystem, keyof FileSystem>

/**
 * Operations of which a method needs one. A method is left out when none is there, and the kernel does without it or
 * answers ENOSYS. Other methods work in any case.
 */
const needs: Readonly<Record<MethodName, readonly OperationName[]>> = {
  access: ['access'],
  create: ['create'],
  flush: ['flush'],
  forget: [],
  fsync: ['fsync'],
  fsyncdir: ['fsyncdir'],
  getattr: [],
  getxattr: ['getxattr'],
  link: ['link'],
  listxattr: ['listxattr'],
  lookup: [],
  mkdir: ['mkdir'],
  mknod: ['mknod', 'create'],
  open: [],
  opendir: [],
  read: ['read'],
  readdir: ['readdir'],
  readlink: ['readlink'],
  release: [],
  releasedir: [],
  removexattr: ['removexattr'],
  rename: ['rename'],
  rmdir: ['rmdir'],
  setattr: ['chmod', 'chown', 'truncate', 'ftruncate', 'utimens'],
  setxattr: ['setxattr'],
  statfs: [],
  symlink: ['symlink'],
  unlink: ['unlink'],
  write: ['write'],
}

/** Makes a file system of the operations that `calls` has. */
export function pathFileSystem(calls: Calls, presentation: Presentation): FileSystem {
  const whole = new PathFileSystem(calls, presentation)
  const methods = (Object.keys(needs) as MethodName[]).flatMap((name) => {
    const operations = needs[name]
    const isThere = operations.length === 0 || operations.some((needed) => calls.has(needed))
    const method = whole[name] as (...given: unknown[]) => unknown
    return isThere ? [[name, method.bind(whole)] as const] : []
  })
  return Object.fromEntries(methods) as unknown as FileSystem
}

class PathFileSystem implements FileSystem {
  readonly #calls: Calls
  readonly #presentation: Presentation
  readonly #paths = new PathTable()
  readonly #open = new Map<number, OpenFile>()
  /** Hidden files, which are unlinked when they are closed. */
  readonly #hidden = new Set<PathNode>()
  #nextHandle = 1
  #hiddenCount = 0

  constructor(calls: Calls, presentation: Presentation) {
    this.#calls = calls
    this.#presentation = presentation
  }

  // -- names -------------------------------------------------------------------------------------

  async lookup(parent: number, name: string, caller: Caller): Promise<Attributes> {
    this.#assertMayEnter(caller)
    return this.#look(parent, name)
  }

  forget(ino: number, lookups: number): void {
    this.#paths.forget(ino, lookups)
  }

  async mknod(parent: number, name: string, mode: number, rdev: number): Promise<Attributes> {
    const path = this.#paths.below(parent, name)
    if ((mode & fileTypes.mask) === fileTypes.file && this.#calls.has('create')) {
      const [fd = 0] = await this.#calls.call('create', path, mode)
      const made = await this.#look(parent, name)
      if (this.#calls.has('release')) await this.#calls.call('release', path, fd)
      return made
    }
    await this.#calls.call('mknod', path, mode, rdev)
    return this.#look(parent, name)
  }

  async mkdir(parent: number, name: string, mode: number): Promise<Attributes> {
    await this.#calls.call('mkdir', this.#paths.below(parent, name), mode)
    return this.#look(parent, name)
  }

  async symlink(parent: number, name: string, target: string): Promise<Attributes> {
    await this.#calls.call('symlink', target, this.#paths.below(parent, name))
    return this.#look(parent, name)
  }

  async link(ino: number, parent: number, name: string): Promise<Attributes> {
    const path = this.#paths.pathOf(this.#paths.get(ino))
    await this.#calls.call('link', path, this.#paths.below(parent, name))
    return this.#look(parent, name)
  }

  async unlink(parent: number, name: string): Promise<void> {
    if (await this.#hide(parent, name)) return
    await this.#calls.call('unlink', this.#paths.below(parent, name))
    this.#paths.remove(parent, name)
  }

  async rmdir(parent: number, name: string): Promise<void> {
    await this.#calls.call('rmdir', this.#paths.below(parent, name))
    this.#paths.remove(parent, name)
  }

  async rename(
    from: number,
    fromName: string,
    to: number,
    toName: string,
    flags: number,
  ): Promise<void> {
    if (flags !== 0) throw new FuseError('EINVAL')
    await this.#hide(to, toName)
    const target = this.#paths.below(to, toName)
    await this.#calls.call('rename', this.#paths.below(from, fromName), target)
    this.#paths.move(from, fromName, to, toName)
  }

  async readlink(ino: number): Promise<string> {
    const [target] = await this.#calls.call('readlink', this.#pathOf(ino))
    if (target === undefined) throw new FuseError('EIO', 'readlink has said no target')
    return target
  }

  // -- attributes --------------------------------------------------------------------------------

  async getattr(ino: number, caller: Caller, handle?: number): Promise<Attributes> {
    this.#assertMayEnter(caller)
    return this.#attributes(this.#paths.get(ino), handle)
  }

  async setattr(ino: number, changes: Changes, _: Caller): Promise<Attributes> {
    const node = this.#paths.get(ino)
    const path = this.#paths.pathOf(node)
    const { mode, uid, gid, size, atime, mtime, handle } = changes
    if (mode !== undefined) await this.#calls.call('chmod', path, mode)
    if (uid !== undefined || gid !== undefined) {
      await this.#calls.call('chown', path, uid ?? unchanged, gid ?? unchanged)
    }
    if (size !== undefined) await this.#truncate(path, size, handle)
    // With a new size the file system sets the time by itself.
    const isOwnTime = size !== undefined && atime === undefined
    if (!isOwnTime && (atime !== undefined || mtime !== undefined)) {
      const old = await this.#attributes(node, handle)
      const times = [msOf(atime ?? old.atime), msOf(mtime ?? old.mtime)] as const
      await this.#calls.call('utimens', path, ...times)
    }
    return this.#attributes(node, handle)
  }

  async access(ino: number, mask: number, caller: Caller): Promise<void> {
    this.#assertMayEnter(caller)
    await this.#calls.call('access', this.#pathOf(ino), mask)
  }

  async getxattr(ino: number, name: string): Promise<Buffer | undefined> {
    const [value] = await this.#calls.call('getxattr', this.#pathOf(ino), name, 0)
    return value ?? undefined
  }

  async setxattr(ino: number, name: string, value: Buffer, flags: number): Promise<void> {
    await this.#calls.call('setxattr', this.#pathOf(ino), name, value, 0, flags)
  }

  async listxattr(ino: number): Promise<readonly string[]> {
    const [names = []] = await this.#calls.call('listxattr', this.#pathOf(ino))
    return names
  }

  async removexattr(ino: number, name: string): Promise<void> {
    await this.#calls.call('removexattr', this.#pathOf(ino), name)
  }

  // -- files -------------------------------------------------------------------------------------

  async open(ino: number, flags: number): Promise<Opened> {
    const node = this.#paths.get(ino)
    if (!this.#calls.has('open')) return this.#opened(node, 0)
    const [fd = 0] = await this.#calls.call('open', this.#paths.pathOf(node), flags)
    return this.#opened(node, fd)
  }

  async create(parent: number, name: string, mode: number, _: number): Promise<Created> {
    const path = this.#paths.below(parent, name)
    const [fd = 0] = await this.#calls.call('create', path, mode)
    try {
      const attributes = await this.#look(parent, name)
      return { attributes, ...this.#opened(this.#paths.get(attributes.ino), fd) }
    } catch (error) {
      if (this.#calls.has('release')) await this.#calls.call('release', path, fd)
      throw error
    }
  }

  async read({ handle, position }: OpenPlace, length: number): Promise<Buffer> {
    const { fd, node } = this.#get(handle)
    const buffer = Buffer.alloc(length)
    const given = [this.#paths.lastPathOf(node), fd, buffer, length, position] as const
    return buffer.subarray(0, await this.#calls.count('read', length, ...given))
  }

  async write({ handle, position }: OpenPlace, bytes: Buffer): Promise<number> {
    const { fd, node } = this.#get(handle)
    // The program may keep the bytes: they are its own.
    const own = Buffer.from(bytes)
    const given = [this.#paths.lastPathOf(node), fd, own, own.length, position] as const
    return this.#calls.count('write', own.length, ...given)
  }

  async flush(_: number, handle: number): Promise<void> {
    const { fd, node } = this.#get(handle)
    await this.#calls.call('flush', this.#paths.lastPathOf(node), fd)
  }

  async fsync(_: number, handle: number, dataOnly: boolean): Promise<void> {
    const { fd, node } = this.#get(handle)
    await this.#calls.call('fsync', this.#paths.lastPathOf(node), dataOnly ? 1 : 0, fd)
  }

  async release(_: number, handle: number): Promise<void> {
    const { fd, node } = this.#get(handle)
    this.#open.delete(handle)
    const path = this.#paths.lastPathOf(node)
    try {
      if (this.#calls.has('release')) await this.#calls.call('release', path, fd)
    } finally {
      if (node.opens === 1 && this.#hidden.delete(node)) await this.#removeHidden(node, path)
      this.#paths.opened(node, -1)
    }
  }

  // -- folders -----------------------------------------------------------------------------------

  async opendir(ino: number, flags: number, caller: Caller): Promise<Opened> {
    this.#assertMayEnter(caller)
    const node = this.#paths.get(ino)
    if (!this.#calls.has('opendir')) return this.#opened(node, 0)
    const [fd = 0] = await this.#calls.call('opendir', this.#paths.pathOf(node), flags)
    return this.#opened(node, fd)
  }

  async readdir(ino: number): Promise<readonly FolderEntry[]> {
    const [names = [], stats = []] = await this.#calls.call('readdir', this.#pathOf(ino))
    return [...names].flatMap((name, index) => {
      if (name === '.' || name === '..') return []
      const known = this.#paths.find(ino, name)?.ino
      return [{ name, ino: known ?? unknownIno, mode: stats[index]?.mode ?? 0 }]
    })
  }

  async releasedir(_: number, handle: number): Promise<void> {
    const { fd, node } = this.#get(handle)
    this.#open.delete(handle)
    try {
      if (this.#calls.has('releasedir')) {
        await this.#calls.call('releasedir', this.#paths.lastPathOf(node), fd)
      }
    } finally {
      this.#paths.opened(node, -1)
    }
  }

  async fsyncdir(_: number, handle: number, dataOnly: boolean): Promise<void> {
    const { fd, node } = this.#get(handle)
    await this.#calls.call('fsyncdir', this.#paths.lastPathOf(node), dataOnly ? 1 : 0, fd)
  }

  // -- the whole ---------------------------------------------------------------------------------

  async statfs(): Promise<Statfs> {
    if (!this.#calls.has('statfs')) return statfsOf({ bsize: 512, namemax: 255 })
    const [given = {}] = await this.#calls.call('statfs', '/')
    return statfsOf(given)
  }

  // -- parts -------------------------------------------------------------------------------------

  #assertMayEnter({ uid }: Caller): void {
    const { onlyUser } = this.#presentation
    if (onlyUser !== undefined && uid !== 0 && uid !== onlyUser) throw new FuseError('EACCES')
  }

  #pathOf(ino: number): string {
    return this.#paths.pathOf(this.#paths.get(ino))
  }

  #get(handle: number): OpenFile {
    const open = this.#open.get(handle)
    if (open === undefined) throw new FuseError('EBADF')
    return open
  }

  #opened(node: PathNode, fd: Descriptor): Opened {
    const handle = this.#nextHandle++
    this.#open.set(handle, { fd, node })
    this.#paths.opened(node, 1)
    const { kernelCache, directIo } = this.#presentation
    return { handle, keepCache: kernelCache, directIo }
  }

  /** Looks up a name, and counts a lookup of its inode. */
  async #look(parent: number, name: string): Promise<Attributes> {
    const stat = await this.#stat(this.#paths.below(parent, name))
    return this.#shown(this.#paths.look(parent, name, stat.mode & fileTypes.mask), stat)
  }

  async #attributes(node: PathNode, handle?: number): Promise<Attributes> {
    const open = handle === undefined ? undefined : this.#open.get(handle)
    const path = open === undefined ? this.#paths.pathOf(node) : this.#paths.lastPathOf(node)
    return this.#shown(node, await this.#stat(path, open))
  }

  async #stat(path: string, open?: OpenFile): Promise<Stat> {
    const [stat] =
      open !== undefined && this.#calls.has('fgetattr')
        ? await this.#calls.call('fgetattr', path, open.fd)
        : await this.#statOf(path)
    if (stat === undefined) throw new FuseError('EIO', 'getattr has said nothing')
    return stat
  }

  async #statOf(path: string): Promise<readonly [Stat?]> {
    if (this.#calls.has('getattr')) return this.#calls.call('getattr', path)
    if (path === '/') return [rootStat]
    throw new OperationError(errors.EPERM)
  }

  #shown({ ino }: PathNode, stat: Stat): Attributes {
    const { uid, gid, umask } = this.#presentation
    const size = Number(stat.size ?? 0)
    const mode = Number(stat.mode)
    const isFolder = (mode & fileTypes.mask) === fileTypes.folder
    const [atime, mtime, ctime] = [stat.atime, stat.mtime, stat.ctime].map(timeOf) as [
      Time,
      Time,
      Time,
    ]
    return {
      ino,
      mode: umask === undefined ? mode : (mode & fileTypes.mask) | (0o777 & ~umask),
      nlink: Number(stat.nlink ?? (isFolder ? 2 : 1)),
      uid: uid ?? Number(stat.uid ?? 0),
      gid: gid ?? Number(stat.gid ?? 0),
      rdev: Number(stat.rdev ?? 0),
      size,
      blocks: Number(stat.blocks ?? Math.ceil(size / 512)),
      blksize: Number(stat.blksize || 4096),
      atime,
      mtime,
      ctime,
      btime: stat.birthtime === undefined ? ctime : timeOf(stat.birthtime),
    }
  }

  async #truncate(path: string, size: number, handle: number | undefined): Promise<void> {
    const open = handle === undefined ? undefined : this.#open.get(handle)
    if (open !== undefined && this.#calls.has('ftruncate')) {
      await this.#calls.call('ftruncate', path, open.fd, size)
    } else await this.#calls.call('truncate', path, size)
  }

  /** Gives an open file a hidden name, so that it can still be read and written. Returns whether it did. */
  async #hide(parent: number, name: string): Promise<boolean> {
    const node = this.#paths.find(parent, name)
    if (node === undefined || node.opens === 0 || node.type === fileTypes.folder) return false
    if (this.#presentation.hardRemove || !this.#calls.has('rename')) return false
    if (this.#hidden.has(node)) return false
    this.#hiddenCount += 1
    const digits = [node.ino, this.#hiddenCount].map((number) =>
      number.toString(16).padStart(8, '0'),
    )
    const hidden = `${hiddenPrefix}${digits.join('')}`
    const path = this.#paths.below(parent, name)
    await this.#calls.call('rename', path, this.#paths.below(parent, hidden))
    this.#paths.move(parent, name, parent, hidden)
    this.#hidden.add(node)
    return true
  }

  async #removeHidden(node: PathNode, path: string): Promise<void> {
    if (node.parent === undefined) return
    await this.#calls.call('unlink', path)
    this.#paths.remove(node.parent.ino, node.name)
  }
}

const hiddenPrefix = '.fuse_hidden'

function timeOf(given: Date | number | undefined): Time {
  return timeOfMs(given ?? Date.now())
}

function msOf(time: Time | 'now'): number {
  return time === 'now' ? Date.now() : time.seconds * 1000 + Math.floor(time.nanoseconds / 1e6)
}

function statfsOf(given: FileSystemStat): Statfs {
  const { bsize = 0, frsize = bsize, blocks = 0, bfree = 0, bavail = bfree } = given
  const { files = 0, ffree = 0, namemax = 0 } = given
  return {
    blockBytes: frsize || bsize,
    preferredBytes: bsize,
    blocks,
    freeBlocks: bfree,
    availableBlocks: bavail,
    files,
    freeFiles: ffree,
    nameBytesMax: namemax,
  }
}
