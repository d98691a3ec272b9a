/**
 * The table of operations for the kernel's requests. Each reads the fields of its request in the order of
 * linux/fuse.h, calls the file system, and encodes the answer. The kernel's inode numbers are those of the file
 * system.
 */
import { constants } from 'node:fs'
import { bytesOf } from '../../byte-text.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import type { RenameHow } from '../../dfc/namespace/plans/rename.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { whyText } from '../../noted-failure.js'
import { fileType, typeOf } from '../../wire/records.js'
import * as answers from '../kernel/answers.js'
import type { Caller, Fields, Request } from '../kernel/request.js'
import { noAnswer, type Operations, type Result } from '../kernel/session.js'
import {
  type CreateRequest,
  copyFileRangeOf,
  createOf,
  eachForgotten,
  fallocateOf,
  getxattrOf,
  lseekOf,
  mkdirOf,
  mknodOf,
  openOf,
  type RenameRequest,
  readOf,
  rename2Of,
  renameOf,
  setattrOf,
  setxattrOf,
  writeOf,
} from '../kernel/structures.js'
import { whyAttribute } from '../vfs/extended-attributes.js'
import type { Filesystem } from '../vfs/filesystem.js'
import { shownName } from '../vfs/incomplete-name.js'
import type { Handle } from '../vfs/open-file.js'
import type { Opened } from '../vfs/open-files.js'
import type { OpenFolder } from '../vfs/open-folder.js'
import { seek } from '../vfs/seek.js'
import type { Activity } from './activity.js'
import { Handles } from './handles.js'

/** Modes of renameat2(2) by its flags. */
const renameModes: Readonly<Record<number, RenameHow>> = {
  0: 'replace',
  1: 'noReplace',
  2: 'exchange',
}

// fsync(2) and fdatasync(2) have the same effect, as have all flags of flush and release.

const { fileBytesMax } = limits
const statfsBlockBytes = 4096
/** Number of files shown by statfs. There is no bound; programs that check it should see plenty. */
const filesShown = 2 ** 40

/** Made once, because it is thrown that often. */
const noAttribute = new DfsError('noAttribute')

