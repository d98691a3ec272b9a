/**
 * The table of what the kernel asks for: each reads the fields of its request in the order of
 * linux/fuse.h, has the file system do it, and says what the kernel is to know. Files are meant by
 * inode numbers, ours and the kernel's being the same.
 */
import { constants } from 'node:fs'
import { bytesOf } from '../byte-text.js'
import type { Time } from '../clock.js'
import type { Node } from '../dfc/node.js'
import type { RenameHow } from '../dfc/rename.js'
import { DfsError, isError } from '../errors.js'
import { limits } from '../limits.js'
import { fileType, typeOf } from '../wire/records.js'
import type { Caller } from './attributes.js'
import type { Filesystem } from './filesystem.js'
import { Handles } from './handles.js'
import * as answers from './kernel/answers.js'
import {
  openKillsPrivileges,
  setattrFlags,
  setxattrKillsGroupId,
  writeFromCache,
  writeKillsPrivileges,
} from './kernel/protocol.js'
import { type Fields, type Request, secondsMax, secondsMin } from './kernel/request.js'
import { noAnswer, type Operations, type Result } from './kernel/session.js'
import type { Handle } from './open-file.js'
import type { Opened } from './open-files.js'
import type { OpenFolder } from './open-folder.js'

/** renameat2(2). */
const renameModes: Readonly<Record<number, RenameHow>> = {
  0: 'replace',
  1: 'noReplace',
  2: 'exchange',
}

/** lseek(2). */
const wantedBy: Readonly<Record<number, 'data' | 'hole'>> = { 3: 'data', 4: 'hole' }

/** fsync(2) and fdatasync(2) do the same, and so do all flags of flush and release. */
const statfsBlockBytes = 4096
/** There is no bound on the number of files; programs that look at it shall see plenty. */
const filesShown = 2 ** 40

/** Made once: it is given that often. */
const noAttribute = new DfsError('noAttribute')

