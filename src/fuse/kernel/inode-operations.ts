/**
 * The table of operations for a FileSystem. Each operation reads the structure of its request, calls the method, and
 * encodes the result as the answer. A method that returns no promise is answered at once.
 */
import { bytesOf } from '../../byte-text.js'
import * as answers from './answers.js'
import { FuseError } from './error.js'
import type {
  Awaitable,
  Created,
  FileSystem,
  FolderEntry,
  Opened,
  OpenPlace,
  PositionedEntry,
} from './file-system.js'
import { fileTypes } from './protocol.js'
import type { Caller, Fields, Request } from './request.js'
import { noAnswer, type Operation, type Operations, type Result } from './session.js'
import * as structures from './structures.js'

/** How long the kernel may answer programs from its caches, in milliseconds. */
export interface Validity {
  /** For the inode that a name stands for. */
  readonly namesMs: number
  readonly attributesMs: number
  /** For the absence of a name. */
  readonly missingMs: number
}

interface OpenFolder {
  readonly handle: number
  /** The whole listing, if it is kept. */
  entries: readonly FolderEntry[] | undefined
}

/** Names of the positions 1 and 2. */
const dots = ['.', '..']
const unknownIno = 0xffff_ffff
/** Answer of statfs for a file system without that method: no bound is known. */
const noSpace: answers.Statfs = { blockBytes: 512, blocks: 0, freeBlocks: 0, files: 0 }

