/**
 * The table of FUSE operations: which one does what with the file system. Arguments arrive as the
 * binding hands them over, paths and handles; every result and failure is translated in reply.ts.
 */
import { constants } from 'node:fs'
import type { Time } from '../clock.js'
import type { RenameHow } from '../dfc/namespace.js'
import { DfsError, isError } from '../errors.js'
import { limits } from '../limits.js'
import { fileType, typeOf } from '../wire/records.js'
import type { Attributes, Caller } from './attributes.js'
import type { Filesystem } from './filesystem.js'
import { Handles } from './handles.js'
import type { Handle } from './open-file.js'
import type { Opened } from './open-files.js'
import { type OpenFolder, replyOf } from './open-folder.js'
import type { OtherNames } from './other-names.js'
import type { Paths } from './paths.js'
import { answerCounts, answerLists, answerValues, type Context } from './reply.js'

/** 64-bit numbers arrive as bigint where a number could not be exact. */
type Whole = number | bigint
/** With `nullPathOk` there is no path where a handle says which file is meant. */
type MaybePath = string | null

interface GivenTime {
  readonly seconds: Whole
  readonly nanoseconds: number
}

interface OpenedFile {
  readonly fd: number
  readonly directIO: boolean
  readonly keepCache: boolean
}

/** utimensat(2). */
const timeIsNow = 0x3fff_ffff
const timeIsOmitted = 0x3fff_fffe

/** renameat2(2). */
const renameModes: Readonly<Record<number, RenameHow>> = {
  0: 'replace',
  1: 'noReplace',
  2: 'exchange',
}

const seekData = 3
const seekHole = 4

const statfsBlockBytes = 4096
/** There is no bound on the number of files; programs that look at it shall see plenty. */
const filesShown = 2 ** 40

/** `isReplacing` says whether a process is inside rename(2): see `hideFile`. */
export interface OperationsOptions {
  readonly filesystem: Filesystem
  readonly paths: Paths
  readonly names: OtherNames
  readonly context: Context
  readonly isRenaming: (caller: Caller) => Promise<boolean>
}

