/**
 * Fetches one file or symbolic link, unless it is here already. Several names of one file become names of one file.
 */
import { type BigIntStats, constants as flags } from 'node:fs'
import {
  chmod,
  type FileHandle,
  lchown,
  link,
  lstat,
  open,
  readlink,
  symlink,
} from 'node:fs/promises'
import { localPath, textOf } from '../../byte-text.js'
import { dataSlices } from '../../dfc/content/extents.js'
import { type MatchingOptions, matchingBytes } from '../../dfc/content/matching-bytes.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import { DfsError } from '../../errors.js'
import { fileType, type Inode, typeOf } from '../../wire/records.js'
import {
  isKeptAttribute,
  readAttributes,
  sameAttributes,
  writeAttributes,
} from '../local/local-attributes.js'
import { type FileAttributes, type FileContent, replaceFile } from '../local/local-file.js'
import type { LocalFolder, LocalPlace } from '../local/local-folder.js'
import { nanosecondsOf, setModificationTime } from '../local/local-times.js'
import { failAbout } from '../local/system-errors.js'
import type { FileTally } from '../terminal/tally.js'
import { isOwnerRight, keepsOwners } from './owner.js'
import { type Transfer, untilInterrupted } from './transfer.js'

/** Permission bits that are copied. Set-user-ID and set-group-ID are not: the owner here is another one. */
export const permissionsKept = 0o1777
const setIdBits = 0o6000
/** Set-group-ID of a folder gives nobody anything: what is made in it has its group. */
const folderPermissions = 0o3777

/** A file that was fetched under one of its names. */
interface Fetched {
  readonly path: string
  readonly dev: bigint
  readonly ino: bigint
}

export class ItemDownload {
  readonly #transfer: Transfer
  /** The files with several names that were fetched, or are being fetched, by their inode. */
  readonly #linked = new Map<number, Promise<Fetched | undefined>>()

  constructor(transfer: Transfer) {
    this.#transfer = transfer
  }

  /** Fetches what is not a folder. There is no place where nothing is to be done. */
  get(name: string, node: Node, place: LocalPlace | undefined): Promise<void> {
    const got = this.#begun(name, node, (tally) => this.#get(name, node, place, tally))
    return place === undefined ? got : got.catch(failAbout(place.folder.pathOf(place.name)))
  }

  /** Calls `write` with the content of a file. */
  getTo(name: string, node: Node, write: (content: FileContent) => Promise<void>): Promise<void> {
    return this.#begun(name, node, (tally) => this.#withContent(node, tally, write))
  }

