/**
 * Fetches one file or symbolic link, unless it is here already. Several names of one file become names of one file.
 */
import { type BigIntStats, constants as flags } from 'node:fs'
import { chmod, link, lstat, open, readlink, symlink } from 'node:fs/promises'
import { localPath, textOf } from '../../byte-text.js'
import { type MatchingOptions, matchingBytes } from '../../dfc/content/matching-bytes.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import { DfsError } from '../../errors.js'
import { fileType, typeOf } from '../../wire/records.js'
import {
  isKeptAttribute,
  readAttributes,
  sameAttributes,
  writeAttributes,
} from '../local/local-attributes.js'
import {
  type FileAttributes,
  type FileContent,
  readRange,
  replaceFile,
} from '../local/local-file.js'
import type { LocalFolder, LocalPlace } from '../local/local-folder.js'
import { nanosecondsOf, setModificationTime } from '../local/local-times.js'
import { type Transfer, untilInterrupted } from './transfer.js'

/** Permission bits that are copied. Set-user-ID and set-group-ID are not: the owner here is another one. */
export const permissionsKept = 0o1777

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
  async get(name: string, node: Node, place: LocalPlace | undefined): Promise<void> {
    const type = typeOf(node.inode.mode)
    if (type === fileType.symlink) return this.#getLink(name, node, place)
    if (type !== fileType.file) {
      throw new DfsError('unsupported', 'neither a file, a folder nor a symbolic link; not fetched')
    }
    if (place === undefined) {
      await this.#transfer.act('get', name, async () => {})
      return
    }
    if (node.inode.nlink === 1 || !this.#transfer.options.recursive) {
      return this.#getFile(name, node, place)
    }
    const first = this.#linked.get(node.ino)
    if (first === undefined) {
      const fetching = this.#getFile(name, node, place)
      // Its failure is reported once; the other names then are files of their own.
      const fetched = fetching.then(() => fetchedAt(place)).catch(() => undefined)
      this.#linked.set(node.ino, fetched)
      await fetching
      await fetched
      return
    }
    const fetched = await first
    if (fetched === undefined || !(await this.#linkTo(fetched, name, node, place))) {
      await this.#getFile(name, node, place)
    }
  }

  /**
   * Calls `write` with the content of a file, which is counted as it is written.
   */
  async withContent(
    name: string,
    node: Node,
    write: (content: FileContent) => Promise<void>,
  ): Promise<void> {
    const { inode } = node
    const { client, interrupted } = this.#transfer.session
    const progress = this.#transfer.progress.begin(name, inode.size)
    try {
      await client.content.assertReadable(inode)
      let end = 0
      const reached = (at: number): void => {
        if (at > end) progress.found(at - end)
        end = Math.max(end, at)
      }
      const data = async function* (from: number) {
        reached(from)
        const chunks = untilInterrupted(client.content.streamData(inode, from), interrupted)
        for await (const chunk of chunks) {
          reached(chunk.at)
          yield chunk
          end += chunk.bytes.length
          progress.moved(chunk.bytes.length)
        }
        reached(inode.size)
      }
      const matching: FileContent['matching'] = (file, size) =>
        this.#matching(node, size, (at, length) => readRange(file, at, length))
      const { resume } = this.#transfer.options
      await write({ size: inode.size, data, interrupted, ...(resume ? { matching } : {}) })
      this.#transfer.progress.finished()
    } finally {
      progress.end()
    }
  }

  /** The attributes of the copy of a file. */
  attributesOf(name: string, { inode }: Node): FileAttributes {
    const attributes = { mode: inode.mode & permissionsKept, mtime: inode.mtime }
    if (!this.#transfer.options.recursive) return attributes
    return { ...attributes, give: (path) => this.#giveAttributes(name, { inode }, path) }
  }

  /** Gives a folder that was filled its attributes, and its time, which filling it has changed. */
  async finishFolder(name: string, node: Node, local: LocalFolder): Promise<void> {
    if (this.#transfer.options.dryRun) return
    await this.#giveAttributes(name, node, local.self)
    await setModificationTime(`${local.self}/.`, node.inode.mtime)
    await chmod(local.self, node.inode.mode & permissionsKept)
  }

  async #getFile(name: string, node: Node, place: LocalPlace): Promise<void> {
    if (await this.#isSame(node, place)) {
      this.#transfer.progress.skipped(node.inode.size)
      return await this.#refresh(name, node, place)
    }
    await this.#transfer.act('get', name, () =>
      this.withContent(name, node, (content) =>
        replaceFile(
          place,
          content,
          this.attributesOf(name, node),
          this.#transfer.session.temporaries,
        ),
      ),
    )
  }

  async #isSame(node: Node, { folder, name }: LocalPlace): Promise<boolean> {
    const { sameBy } = this.#transfer.options
    if (sameBy === 'nothing') return false
    const path = localPath(folder.at(name))
    const found = await lstat(path, { bigint: true }).catch(() => undefined)
    const { inode } = node
    if (found?.isFile() !== true || found.size !== BigInt(inode.size)) return false
    if (sameBy === 'time') return found.mtimeNs === nanosecondsOf(inode.mtime)
    const file = await open(path, flags.O_RDONLY | flags.O_NOFOLLOW | flags.O_NONBLOCK)
    try {
      const { content } = this.#transfer.session.client
      const readCopy: MatchingOptions['readCopy'] = (at, length) => readRange(file, at, length)
      const fetch = (at: number, length: number) => content.read(inode, at, length)
      return (await this.#matching(node, inode.size, readCopy, fetch)) === inode.size
    } finally {
      await file.close()
    }
  }

  #matching(
    { inode }: Node,
    available: number,
    readCopy: MatchingOptions['readCopy'],
    fetch?: MatchingOptions['fetch'],
  ): Promise<number> {
    const { interrupted } = this.#transfer.session
    return matchingBytes(inode, available, {
      readCopy: (at, length) => untilInterrupted(readCopy(at, length), interrupted),
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
    const isRest = !recursive || sameAttributes(await readAttributes(path), wanted)
    if (isMode && isTime && isRest) return
    await this.#transfer.act('attributes', name, async () => {
      if (!isMode) await chmod(localPath(path), mode)
      if (!isRest) await this.#giveAttributes(name, node, path)
      await setModificationTime(path, node.inode.mtime)
    })
  }

  /** Gives a file or folder extended attributes, and says once when that is not possible. */
  async #giveAttributes(name: string, { inode }: Pick<Node, 'inode'>, path: string): Promise<void> {
    const wanted = inode.attributes.filter(isKeptAttribute)
    try {
      await writeAttributes(path, wanted)
    } catch (error) {
      this.#transfer.notKept('extended attributes', name, error)
    }
  }

  async #getLink(name: string, node: Node, place: LocalPlace | undefined): Promise<void> {
    const { target, mtime } = node.inode
    if (place !== undefined && this.#transfer.options.sameBy !== 'nothing') {
      const path = localPath(place.folder.at(place.name))
      const found = await readlink(path, { encoding: 'buffer' }).catch(() => undefined)
      if (found !== undefined && textOf(found) === target) {
        this.#transfer.progress.skipped(0)
        return
      }
    }
    await this.#transfer.act('get', name, async () => {
      if (place === undefined) return
      await this.#transfer.session.temporaries.replace(place, (path) =>
        symlink(localPath(target), localPath(path)),
      )
      await setModificationTime(place.folder.at(place.name), mtime)
      this.#transfer.progress.finished()
    })
  }

  /** Gives a fetched file another name. Returns false when that is not possible. */
  async #linkTo(fetched: Fetched, name: string, node: Node, place: LocalPlace): Promise<boolean> {
    const before = await fetchedAt(place).catch(() => undefined)
    const isThere = before?.ino === fetched.ino && before.dev === fetched.dev
    if (isThere) {
      this.#transfer.progress.skipped(node.inode.size)
      return true
    }
    try {
      await this.#transfer.act('link', name, () =>
        this.#transfer.session.temporaries.replace(place, async (path) => {
          await link(localPath(fetched.path), localPath(path))
          // Another process may have put something else in its place meanwhile.
          const made = await lstat(localPath(path), { bigint: true })
          if (made.ino !== fetched.ino || made.dev !== fetched.dev) {
            throw new DfsError('stale', 'another process replaced it meanwhile')
          }
        }),
      )
      this.#transfer.progress.linked(node.inode.size)
      return true
    } catch (error) {
      this.#transfer.notKept('hard links', name, error)
      return false
    }
  }
}

async function fetchedAt({ folder, name }: LocalPlace): Promise<Fetched> {
  const { dev, ino }: BigIntStats = await lstat(localPath(folder.at(name)), { bigint: true })
  return { path: folder.pathOf(name), dev, ino }
}