export function operationsOf({ filesystem, paths, names, context, isRenaming }: OperationsOptions) {
  const { files } = filesystem
  const handles = new Handles<Handle>()
  const folders = new Handles<OpenFolder>()

  /** Runs a change of the file that `path` or a handle means; its other names show it at once. */
  const changing = async <T>(
    path: MaybePath,
    fd: Whole,
    change: (ino: number) => Promise<T>,
    kind: 'attributes' | 'content' | 'extended' = 'attributes',
  ): Promise<T> => {
    const handle = whole(fd) === 0 ? undefined : handles.get(whole(fd))
    const ino = handle?.file.ino ?? (await paths.ino(path ?? '/'))
    const result = await change(ino)
    if (kind !== 'extended') noteHidden(path)
    await tellOthers(ino, path ?? handle?.path ?? '/', kind === 'content')
    return result
  }

  const tellOthers = async (ino: number, path: string, changesContent = false): Promise<void> => {
    const file = files.get(ino)
    const isLinked = file !== undefined && file.node.inode.nlink > 1
    if (names.isEmpty && !isLinked) return
    await names.changed(ino, path, isLinked && changesContent ? file.handles : [])
  }

  /** After a change of what `handle` has open, such as a write: hardly ever anything to do. */
  const wrote = async <T>({ file, path }: Handle, result: T): Promise<T> => {
    if (file.node.inode.nlink > 1) await tellOthers(file.ino, path, true)
    return result
  }

  /** Who has `path` now, if it is a name among others that the kernel was told of. */
  const linkedAt = async (path: string): Promise<number | undefined> => {
    if (names.isEmpty) return undefined
    try {
      return await paths.ino(path)
    } catch (error) {
      if (isError(error, 'notFound')) return undefined
      throw error
    }
  }

  const told = <A extends Attributes>(attributes: A, path: string): A => {
    const isFolder = typeOf(attributes.mode) === fileType.folder
    if (attributes.nlink > 1 && !isFolder) names.note(path, attributes.ino)
    return attributes
  }

  /**
   * libfuse takes one off the links of a file that it has hidden, believing that the hidden name is
   * one of them. It does not do so in the answer to a change of attributes, which it asks for as well.
   */
  const changedHidden = new Set<string>()
  const noteHidden = (path: MaybePath): void => {
    if (path !== null && paths.hidesAny && paths.isHidden(path)) changedHidden.add(path)
  }
  const seen = (attributes: Attributes, path: MaybePath): Attributes => {
    if (path === null || !paths.hidesAny || !paths.isHidden(path)) return attributes
    if (attributes.nlink === 0 || changedHidden.delete(path)) return attributes
    return { ...attributes, nlink: attributes.nlink + 1 }
  }

  const opened = ({ handle, direct, keep }: Opened): OpenedFile => ({
    fd: handles.add(handle),
    directIO: direct,
    keepCache: keep,
  })

  /**
   * libfuse gives an open file that loses its name a hidden one, by a rename. It is the first half of
   * unlink(2), or of a rename(2) onto the file: then the name stays until the second half replaces
   * it, so that there is no moment without a file of that name.
   */
  const hideFile = async (caller: Caller, path: string, hidden: string): Promise<void> => {
    const ino = await paths.ino(path)
    if (!files.has(ino)) throw new DfsError('notPermitted')
    if (!(await isRenaming(caller))) {
      await paths.at(path, ({ parent, name }) => filesystem.unlink(parent, name))
      await tellOthers(ino, path)
    }
    paths.hide(hidden, ino)
  }

  const make = (
    path: string,
    mode: number,
    caller: Caller,
    special?: { readonly rdev?: number; readonly target?: string },
  ) => {
    if (paths.isHidden(path)) throw new DfsError('notPermitted')
    return paths.at(path, ({ parent, name }) =>
      filesystem.make(parent, name, mode, caller, special),
    )
  }

  const values = {
    // -- attributes ------------------------------------------------------------------------------
    getattr: async (_: Caller, path: MaybePath) =>
      seen(
        told(filesystem.attributes(await paths.node(path ?? '/'), path ?? '/'), path ?? '/'),
        path,
      ),
    fgetattr: async (_: Caller, path: MaybePath, fd: Whole): Promise<Attributes> => {
      const handle = handles.get(whole(fd))
      return seen(told(await filesystem.getattr(handle), path ?? handle.path), path)
    },
    chmodWithHandle: async (_: Caller, path: MaybePath, fd: Whole, mode: number) =>
      changing(path, fd, (ino) => filesystem.setMode(ino, mode)),
    chownWithHandle: async (_: Caller, path: MaybePath, fd: Whole, uid: number, gid: number) =>
      changing(path, fd, (ino) => filesystem.setOwner(ino, uid, gid)),
    utimensWithHandle: async (
      _: Caller,
      path: MaybePath,
      fd: Whole,
      atime: GivenTime,
      mtime: GivenTime,
    ) => changing(path, fd, (ino) => filesystem.setTimes(ino, timeOf(atime), timeOf(mtime))),
    truncate: async (caller: Caller, path: MaybePath, size: Whole) =>
      changing(path, 0, (ino) => filesystem.truncate(ino, whole(size), caller), 'content'),
    ftruncate: async (caller: Caller, path: MaybePath, fd: Whole, size: Whole) => {
      const handle = handles.get(whole(fd))
      await filesystem.losePrivileges(handle.file.node, caller)
      const truncated = await files.truncate(handle, whole(size))
      noteHidden(path)
      return wrote(handle, truncated)
    },

    // -- names -----------------------------------------------------------------------------------
    mkdir: async (caller: Caller, path: string, mode: number) => {
      await make(path, fileType.folder | (mode & ~fileType.mask), caller)
    },
    mknod: async (caller: Caller, path: string, mode: number, device: Whole) => {
      const typed = typeOf(mode) === 0 ? mode | fileType.file : mode
      await make(path, typed, caller, { rdev: whole(device) })
    },
    symlink: async (caller: Caller, target: string, path: string) => {
      if (target.includes('\ufffd')) throw new DfsError('illegalName')
      await make(path, fileType.symlink | 0o777, caller, { target })
    },
    readlink: async (_: Caller, path: string) => filesystem.readlink(await paths.ino(path)),
    link: async (_: Caller, path: string, to: string) => {
      if (paths.isHidden(to)) throw new DfsError('notPermitted')
      const ino = await paths.ino(path)
      await paths.at(to, ({ parent, name }) => filesystem.link(ino, parent, name))
      await Promise.all([names.relinked(path), names.changed(ino, path)])
    },
    unlink: async (_: Caller, path: string) => {
      changedHidden.delete(path)
      if (paths.unhide(path)) return
      const ino = await linkedAt(path)
      await paths.at(path, ({ parent, name }) => filesystem.unlink(parent, name))
      if (ino !== undefined) await names.changed(ino, path)
    },
    rmdir: async (_: Caller, path: string) =>
      paths.at(path, ({ parent, name }) => filesystem.rmdir(parent, name)),
    renameWithFlags: async (caller: Caller, from: string, to: string, flags: number) => {
      if (paths.isHidden(to)) return hideFile(caller, from, to)
      const how = renameModes[flags]
      if (how === undefined) throw new DfsError('invalid')
      const linked = await Promise.all([linkedAt(from), linkedAt(to)])
      await paths.at(from, (source) =>
        paths.at(to, (target) =>
          filesystem.rename(source.parent, source.name, target.parent, target.name, how),
        ),
      )
      if (how !== 'exchange') filesystem.kernel.move(from, to)
      if (how !== 'exchange') names.moved(from, to)
      const [moved, met] = linked
      if (moved !== undefined) await names.changed(moved, to)
      if (met !== undefined) await names.changed(met, how === 'exchange' ? from : to)
    },

    // -- files -----------------------------------------------------------------------------------
    open: async (caller: Caller, path: string, flags: number): Promise<OpenedFile> =>
      opened(await filesystem.open(await paths.fresh(path), path, lastName(path), flags, caller)),
    createWithFlags: async (
      caller: Caller,
      path: string,
      mode: number,
      flags: number,
    ): Promise<OpenedFile> => {
      if (paths.isHidden(path)) throw new DfsError('notPermitted')
      const typed = fileType.file | (mode & ~fileType.mask)
      const node = await paths
        .at(path, ({ parent, name }) => filesystem.makeFile(parent, name, typed, caller))
        .catch((error: unknown) => {
          const mayExist = (flags & constants.O_EXCL) === 0
          if (!mayExist || !isError(error, 'exists')) throw error
          return paths.fresh(path)
        })
      filesystem.kernel.forget(path)
      return opened(await filesystem.open(node, path, lastName(path), flags, caller))
    },
    readBuffer: async (_: Caller, _path: MaybePath, fd: Whole, length: number, at: Whole) =>
      files.read(handles.get(whole(fd)), whole(at), length),
    flush: async (_: Caller, _path: MaybePath, fd: Whole) => files.flush(handles.get(whole(fd))),
    fsync: async (_: Caller, _path: MaybePath, _dataOnly: boolean, fd: Whole) =>
      files.sync(handles.get(whole(fd))),
    release: async (_: Caller, _path: MaybePath, fd: Whole) => files.close(handles.take(whole(fd))),
    fallocate: async (
      caller: Caller,
      _path: MaybePath,
      fd: Whole,
      mode: number,
      at: Whole,
      length: Whole,
    ) => {
      const handle = handles.get(whole(fd))
      await wrote(handle, await filesystem.allocate(handle, mode, whole(at), whole(length), caller))
    },
    lseek: async (_: Caller, _path: MaybePath, fd: Whole, at: Whole, whence: number) => {
      if (whence !== seekData && whence !== seekHole) throw new DfsError('invalid')
      const wanted = whence === seekData ? 'data' : 'hole'
      return filesystem.seek(handles.get(whole(fd)), whole(at), wanted)
    },

    // -- folders ---------------------------------------------------------------------------------
    opendir: async (_: Caller, path: string, _flags: number) => ({
      fd: folders.add(filesystem.openFolder(await paths.ino(path))),
    }),
    releasedir: async (_: Caller, _path: MaybePath, fd: Whole) => {
      folders.take(whole(fd))
    },
    fsyncdir: async (_: Caller, _path: MaybePath, _dataOnly: boolean, _fd: Whole) =>
      filesystem.syncFolders(),

    // -- the rest --------------------------------------------------------------------------------
    statfs: async (_: Caller, _path: string) => {
      const { totalBytes, freeBytes } = await filesystem.space()
      const free = Math.floor(freeBytes / statfsBlockBytes)
      return {
        bsize: statfsBlockBytes,
        frsize: statfsBlockBytes,
        blocks: Math.floor(totalBytes / statfsBlockBytes),
        bfree: free,
        bavail: free,
        files: filesShown,
        ffree: filesShown,
        favail: filesShown,
        namemax: limits.nameBytesMax,
      }
    },
    getxattr: async (_: Caller, path: string, name: string, _position: number) =>
      filesystem.getAttribute(await paths.ino(path), name),
    listxattr: async (_: Caller, path: string) => filesystem.listAttributes(await paths.ino(path)),
    setxattr: async (
      _: Caller,
      path: string,
      name: string,
      value: Buffer,
      _position: number,
      flags: number,
    ) => changing(path, 0, (ino) => filesystem.setAttribute(ino, name, value, flags), 'extended'),
    removexattr: async (_: Caller, path: string, name: string) =>
      changing(path, 0, (ino) => filesystem.removeAttribute(ino, name), 'extended'),
  }

  const counts = {
    write: async (
      caller: Caller,
      _path: MaybePath,
      fd: Whole,
      bytes: Buffer,
      length: number,
      at: Whole,
    ) => {
      const written = bytes.length === length ? bytes : bytes.subarray(0, length)
      const handle = handles.get(whole(fd))
      return wrote(handle, await filesystem.write(handle, whole(at), written, caller))
    },
    copyFileRange: async (
      caller: Caller,
      _source: MaybePath,
      sourceFd: Whole,
      from: Whole,
      _target: MaybePath,
      targetFd: Whole,
      at: Whole,
      length: Whole,
      _flags: number,
    ) => {
      const source = handles.get(whole(sourceFd))
      const target = handles.get(whole(targetFd))
      await filesystem.losePrivileges(target.file.node, caller)
      const copied = await files.copyRange(source, whole(from), target, whole(at), clamped(length))
      return wrote(target, copied)
    },
  }

  const lists = {
    /** Names, the kind of each, and for each the position behind it. */
    readdirPaged: async (
      _: Caller,
      _path: MaybePath,
      fd: Whole,
      offset: Whole,
    ): Promise<[string[], { mode: number }[], number[]]> => {
      const from = whole(offset)
      const dots = ['.', '..'].slice(from)
      const first = Math.max(0, from - 2)
      const listed = replyOf(await folders.get(whole(fd)).read(first))
      const names = listed.map(({ name, incomplete }) => filesystem.shownName(name, incomplete))
      const modes = listed.map(({ type }) => ({ mode: type << 12 }))
      return [
        [...dots, ...names],
        [...dots.map(() => ({ mode: fileType.folder })), ...modes],
        [...dots, ...names].map((_name, index) => from + index + 1),
      ]
    },
  }

  return {
    ...answerValues(context, values),
    ...answerCounts(context, counts),
    ...answerLists(context, lists),
  }
}

function whole(value: Whole): number {
  if (typeof value === 'bigint') throw new DfsError('tooLarge')
  return value
}

/** A length that may be "as much as there is". */
function clamped(value: Whole): number {
  return Number(value < limits.fileBytesMax ? value : limits.fileBytesMax)
}

function timeOf({ seconds, nanoseconds }: GivenTime): Time | 'now' | undefined {
  if (nanoseconds === timeIsOmitted) return undefined
  if (nanoseconds === timeIsNow) return 'now'
  return { seconds: whole(seconds), nanoseconds }
}

function lastName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