export function operationsOf(filesystem: Filesystem, activity: Activity): Operations {
  const { check, metadata, names, positions } = filesystem
  const handles = new Handles<Handle>()
  const folders = new Handles<OpenFolder>()

  /** Attributes are computed when the answer is written: see `Metadata.told`. */
  const entryOf = (node: Node, parent: number, name: string): Buffer => {
    const namedMs = filesystem.namedForMs(parent, name)
    names.tell(node.ino, parent, name, namedMs)
    const { attributes, validMs } = metadata.told(node)
    return answers.entry(attributes, namedMs, validMs)
  }

  const attributesOf = (node: Node): Buffer => {
    const { attributes, validMs } = metadata.told(node)
    return answers.attributes(attributes, validMs)
  }

  const askForAttributes = async (ino: number): Promise<Result> => {
    const node = await metadata.find(ino)
    return () => attributesOf(node)
  }

  const noEntryOf = (parent: number, name: string): Buffer => {
    const validMs = filesystem.absentForMs(parent, name)
    if (validMs <= 0) throw new DfsError('notFound')
    return answers.noEntry(validMs)
  }

  const openedOf = ({ handle, direct, keep }: Opened): readonly [number, answers.OpenedAs] => [
    handles.add(handle),
    { direct, keep, noFlush: !handle.canWrite },
  ]

  const createdOf = (
    node: Node,
    opened: readonly [number, answers.OpenedAs],
    namedMs: number,
  ): Buffer => {
    const { attributes, validMs } = metadata.told(node)
    return answers.created(attributes, ...opened, namedMs, validMs)
  }

  /**
   * Runs an action on a name in `parent`. A folder that is gone may have been replaced by another of its name: with
   * ESTALE the kernel looks that name up once more.
   */
  const ifThere = async <T>(parent: number, work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      if (isError(error, 'notFound')) await filesystem.assertThere(parent)
      throw error
    }
  }

  /**
   * Runs a change of names in `parent`, after a check that the names by which the program reached it and `others`
   * still lead there.
   */
  const inFolder = async <T>(
    parent: number,
    { pid }: Caller,
    change: (isSecond: boolean) => Promise<T>,
    ...others: readonly number[]
  ): Promise<T> => {
    filesystem.assertWritable()
    const isSecond = check.isSure() ? false : await check.assertNamed([parent, ...others], pid)
    return ifThere(parent, () => change(isSecond))
  }

  const lookUp = async (parent: number, name: string, { pid }: Caller): Promise<Result> => {
    try {
      const found = await ifThere(parent, () => filesystem.lookup(parent, name))
      return () => {
        // Another request may have changed what the name means before the answer was sent.
        const known = filesystem.known(parent, name)
        if (known === null) return noEntryOf(parent, name)
        const node = known ?? found
        check.again.found(pid, node.ino)
        return entryOf(node, parent, name)
      }
    } catch (error) {
      if (!isError(error, 'notFound')) throw error
      return noEntryOf(parent, name)
    }
  }

  /** Looks up "." or ".." of an inode number, for a file handle that the kernel has nothing else of. */
  const lookUpNumber = async (ino: number, name: string): Promise<Result> => {
    const node = await (name === '.' ? filesystem.numbered(ino) : filesystem.above(ino))
    return () => answers.entry(metadata.told(node).attributes, limits.kernelCacheMs)
  }

  const make = (
    { ino: parent, caller }: Pick<Request, 'ino' | 'caller'>,
    name: string,
    mode: number,
    special?: { readonly rdev?: number; readonly target?: string },
  ): Promise<Result> =>
    inFolder(parent, caller, async () => {
      const node = await filesystem.make(parent, name, mode, caller, special)
      return () => entryOf(node, parent, name)
    })

  /**
   * Finds a name that was asked to be created. The kernel must ask for the attributes of an existing file: it takes
   * those in the answer to a create for the latest.
   */
  const find = async (
    parent: number,
    name: string,
    { pid }: Caller,
    isSecond: boolean,
  ): Promise<Node> => {
    const node = await filesystem.lookup(parent, name)
    if (isSecond || check.again.take(pid, node.ino)) return node
    check.again.expect(pid, node.ino)
    throw new DfsError('stale')
  }

  const rename = (
    { ino: from, caller }: Request,
    { to, flags, fromName, toName }: RenameRequest,
  ): Promise<Result> => {
    const how = renameModes[flags]
    if (how === undefined) throw new DfsError('invalid')
    const change = async (): Promise<Result> => {
      await filesystem.rename(from, fromName, to, toName, how)
      return answers.done()
    }
    return inFolder(from, caller, () => ifThere(to, change), to)
  }

  const list = async (
    { ino }: Request,
    fields: Fields,
    withAttributes: boolean,
  ): Promise<Result> => {
    const { handle, at: from, length: bytesMax } = readOf(fields)
    const folder = folders.get(handle)
    const dots = ['.', '..'].slice(from)
    const page = await folder.read(from)
    if (from === 0) metadata.wasRead(ino)
    return () => {
      const told = withAttributes ? metadata.listingOf(ino, page.asked) : undefined
      const listing = new answers.Listing(bytesMax, withAttributes)
      let canStay = true
      for (const [index, name] of dots.entries()) {
        listing.add({ name, ino, type: answers.folderType, next: from + index + 1 })
      }
      for (const listed of page.entries) {
        const { name, type, ino: number } = listed
        const shown = shownName(name, listed.incomplete)
        const plus = told?.(listed)
        const next = positions.behind(name)
        if (!listing.add({ name: shown, ino: number, type, next, plus })) break
        if (plus !== undefined) names.tell(number, ino, shown, plus.validMs)
        canStay &&= plus !== undefined && !listed.incomplete
      }
      filesystem.wasListed(folder, from, page.asked, canStay)
      return listing.answer
    }
  }

  const askForAttribute = async (ino: number, name: string, bytesMax: number): Promise<Result> =>
    attributeValue(await metadata.getAttribute(ino, name), bytesMax)

  const askWhy = async (ino: number, bytesMax: number): Promise<Result> => {
    const why = await filesystem.reasons.of(ino)
    if (why === undefined) return noAttribute
    return sized(bytesOf(whyText(why)).subarray(0, limits.attributeValueBytesMax), bytesMax)
  }

  const copyRange = async ({ caller }: Request, fields: Fields): Promise<number> => {
    const { source, target, length } = copyFileRangeOf(fields, fileBytesMax)
    const [from, to] = [handles.get(source.handle), handles.get(target.handle)]
    return filesystem.copyRange(from, source.at, to, target.at, length, caller)
  }

  const openFolder = (ino: number): Buffer => {
    const folder = filesystem.openFolder(ino)
    return answers.openedFolder(folders.add(folder), folder.as)
  }

  const openNamedFolder = async (ino: number, { pid }: Caller): Promise<Result> => {
    try {
      await check.assertNamed([ino], pid)
    } catch (error) {
      // Too few servers are an error of the listing, which needs fewer than a lookup.
      if (isError(error, 'stale')) throw error
    }
    return openFolder(ino)
  }

  const forget = (ino: number): void => metadata.forget(ino)

  return {
    // -- names -----------------------------------------------------------------------------------
    lookup: ({ ino: parent, caller }, fields) => {
      const name = fields.name()
      if (name === '.' || name === '..') return lookUpNumber(parent, name)
      if (check.again.isExpected(caller.pid)) return lookUp(parent, name, caller)
      // An answer by promises would cost several times as much.
      const known = filesystem.known(parent, name)
      if (known === null) return noEntryOf(parent, name)
      return known === undefined ? lookUp(parent, name, caller) : entryOf(known, parent, name)
    },
    forget: ({ ino }) => {
      forget(ino)
      return noAnswer
    },
    batchForget: (_, fields) => {
      eachForgotten(fields, forget)
      return noAnswer
    },
    symlink: (request, fields) => {
      const [name, target] = [fields.name(), fields.text()]
      return make(request, name, fileType.symlink | 0o777, { target })
    },
    mknod: ({ ino, caller }, fields) => {
      const { name, mode, rdev, umask } = mknodOf(fields)
      const typed = typeOf(mode) === 0 ? mode | fileType.file : mode
      return make({ ino, caller: { ...caller, umask } }, name, typed, { rdev })
    },
    mkdir: ({ ino, caller }, fields) => {
      const { name, mode, umask } = mkdirOf(fields)
      const typed = fileType.folder | (mode & ~fileType.mask)
      return make({ ino, caller: { ...caller, umask } }, name, typed)
    },
    link: ({ ino: parent, caller }, fields) => {
      const ino = fields.u64()
      const name = fields.name()
      const link = async (): Promise<Result> => {
        const node = await filesystem.link(ino, parent, name)
        return () => entryOf(node, parent, name)
      }
      return inFolder(parent, caller, link, ino)
    },
    unlink: ({ ino: parent, caller }, fields) => {
      const name = fields.name()
      return inFolder(parent, caller, async () => {
        await filesystem.unlink(parent, name)
        return answers.done()
      })
    },
    rmdir: ({ ino: parent, caller }, fields) => {
      const name = fields.name()
      return inFolder(parent, caller, async () => {
        await filesystem.rmdir(parent, name)
        return answers.done()
      })
    },
    rename: (request, fields) => rename(request, renameOf(fields)),
    rename2: (request, fields) => rename(request, rename2Of(fields)),
    readlink: async ({ ino }) => answers.text(await filesystem.readlink(ino)),

    // -- attributes ------------------------------------------------------------------------------
    getattr: ({ ino }) => {
      const known = metadata.known(ino)
      return known === undefined ? askForAttributes(ino) : attributesOf(known)
    },
    statx: async ({ ino }) => {
      const node = await metadata.find(ino)
      return () => {
        const { attributes, validMs } = metadata.told(node)
        return answers.extendedAttributes(attributes, validMs)
      }
    },
    setattr: async ({ ino, caller }, fields) => {
      const { mode, uid, gid, size, atime, mtime, ...how } = setattrOf(fields)
      // chown(2) with -1 and -1: only the special bits may change.
      if (how.isEmpty) await metadata.keepOwner(ino, caller)
      if (size !== undefined) {
        const dropPrivilegesOf = how.killsPrivileges ? caller : undefined
        const handle = how.handle === undefined ? undefined : handles.get(how.handle)
        if (handle !== undefined) await filesystem.truncateOpen(handle, size, dropPrivilegesOf)
        else await filesystem.truncate(ino, size, caller, dropPrivilegesOf)
      }
      if (mode !== undefined) await metadata.setMode(ino, mode)
      if (uid !== undefined || gid !== undefined) await metadata.setOwner(ino, uid, gid)
      // A truncate is a modification by itself.
      const isOwnTime = size !== undefined && mtime === 'now'
      const times = [atime, isOwnTime ? undefined : mtime] as const
      if (times.some((time) => time !== undefined)) await metadata.setTimes(ino, ...times)
      return askForAttributes(ino)
    },
    getxattr: ({ ino }, fields) => {
      const bytesMax = getxattrOf(fields)
      const name = fields.name()
      if (name === whyAttribute) return askWhy(ino, bytesMax)
      // The kernel asks for an attribute of every new file, which has none.
      const known = metadata.knownAttribute(ino, name)
      return known === undefined
        ? askForAttribute(ino, name, bytesMax)
        : attributeValue(known, bytesMax)
    },
    listxattr: async ({ ino, caller }, fields) => {
      const bytesMax = getxattrOf(fields)
      const names = await metadata.listAttributes(ino, caller)
      return sized(bytesOf(names.map((name) => `${name}\0`).join('')), bytesMax)
    },
    setxattr: async ({ ino }, fields) => {
      const { name, value, flags, losesGroupId } = setxattrOf(fields, metadata.acl)
      await metadata.setAttribute(ino, name, value, flags, losesGroupId)
      return answers.done()
    },
    removexattr: async ({ ino }, fields) => {
      await metadata.removeAttribute(ino, fields.name())
      return answers.done()
    },

    // -- files -----------------------------------------------------------------------------------
    open: async ({ ino, caller }, fields) => {
      const { flags, killsPrivileges } = openOf(fields)
      const dropPrivilegesOf = killsPrivileges ? caller : undefined
      return answers.opened(
        ...openedOf(await filesystem.open(ino, flags, caller, dropPrivilegesOf)),
      )
    },
    create: ({ ino: parent, caller }, fields) => {
      const { name, flags, mode, umask, killsPrivileges } = newFileOf(fields)
      const dropPrivilegesOf = killsPrivileges ? caller : undefined
      return inFolder(parent, caller, async (isSecond) => {
        const mayExist = (flags & constants.O_EXCL) === 0
        const maker = { ...caller, umask }
        const node = await filesystem
          .makeFile(parent, name, mode, maker)
          .catch((error: unknown) => {
            if (mayExist && isError(error, 'exists')) return find(parent, name, caller, isSecond)
            throw error
          })
        const namedMs = filesystem.namedForMs(parent, name)
        names.tell(node.ino, parent, name, namedMs)
        const opened = openedOf(await filesystem.openNode(node, name, flags, dropPrivilegesOf))
        return () => createdOf(node, opened, namedMs)
      })
    },
    tmpfile: ({ ino: parent, caller }, fields) => {
      const { flags, mode, umask } = newFileOf(fields)
      return inFolder(parent, caller, async () => {
        const opened = await filesystem.openNameless(parent, mode, flags, { ...caller, umask })
        const { node } = opened.handle.file
        const numbered = openedOf(opened)
        return () => createdOf(node, numbered, limits.kernelCacheMs)
      })
    },
    read: async ({ caller }, fields) => {
      const { handle, at, length } = readOf(fields)
      const lent = await filesystem.read(handles.get(handle), at, length)
      for (const part of lent.parts) activity.wasRead(caller.pid, part.length)
      return answers.lent(lent)
    },
    write: async ({ caller }, fields, keep) => {
      const { handle: number, at, bytes, flags, isFromCache, killsPrivileges } = writeOf(fields)
      const handle = handles.get(number)
      activity.wasWritten(caller.pid, bytes.length)
      // Pages of a shared mapping are written where they were, even in a file that is appended to.
      const appends = !isFromCache && (flags & constants.O_APPEND) !== 0
      const dropPrivilegesOf = killsPrivileges ? caller : undefined
      if (bytes.length < limits.smallWriteBytes) {
        const own = Buffer.from(bytes)
        return answers.count(await filesystem.write(handle, at, own, appends, dropPrivilegesOf))
      }
      const give = keep()
      try {
        return answers.count(await filesystem.write(handle, at, bytes, appends, dropPrivilegesOf))
      } finally {
        give()
      }
    },
    flush: async (_, fields) => {
      await filesystem.flush(handles.get(fields.u64()))
      return answers.done()
    },
    fsync: async (_, fields) => {
      await filesystem.syncFile(handles.get(fields.u64()))
      return answers.done()
    },
    release: async (_, fields) => {
      await filesystem.close(handles.take(fields.u64()))
      return answers.done()
    },
    fallocate: async ({ caller }, fields) => {
      const { handle, at, length, mode } = fallocateOf(fields)
      await filesystem.allocate(handles.get(handle), mode, at, length, caller)
      return answers.done()
    },
    lseek: (_, fields) => {
      // There is no data or hole beyond the largest file, nor before the beginning, which is a very large number
      // here.
      const { handle, at, wanted } = lseekOf(fields, fileBytesMax)
      if (wanted === undefined) throw new DfsError('invalid')
      return answers.whole(seek(handles.get(handle), at, wanted))
    },
    copyFileRange: async (request, fields) => answers.count(await copyRange(request, fields)),
    copyFileRange64: async (request, fields) => answers.whole(await copyRange(request, fields)),

    // -- folders ---------------------------------------------------------------------------------
    opendir: ({ ino, caller }) => (check.isSure() ? openFolder(ino) : openNamedFolder(ino, caller)),
    readdir: (request, fields) => list(request, fields, false),
    readdirplus: (request, fields) => list(request, fields, true),
    releasedir: (_, fields) => {
      folders.take(fields.u64())
      return answers.done()
    },
    fsyncdir: async () => {
      await filesystem.syncFolders()
      return answers.done()
    },

    // -- the file system as a whole --------------------------------------------------------------
    statfs: async () => {
      const { totalBytes, freeBytes } = await filesystem.space.now()
      return answers.statfs({
        blockBytes: statfsBlockBytes,
        blocks: Math.floor(totalBytes / statfsBlockBytes),
        freeBlocks: Math.floor(freeBytes / statfsBlockBytes),
        files: filesShown,
      })
    },
    ioctl: () => {
      throw new DfsError('noIoctl')
    },
  }
}

/** Reads a create request as one for a regular file, whatever type its mode says. */
function newFileOf(fields: Fields): CreateRequest {
  const request = createOf(fields)
  return { ...request, mode: fileType.file | (request.mode & ~fileType.mask) }
}

/** Answers with an extended attribute, if there is one. */
function attributeValue(value: Buffer | null, bytesMax: number): Result {
  return value === null ? noAttribute : sized(value, bytesMax)
}

/** Answers with a value, or with its length when the program offered no room. */
function sized(value: Buffer, bytesMax: number): Result {
  if (bytesMax === 0) return answers.count(value.length)
  if (value.length > bytesMax) throw new DfsError('range')
  return answers.data(value)
}