  async #begun(
    name: string,
    { inode }: Node,
    action: (tally: FileTally) => Promise<void>,
  ): Promise<void> {
    const progress = this.#transfer.progress.begin(name, dataBytesIn(inode))
    try {
      await action(progress.tally)
    } finally {
      progress.end()
    }
  }

  async #get(
    name: string,
    node: Node,
    place: LocalPlace | undefined,
    tally: FileTally,
  ): Promise<void> {
    const type = typeOf(node.inode.mode)
    if (type === fileType.symlink) return this.#getLink(name, node, place, tally)
    if (type !== fileType.file) {
      throw new DfsError('unsupported', 'neither a file, a folder nor a symbolic link; not fetched')
    }
    if (place === undefined) {
      await this.#transfer.act('get', name, async () => {})
      return
    }
    if (node.inode.nlink === 1 || !this.#transfer.options.recursive) {
      return this.#getFile(name, node, place, tally)
    }
    const first = this.#linked.get(node.ino)
    if (first === undefined) {
      const fetching = this.#getFile(name, node, place, tally)
      // Its failure is reported once; the other names then are files of their own.
      const fetched = fetching.then(() => fetchedAt(place)).catch(() => undefined)
      this.#linked.set(node.ino, fetched)
      await fetching
      await fetched
      return
    }
    const fetched = await first
    if (fetched === undefined || !(await this.#linkTo(fetched, name, place, tally))) {
      await this.#getFile(name, node, place, tally)
    }
  }

  /** Calls `write` with the content of a file, which is counted as it is written. */
  async #withContent(
    { inode }: Node,
    tally: FileTally,
    write: (content: FileContent) => Promise<void>,
  ): Promise<void> {
    const { client, interrupted } = this.#transfer.session
    await client.content.assertReadable(inode)
    const data = async function* (from: number) {
      tally.goBackTo(dataBytesIn(inode, from))
      const chunks = untilInterrupted(client.content.streamData(inode, from), interrupted)
      for await (const chunk of chunks) {
        yield chunk
        tally.moved(chunk.bytes.length)
      }
    }
    const matching: FileContent['matching'] = (file, size) =>
      this.#matching(inode, size, file, tally)
    const { resume } = this.#transfer.options
    await write({ size: inode.size, data, interrupted, ...(resume ? { matching } : {}) })
    tally.finish('moved')
  }

  /** The attributes of the copy of a file. */
  attributesOf(name: string, node: Node): FileAttributes {
    const { mode, mtime } = node.inode
    const attributes = { mode: mode & permissionsKept, mtime }
    if (!this.#transfer.options.recursive) return attributes
    if ((mode & setIdBits) !== 0) {
      const why = new DfsError(
        'notPermitted',
        'whoever could write on the servers could act as its owner',
      )
      this.#transfer.notKept('set-user-ID and set-group-ID bits', name, why)
    }
    return {
      ...attributes,
      give: async (path) => {
        await this.#giveOwner(name, node, path)
        await this.#giveAttributes(name, node, path)
      },
    }
  }

  /** Gives a folder that was filled its attributes, and its time, which filling it has changed. */
  async finishFolder(name: string, node: Node, local: LocalFolder): Promise<void> {
    if (this.#transfer.options.dryRun) return
    const fail = failAbout(local.path)
    await this.#giveOwner(name, node, `${local.self}/.`)
    await this.#giveAttributes(name, node, local.self)
    await setModificationTime(`${local.self}/.`, node.inode.mtime).catch(fail)
    await chmod(local.self, node.inode.mode & folderPermissions).catch(fail)
  }

  async #getFile(name: string, node: Node, place: LocalPlace, tally: FileTally): Promise<void> {
    if (await this.#isSame(node, place, tally)) {
      tally.finish('skipped')
      return await this.#refresh(name, node, place)
    }
    await this.#transfer.act('get', name, () =>
      this.#withContent(node, tally, (content) =>
        replaceFile(
          place,
          content,
          this.attributesOf(name, node),
          this.#transfer.session.temporaries,
        ),
      ),
    )
  }

  async #isSame({ inode }: Node, { folder, name }: LocalPlace, tally: FileTally): Promise<boolean> {
    const { sameBy } = this.#transfer.options
    if (sameBy === 'nothing') return false
    const path = localPath(folder.at(name))
    const found = await lstat(path, { bigint: true }).catch(() => undefined)
    if (found?.isFile() !== true || found.size !== BigInt(inode.size)) return false
    if (sameBy === 'time') return found.mtimeNs === nanosecondsOf(inode.mtime)
    const file = await open(path, flags.O_RDONLY | flags.O_NOFOLLOW | flags.O_NONBLOCK)
    try {
      const { content } = this.#transfer.session.client
      const fetch = (at: number, length: number) => content.read(inode, at, length)
      return (await this.#matching(inode, inode.size, file, tally, fetch)) === inode.size
    } finally {
      await file.close()
    }
  }

  #matching(
    inode: Inode,
    available: number,
    file: FileHandle,
    tally: FileTally,
    fetch?: MatchingOptions['fetch'],
  ): Promise<number> {
    return matchingBytes(inode, available, {
      ...this.#transfer.copyIn(file, tally),
      ...(fetch === undefined ? {} : { fetch }),
    })
  }

  /** Gives a file whose content is right the attributes that it lacks. */
  async #refresh(name: string, node: Node, { folder, name: last }: LocalPlace): Promise<void> {
    const path = folder.at(last)
    const mode = node.inode.mode & permissionsKept
    const before = await lstat(localPath(path), { bigint: true })
    const wanted = node.inode.attributes.filter(isKeptAttribute)
    const isMode = (Number(before.mode) & permissionsKept) === mode
    const isTime = before.mtimeNs === nanosecondsOf(node.inode.mtime)
    const { recursive } = this.#transfer.options
    const owner = { uid: Number(before.uid), gid: Number(before.gid) }
    const isOwner = !recursive || isOwnerRight(owner, node.inode)
    const isRest = !recursive || sameAttributes(await readAttributes(path), wanted)
    if (isMode && isTime && isRest && isOwner) return
    await this.#transfer.act('attributes', name, async () => {
      if (!isOwner) await this.#giveOwner(name, node, path)
      if (!isMode) await chmod(localPath(path), mode)
      if (!isRest) await this.#giveAttributes(name, node, path)
      await setModificationTime(path, node.inode.mtime)
    })
  }

  /** Gives a copy its owner, if copies keep that, and says once when that is not possible. */
  async #giveOwner(name: string, { inode }: Node, path: string): Promise<void> {
    if (!keepsOwners()) return
    try {
      await lchown(localPath(path), inode.uid, inode.gid)
    } catch (error) {
      this.#transfer.notKept('owners', name, error)
    }
  }

  /** Gives a file or folder extended attributes, and says once when that is not possible. */
  async #giveAttributes(name: string, { inode }: Node, path: string): Promise<void> {
    const wanted = inode.attributes.filter(isKeptAttribute)
    try {
      await writeAttributes(path, wanted)
    } catch (error) {
      this.#transfer.notKept('extended attributes', name, error)
    }
  }

  async #getLink(
    name: string,
    node: Node,
    place: LocalPlace | undefined,
    tally: FileTally,
  ): Promise<void> {
    const { target, mtime } = node.inode
    if (place !== undefined && this.#transfer.options.sameBy !== 'nothing') {
      const path = localPath(place.folder.at(place.name))
      const found = await readlink(path, { encoding: 'buffer' }).catch(() => undefined)
      if (found !== undefined && textOf(found) === target) {
        tally.finish('skipped')
        return
      }
    }
    await this.#transfer.act('get', name, async () => {
      if (place === undefined) return
      await this.#transfer.session.temporaries.replace(place, async (temporary) => {
        await temporary.create((path) => symlink(localPath(target), localPath(path)))
        if (this.#transfer.options.recursive) await this.#giveOwner(name, node, temporary.path)
      })
      await setModificationTime(place.folder.at(place.name), mtime)
      tally.finish('moved')
    })
  }

  /** Gives a fetched file another name. Returns false when that is not possible. */
  async #linkTo(
    fetched: Fetched,
    name: string,
    place: LocalPlace,
    tally: FileTally,
  ): Promise<boolean> {
    const before = await fetchedAt(place).catch(() => undefined)
    const isThere = before?.ino === fetched.ino && before.dev === fetched.dev
    if (isThere) {
      tally.finish('skipped')
      return true
    }
    try {
      await this.#transfer.act('link', name, () =>
        this.#transfer.session.temporaries.replace(place, async (temporary) => {
          await temporary.create((path) => link(localPath(fetched.path), localPath(path)))
          // Another process may have put something else in its place meanwhile.
          const made = await lstat(localPath(temporary.path), { bigint: true })
          if (made.ino !== fetched.ino || made.dev !== fetched.dev) {
            throw new DfsError('stale', 'another process replaced it meanwhile')
          }
        }),
      )
      tally.finish('linked')
      return true
    } catch (error) {
      this.#transfer.notKept('hard links', name, error)
      return false
    }
  }
}

/** How many bytes of a file, or of its beginning, are no holes. */
export function dataBytesIn(inode: Inode, end = inode.size): number {
  return dataSlices(inode, 0, end).reduce((bytes, { length }) => bytes + length, 0)
}

async function fetchedAt({ folder, name }: LocalPlace): Promise<Fetched> {
  const { dev, ino }: BigIntStats = await lstat(localPath(folder.at(name)), { bigint: true })
  return { path: folder.pathOf(name), dev, ino }
}