/** Builds the operations for the methods that `fileSystem` has. */
export function operationsOf(fileSystem: FileSystem, validity: Validity): Operations {
  const { namesMs, attributesMs, missingMs } = validity
  const fs = fileSystem
  const folders = new Map<number, OpenFolder>()
  let nextFolder = 1

  const entryOf = (given: answers.Attributes): Result => answers.entry(given, namesMs, attributesMs)
  const attributesOf = (given: answers.Attributes): Result =>
    answers.attributes(given, attributesMs)

  const openedOf = ({ handle, directIo = false, keepCache = false }: Opened): Buffer => {
    const noFlush = fs.flush === undefined
    return answers.opened(handle, { direct: directIo, keep: keepCache, noFlush })
  }

  const createdOf = ({ attributes, handle, directIo = false, keepCache = false }: Created) => {
    const as = { direct: directIo, keep: keepCache, noFlush: fs.flush === undefined }
    return answers.created(attributes, handle, as, namesMs, attributesMs)
  }

  const list = (
    { ino, caller }: Request,
    fields: Fields,
    plusValidMs: number | undefined,
  ): Result | Promise<Result> => {
    const { handle, at, length } = structures.readOf(fields)
    const folder = folders.get(handle)
    if (folder === undefined) throw new FuseError('EBADF')
    const from = Math.max(0, at - dots.length)
    return after(entriesOf(fs, folder, ino, from, caller), (entries) => {
      const listing = new answers.Listing(length, plusValidMs !== undefined)
      for (const [index, name] of dots.slice(at).entries()) {
        // A number other than the inode's own is not known, and no program relies on it.
        const shown = name === '.' ? ino : unknownIno
        const next = at + index + 1
        if (!listing.add({ name, ino: shown, type: answers.folderType, next }))
          return listing.answer
      }
      for (const { next, mode, attributes, ...entry } of entries) {
        const type = (mode & fileTypes.mask) >>> 12
        const plus = attributes && { attributes, validMs: plusValidMs ?? 0 }
        if (!listing.add({ ...entry, type, next: next + dots.length, plus })) break
      }
      return listing.answer
    })
  }

  const forget = (ino: number, lookups: number): void => fs.forget?.(ino, lookups)

  const table: { readonly [Name in keyof Operations]: Operation | undefined } = {
    lookup: ({ ino, caller }, fields) =>
      after(fs.lookup(ino, fields.name(), caller), (found) => {
        if (found !== undefined) return entryOf(found)
        return missingMs > 0 ? answers.noEntry(missingMs) : noName
      }),
    forget: ({ ino }, fields) => {
      forget(ino, fields.u64())
      return noAnswer
    },
    batchForget: (_, fields) => {
      structures.eachForgotten(fields, forget)
      return noAnswer
    },
    mknod:
      fs.mknod &&
      (({ ino, caller }, fields) => {
        const { name, mode, rdev, umask } = structures.mknodOf(fields)
        return after(called(fs.mknod?.(ino, name, mode, rdev, { ...caller, umask })), entryOf)
      }),
    mkdir:
      fs.mkdir &&
      (({ ino, caller }, fields) => {
        const { name, mode, umask } = structures.mkdirOf(fields)
        return after(called(fs.mkdir?.(ino, name, mode, { ...caller, umask })), entryOf)
      }),
    symlink:
      fs.symlink &&
      (({ ino, caller }, fields) => {
        const [name, target] = [fields.name(), fields.text()]
        return after(called(fs.symlink?.(ino, name, target, caller)), entryOf)
      }),
    link:
      fs.link &&
      (({ ino: parent }, fields) => {
        const ino = fields.u64()
        return after(called(fs.link?.(ino, parent, fields.name())), entryOf)
      }),
    unlink:
      fs.unlink &&
      (({ ino, caller }, fields) => after(fs.unlink?.(ino, fields.name(), caller), answers.done)),
    rmdir:
      fs.rmdir &&
      (({ ino, caller }, fields) => after(fs.rmdir?.(ino, fields.name(), caller), answers.done)),
    rename: fs.rename && ((request, fields) => rename(fs, request, structures.renameOf(fields))),
    rename2: fs.rename && ((request, fields) => rename(fs, request, structures.rename2Of(fields))),
    readlink: fs.readlink && (({ ino }) => after(called(fs.readlink?.(ino)), answers.text)),

    getattr: ({ ino, caller }, fields) =>
      after(fs.getattr(ino, caller, structures.getattrOf(fields)), attributesOf),
    statx: ({ ino, caller }, fields) =>
      after(fs.getattr(ino, caller, structures.getattrOf(fields)), (given) =>
        answers.extendedAttributes(given, attributesMs),
      ),
    setattr:
      fs.setattr &&
      (({ ino, caller }, fields) =>
        after(called(fs.setattr?.(ino, structures.setattrOf(fields), caller)), attributesOf)),
    access:
      fs.access &&
      (({ ino, caller }, fields) => after(fs.access?.(ino, fields.u32(), caller), answers.done)),
    getxattr:
      fs.getxattr &&
      (({ ino, caller }, fields) => {
        const bytesMax = structures.getxattrOf(fields)
        return after(fs.getxattr?.(ino, fields.name(), caller), (value) =>
          value === undefined ? noAttribute : sized(value, bytesMax),
        )
      }),
    setxattr:
      fs.setxattr &&
      (({ ino, caller }, fields) => {
        const { name, value, flags } = structures.setxattrOf(fields, false)
        return after(fs.setxattr?.(ino, name, value, flags, caller), answers.done)
      }),
    listxattr:
      fs.listxattr &&
      (({ ino, caller }, fields) => {
        const bytesMax = structures.getxattrOf(fields)
        return after(called(fs.listxattr?.(ino, caller)), (names) =>
          sized(bytesOf(names.map((name) => `${name}\0`).join('')), bytesMax),
        )
      }),
    removexattr:
      fs.removexattr &&
      (({ ino, caller }, fields) =>
        after(fs.removexattr?.(ino, fields.name(), caller), answers.done)),

    open: ({ ino, caller }, fields) =>
      after(fs.open?.(ino, structures.openOf(fields).flags, caller) ?? unnumbered, openedOf),
    create:
      fs.create &&
      (({ ino, caller }, fields) => {
        const { name, mode, flags, umask } = structures.createOf(fields)
        return after(called(fs.create?.(ino, name, mode, flags, { ...caller, umask })), createdOf)
      }),
    tmpfile:
      fs.tmpfile &&
      (({ ino, caller }, fields) => {
        const { mode, flags, umask } = structures.createOf(fields)
        return after(called(fs.tmpfile?.(ino, mode, flags, { ...caller, umask })), createdOf)
      }),
    read:
      fs.read &&
      (({ ino, caller }, fields) => {
        const { handle, at: position, length } = structures.readOf(fields)
        return after(called(fs.read?.({ ino, handle, position }, length, caller)), (read) => {
          if ('parts' in read) return answers.lent(read)
          const bytes = Buffer.from(read.buffer, read.byteOffset, Math.min(read.length, length))
          return answers.data(bytes)
        })
      }),
    write:
      fs.write &&
      (({ ino, caller }, fields, keep) => {
        const { handle, at: position, bytes, ...how } = structures.writeOf(fields)
        const written = called(fs.write?.({ ino, handle, position }, bytes, { ...how, caller }))
        if (!(written instanceof Promise)) return answers.count(written)
        return written.then(answers.count).finally(keep())
      }),
    flush: fs.flush && (({ ino }, fields) => after(fs.flush?.(ino, fields.u64()), answers.done)),
    fsync:
      fs.fsync &&
      (({ ino }, fields) => {
        const { handle, dataOnly } = structures.fsyncOf(fields)
        return after(fs.fsync?.(ino, handle, dataOnly), answers.done)
      }),
    release: ({ ino }, fields) => after(fs.release?.(ino, fields.u64()), answers.done),
    fallocate:
      fs.fallocate &&
      (({ ino, caller }, fields) => {
        const { handle, at: position, length, mode } = structures.fallocateOf(fields)
        const place = { ino, handle, position }
        return after(fs.fallocate?.(place, length, mode, caller), answers.done)
      }),
    lseek:
      fs.lseek &&
      (({ ino }, fields) => {
        const { handle, at: position, wanted } = structures.lseekOf(fields)
        if (wanted === undefined) throw new FuseError('EINVAL')
        return after(called(fs.lseek?.({ ino, handle, position }, wanted)), answers.whole)
      }),
    copyFileRange:
      fs.copyFileRange && (({ ino }, fields) => after(copyRange(fs, ino, fields), answers.count)),
    copyFileRange64:
      fs.copyFileRange && (({ ino }, fields) => after(copyRange(fs, ino, fields), answers.whole)),

    opendir: ({ ino, caller }, fields) =>
      after(fs.opendir?.(ino, fields.u32(), caller) ?? unnumbered, ({ handle, ...how }) => {
        const number = nextFolder++
        folders.set(number, { handle, entries: undefined })
        return openedOf({ ...how, handle: number })
      }),
    readdir: (request, fields) => list(request, fields, undefined),
    readdirplus: (request, fields) => list(request, fields, namesMs),
    releasedir: ({ ino }, fields) => {
      const number = fields.u64()
      const folder = folders.get(number)
      folders.delete(number)
      if (folder === undefined) throw new FuseError('EBADF')
      return after(fs.releasedir?.(ino, folder.handle), answers.done)
    },
    fsyncdir:
      fs.fsyncdir &&
      (({ ino }, fields) => {
        const { handle: number, dataOnly } = structures.fsyncOf(fields)
        const folder = folders.get(number)
        if (folder === undefined) throw new FuseError('EBADF')
        return after(fs.fsyncdir?.(ino, folder.handle, dataOnly), answers.done)
      }),

    statfs: () => after(fs.statfs?.() ?? noSpace, answers.statfs),
    ioctl: () => {
      throw new FuseError('ENOTTY')
    },
  }
  const has = ([, operation]: readonly [string, Operation | undefined]): boolean =>
    operation !== undefined
  return Object.fromEntries(Object.entries(table).filter(has)) as Operations
}