export function operationsOf(filesystem: Filesystem): Operations {
  const { check, files, metadata, names, positions } = filesystem
  const handles = new Handles<Handle>()
  const folders = new Handles<OpenFolder>()

  /** What is told of attributes is put together when it is written: see `Metadata.told`. */
  const entryOf = (node: Node, parent: number, name: string): Buffer => {
    names.tell(node.ino, parent, name)
    return answers.entry(metadata.told(node))
  }

  const attributesOf = async (ino: number): Promise<Result> => {
    const node = await metadata.find(ino)
    return () => answers.attributes(metadata.told(node))
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

  /**
   * What has to do with a name in `parent`. A folder that is gone may have been replaced by another of its
   * name: with ESTALE the kernel looks for it once more.
   */
  const ifThere = async <T>(parent: number, work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      if (isError(error, 'notFound')) await filesystem.assertThere(parent)
      throw error
    }
  }

  /** A change of names in `parent`, which the program came to by a name as well as to `others`. */
  const inFolder = async <T>(
    parent: number,
    { pid }: Caller,
    change: (isSecond: boolean) => Promise<T>,
    ...others: readonly number[]
  ): Promise<T> => {
    filesystem.assertWritable()
    const isSecond = check.isSure ? false : await check.assertNamed([parent, ...others], pid)
    return ifThere(parent, () => change(isSecond))
  }

  const lookUp = async (parent: number, name: string, { pid }: Caller): Promise<Result> => {
    try {
      const found = await ifThere(parent, () => filesystem.lookup(parent, name))
      return () => {
        // What was asked for may have been given another meaning here before the answer came.
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

  /** The kernel has forgotten what a file handle stands for, and has nothing but the number. */
  const lookUpNumber = async (ino: number, name: string): Promise<Result> => {
    const node = await (name === '.' ? filesystem.numbered(ino) : filesystem.above(ino))
    return () => answers.entry(metadata.told(node))
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

  /** Of a file that was there the kernel must ask: it takes what is told of a new one for the latest. */
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
    to: number,
    flags: number,
    fields: Fields,
  ): Promise<Result> => {
    const how = renameModes[flags]
    if (how === undefined) throw new DfsError('invalid')
    const [fromName, toName] = [fields.name(), fields.name()]
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
    const folder = folders.get(fields.u64())
    const from = fields.u64()
    const bytesMax = fields.u32()
    const dots = ['.', '..'].slice(from)
    const page = await folder.read(from)
    return () => {
      const told = withAttributes ? metadata.listingOf(ino, page.asked) : undefined
      const listing = new answers.Listing(bytesMax, withAttributes)
      for (const [index, name] of dots.entries()) {
        listing.add({ name, ino, type: answers.folderType, next: from + index + 1 })
      }
      for (const listed of page.entries) {
        const { name, type, ino: number } = listed
        const shown = filesystem.shownName(name, listed.incomplete)
        const attributes = told?.(listed)
        const next = positions.behind(name)
        if (!listing.add({ name: shown, ino: number, type, next, attributes })) break
        if (attributes !== undefined) names.tell(number, ino, shown)
      }
      return listing.answer
    }
  }

  const askForAttribute = async (ino: number, name: string, bytesMax: number): Promise<Result> =>
    attributeValue(await metadata.getAttribute(ino, name), bytesMax)

  const copyRange = async ({ caller }: Request, fields: Fields): Promise<number> => {
    const source = handles.get(fields.u64())
    const from = fields.u64()
    const target = handles.get(fields.skip(8).u64())
    const at = fields.u64()
    const length = fields.length64()
    await metadata.losePrivileges(target.file.node, caller)
    return files.copyRange(source, from, target, at, length)
  }

  const openFolder = (ino: number): Buffer =>
    answers.opened(folders.add(filesystem.openFolder(ino)))

  const openNamedFolder = async (ino: number, { pid }: Caller): Promise<Result> => {
    try {
      await check.assertNamed([ino], pid)
    } catch (error) {
      // That nobody can be asked is said when it is listed, which takes fewer servers.
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
      // Promises would cost several times as much as the answer.
      const known = filesystem.known(parent, name)
      if (known === null) return noEntryOf(parent, name)
      return known === undefined ? lookUp(parent, name, caller) : entryOf(known, parent, name)
    },
    forget: ({ ino }) => {
      forget(ino)
      return noAnswer
    },
    batchForget: (_, fields) => {
      const count = fields.u32()
      fields.skip(4)
      for (let index = 0; index < count; index += 1) {
        forget(fields.u64())
        fields.skip(8)
      }
      return noAnswer
    },
    symlink: (request, fields) => {
      const [name, target] = [fields.name(), fields.text()]
      return make(request, name, fileType.symlink | 0o777, { target })
    },
    mknod: ({ ino, caller }, fields) => {
      const [mode, rdev, umask] = [fields.u32(), fields.u32(), fields.u32()]
      const typed = typeOf(mode) === 0 ? mode | fileType.file : mode
      const name = fields.skip(4).name()
      return make({ ino, caller: { ...caller, umask } }, name, typed, { rdev })
    },
    mkdir: ({ ino, caller }, fields) => {
      const [mode, umask] = [fields.u32(), fields.u32()]
      const typed = fileType.folder | (mode & ~fileType.mask)
      return make({ ino, caller: { ...caller, umask } }, fields.name(), typed)
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
    rename: (request, fields) => rename(request, fields.u64(), 0, fields),
    rename2: (request, fields) => {
      const [to, flags] = [fields.u64(), fields.u32()]
      return rename(request, to, flags, fields.skip(4))
    },
    readlink: async ({ ino }) => answers.text(await filesystem.readlink(ino)),

    // -- attributes ------------------------------------------------------------------------------
    getattr: ({ ino }) => {
      const known = metadata.known(ino)
      return known === undefined ? attributesOf(ino) : answers.attributes(metadata.told(known))
    },
    statx: async ({ ino }) => {
      const node = await metadata.find(ino)
      return () => answers.extendedAttributes(metadata.told(node))
    },
    setattr: async ({ ino, caller }, fields) => {
      const valid = fields.u32()
      const has = (flag: number): boolean => (valid & flag) !== 0
      const handle = fields.skip(4).u64()
      const size = has(setattrFlags.size) ? fields.u64() : fields.skip(8) && undefined
      fields.skip(8)
      const [atime, mtime] = [
        secondsOf(fields, has(setattrFlags.atime)),
        secondsOf(fields, has(setattrFlags.mtime)),
      ]
      const [atimeNs, mtimeNs] = [fields.skip(8).u32(), fields.u32()]
      const mode = fields.skip(4).u32()
      const [uid, gid] = [fields.skip(4).u32(), fields.u32()]

      // chown(2) with -1 and -1: what is left of it.
      if (valid === 0) await metadata.keepOwner(ino, caller)
      if (size !== undefined) {
        const kills = has(setattrFlags.killPrivileges) ? caller : undefined
        if (has(setattrFlags.handle))
          await filesystem.truncateOpen(handles.get(handle), size, kills)
        else await filesystem.truncate(ino, size, caller, kills)
      }
      if (has(setattrFlags.mode)) await metadata.setMode(ino, mode)
      if (has(setattrFlags.uid | setattrFlags.gid)) {
        await metadata.setOwner(
          ino,
          has(setattrFlags.uid) ? uid : undefined,
          has(setattrFlags.gid) ? gid : undefined,
        )
      }
      // A truncate is a modification by itself.
      const isOwnTime = size !== undefined && has(setattrFlags.mtimeNow)
      const times = [
        timeOf(atime, atimeNs, has(setattrFlags.atimeNow)),
        isOwnTime ? undefined : timeOf(mtime, mtimeNs, has(setattrFlags.mtimeNow)),
      ] as const
      if (times.some((time) => time !== undefined)) await metadata.setTimes(ino, ...times)
      return attributesOf(ino)
    },
    getxattr: ({ ino }, fields) => {
      const bytesMax = fields.u32()
      const name = fields.skip(4).name()
      // The kernel asks for one of every new file, which has none.
      const known = metadata.knownAttribute(ino, name)
      return known === undefined
        ? askForAttribute(ino, name, bytesMax)
        : attributeValue(known, bytesMax)
    },
    listxattr: async ({ ino, caller }, fields) => {
      const bytesMax = fields.u32()
      const names = await metadata.listAttributes(ino, caller)
      return sized(bytesOf(names.map((name) => `${name}\0`).join('')), bytesMax)
    },
    setxattr: async ({ ino }, fields) => {
      const [bytes, flags] = [fields.u32(), fields.u32()]
      // Two more fields were agreed upon with access control lists.
      const how = metadata.acl ? fields.u32() : 0
      const name = (metadata.acl ? fields.skip(4) : fields).name()
      const value = Buffer.from(fields.bytes(bytes))
      const losesGroupId = (how & setxattrKillsGroupId) !== 0
      await metadata.setAttribute(ino, name, value, flags, losesGroupId)
      return answers.done()
    },
    removexattr: async ({ ino }, fields) => {
      await metadata.removeAttribute(ino, fields.name())
      return answers.done()
    },

    // -- files -----------------------------------------------------------------------------------
    open: async ({ ino, caller }, fields) => {
      const [flags, how] = [fields.u32(), fields.u32()]
      const kills = (how & openKillsPrivileges) !== 0 ? caller : undefined
      return answers.opened(...openedOf(await filesystem.open(ino, flags, caller, kills)))
    },
    create: ({ ino: parent, caller }, fields) => {
      const { flags, mode, umask, how } = newFileOf(fields)
      const name = fields.name()
      const kills = (how & openKillsPrivileges) !== 0 ? caller : undefined
      return inFolder(parent, caller, async (isSecond) => {
        const mayExist = (flags & constants.O_EXCL) === 0
        const maker = { ...caller, umask }
        const node = await filesystem
          .makeFile(parent, name, mode, maker)
          .catch((error: unknown) => {
            if (mayExist && isError(error, 'exists')) return find(parent, name, caller, isSecond)
            throw error
          })
        names.tell(node.ino, parent, name)
        const opened = openedOf(await filesystem.openNode(node, name, flags, kills))
        return () => answers.created(metadata.told(node), ...opened)
      })
    },
    tmpfile: ({ ino: parent, caller }, fields) => {
      const { flags, mode, umask } = newFileOf(fields)
      return inFolder(parent, caller, async () => {
        const opened = await filesystem.openNameless(parent, mode, flags, { ...caller, umask })
        const { node } = opened.handle.file
        const numbered = openedOf(opened)
        return () => answers.created(metadata.told(node), ...numbered)
      })
    },
    read: async (_, fields) => {
      const handle = handles.get(fields.u64())
      const at = fields.u64()
      return answers.lent(await files.read(handle, at, fields.u32()))
    },
    write: async ({ caller }, fields, keep) => {
      const handle = handles.get(fields.u64())
      const at = fields.u64()
      const [length, how] = [fields.u32(), fields.u32()]
      const flags = fields.skip(8).u32()
      const bytes = fields.skip(4).bytes(length)
      // Pages of a shared mapping belong where they were, also in a file that is appended to.
      const appends = (how & writeFromCache) === 0 && (flags & constants.O_APPEND) !== 0
      const kills = (how & writeKillsPrivileges) !== 0 ? caller : undefined
      if (length < limits.smallWriteBytes) {
        const own = Buffer.from(bytes)
        return answers.count(await filesystem.write(handle, at, own, appends, kills))
      }
      const give = keep()
      try {
        return answers.count(await filesystem.write(handle, at, bytes, appends, kills))
      } finally {
        give()
      }
    },
    flush: async (_, fields) => {
      await files.flush(handles.get(fields.u64()))
      return answers.done()
    },
    fsync: async (_, fields) => {
      await files.sync(handles.get(fields.u64()))
      return answers.done()
    },
    release: async (_, fields) => {
      await files.close(handles.take(fields.u64()))
      return answers.done()
    },
    fallocate: async ({ caller }, fields) => {
      const handle = handles.get(fields.u64())
      const [at, length, mode] = [fields.u64(), fields.u64(), fields.u32()]
      await filesystem.allocate(handle, mode, at, length, caller)
      return answers.done()
    },
    lseek: (_, fields) => {
      const handle = handles.get(fields.u64())
      // Nothing is where no file reaches, nor before the beginning, which is a very large number here.
      const at = fields.length64()
      const wanted = wantedBy[fields.u32()]
      if (wanted === undefined) throw new DfsError('invalid')
      return answers.whole(filesystem.seek(handle, at, wanted))
    },
    copyFileRange: async (request, fields) => answers.count(await copyRange(request, fields)),
    copyFileRange64: async (request, fields) => answers.whole(await copyRange(request, fields)),

    // -- folders ---------------------------------------------------------------------------------
    opendir: ({ ino, caller }) => (check.isSure ? openFolder(ino) : openNamedFolder(ino, caller)),
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

    // -- the whole -------------------------------------------------------------------------------
    statfs: async () => {
      const { totalBytes, freeBytes } = await filesystem.space()
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

/** struct fuse_create_in. */
function newFileOf(fields: Fields): Readonly<Record<'flags' | 'mode' | 'umask' | 'how', number>> {
  const [flags, mode, umask, how] = [fields.u32(), fields.u32(), fields.u32(), fields.u32()]
  return { flags, mode: fileType.file | (mode & ~fileType.mask), umask, how }
}

/** Of an extended attribute, if there is one. */
function attributeValue(value: Buffer | null, bytesMax: number): Result {
  return value === null ? noAttribute : sized(value, bytesMax)
}

/** A value, or how long it is when no room was offered for it. */
function sized(value: Buffer, bytesMax: number): Result {
  if (bytesMax === 0) return answers.count(value.length)
  if (value.length > bytesMax) throw new DfsError('range')
  return answers.data(value)
}

function secondsOf(fields: Fields, isGiven: boolean): number | undefined {
  if (isGiven) return fields.seconds()
  fields.skip(8)
  return undefined
}

function timeOf(
  seconds: number | undefined,
  nanoseconds: number,
  isNow: boolean,
): Time | 'now' | undefined {
  if (seconds === undefined) return undefined
  if (isNow) return 'now'
  // As timestamp_truncate() of the kernel has it.
  const isBound = seconds === secondsMin || seconds === secondsMax
  return { seconds, nanoseconds: isBound ? 0 : nanoseconds }
}