const unnumbered: Opened = { handle: 0, keepCache: false }
/** Frequent failures, made once: creating one costs more than the answer. */
const noName = new FuseError('ENOENT')
const noAttribute = new FuseError('ENODATA')

/** Converts a value as soon as it is there: at once, where it is no promise. */
function after<T>(value: Awaitable<T>, make: (value: T) => Result): Result | Promise<Result> {
  return value instanceof Promise ? value.then(make) : make(value)
}

/** Asserts that a method has returned a result: without the method, its operation would not be in the table. */
function called<T>(result: T | undefined): T {
  if (result === undefined)
    throw new FuseError('EIO', 'a method of the file system returned nothing')
  return result
}

function rename(
  fs: FileSystem,
  { ino, caller }: Request,
  { to, flags, fromName, toName }: structures.RenameRequest,
): Result | Promise<Result> {
  return after(fs.rename?.(ino, fromName, to, toName, flags, caller), answers.done)
}

function copyRange(fs: FileSystem, ino: number, fields: Fields): Awaitable<number> {
  const { source, target, length } = structures.copyFileRangeOf(fields)
  const from: OpenPlace = { ino, handle: source.handle, position: source.at }
  const to: OpenPlace = { ino: target.ino, handle: target.handle, position: target.at }
  return called(fs.copyFileRange?.(from, to, length))
}

/** The entries behind a position. In a kept listing, positions are indexes. */
function entriesOf(
  fs: FileSystem,
  folder: OpenFolder,
  ino: number,
  from: number,
  caller: Caller,
): Awaitable<Iterable<PositionedEntry>> {
  const { handle, entries: kept } = folder
  if (fs.readdirFrom !== undefined) return fs.readdirFrom(ino, handle, from, caller)
  if (fs.readdir === undefined) throw new FuseError('ENOSYS')
  // A read from the beginning, as after rewinddir(3), lists the folder anew.
  if (kept !== undefined && from > 0) return numbered(kept, from)
  const listed = fs.readdir(ino, handle, caller)
  const take = (entries: Iterable<FolderEntry>): Iterable<PositionedEntry> => {
    folder.entries = [...entries]
    return numbered(folder.entries, from)
  }
  return listed instanceof Promise ? listed.then(take) : take(listed)
}

function* numbered(
  entries: readonly FolderEntry[],
  from: number,
): Generator<PositionedEntry, void, undefined> {
  for (const [index, entry] of entries.slice(from).entries()) {
    yield { ...entry, next: from + index + 1 }
  }
}

/** A value, or only its length when the program offered no room for it. */
function sized(value: Buffer, bytesMax: number): Result {
  if (bytesMax === 0) return answers.count(value.length)
  return value.length > bytesMax ? new FuseError('ERANGE') : answers.data(value)
}
