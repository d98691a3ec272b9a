/**
 * Stores one local file or symbolic link, unless the servers have it already. Several names of one file stay names of
 * one file.
 */
import { type BigIntStats, constants as flags } from 'node:fs'
import { type FileHandle, open, readlink } from 'node:fs/promises'
import { localPath, textOf } from '../../byte-text.js'
import { compareTimes } from '../../clock.js'
import { matchingBytes } from '../../dfc/content/matching-bytes.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import type { NewAttributes } from '../../dfc/namespace/plans/new-inode.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { fileType, typeOf } from '../../wire/records.js'
import {
  type ExtendedAttribute,
  isKeptAttribute,
  readAttributes,
  sameAttributes,
} from '../local/local-attributes.js'
import { readLocalFile } from '../local/local-file.js'
import type { AtLink } from '../local/local-folder.js'
import { dataBytesOf } from '../local/local-holes.js'
import { timeOfNanoseconds } from '../local/local-times.js'
import { sizeText } from '../terminal/format.js'
import type { FileTally } from '../terminal/tally.js'
import { isOwnerRight, keepsOwners, ownerOfCopy } from './owner.js'
import { type Transfer, untilInterrupted } from './transfer.js'
import { LocalUploadRecord } from './upload-record.js'

/** Something local that is to be stored. */
export interface Source {
  /** The path by which users know it. */
  readonly name: string
  /** A path that leads to it. */
  readonly path: string
  readonly info: BigIntStats
  readonly atLink: AtLink
}

/** Where something is to be stored, and what has the name there. */
export interface RemotePlace {
  /** Undefined where the folder is not there, because nothing is to be done. */
  readonly parent: number | undefined
  readonly name: string
  readonly existing: { readonly node: Node; readonly incomplete: boolean } | undefined
  /** Removes the folder that has the name. It is called when what takes its place is stored completely. */
  readonly makeRoom?: () => Promise<void>
}

/** A place in a folder that is there. */
type Place = RemotePlace & { readonly parent: number }

export class ItemUpload {
  readonly #transfer: Transfer
  /** The files with several names that were stored, or are being stored, by device and number. */
  readonly #linked = new Map<string, Promise<Node | undefined>>()

  constructor(transfer: Transfer) {
    this.#transfer = transfer
  }

  /** Stores what is not a folder. */
  async put(source: Source, place: RemotePlace): Promise<void> {
    const progress = this.#transfer.progress.begin(source.name, dataBytesOf(source.info))
    try {
      await this.#put(source, place, progress.tally)
    } finally {
      progress.end()
    }
  }

  async #put(source: Source, place: RemotePlace, tally: FileTally): Promise<void> {
    const { info } = source
    if (info.isSymbolicLink()) return this.#putLink(source, place, tally)
    if (!info.isFile()) {
      throw new DfsError('unsupported', 'neither a file, a folder nor a symbolic link; not stored')
    }
    if (info.nlink === 1n || !this.#transfer.options.recursive) {
      await this.#putFile(source, place, tally)
      return
    }
    const number = `${info.dev} ${info.ino}`
    const first = this.#linked.get(number)
    if (first === undefined) {
      const storing = this.#putFile(source, place, tally)
      // Its failure is reported once; the other names then are files of their own.
      this.#linked.set(
        number,
        storing.catch(() => undefined),
      )
      await storing
      return
    }
    const node = await first
    if (node === undefined) await this.#putFile(source, place, tally)
    else await this.#linkTo(node, source, place, tally)
  }

  /** Gives an inode attributes, unless it has them. */
  async setAttributes(
    ino: number,
    { mode, uid, gid, mtime }: NewAttributes,
    extended: readonly ExtendedAttribute[] | undefined,
  ): Promise<Node> {
    return await this.#namespace.update(ino, (inode, now) => ({
      ...inode,
      ...(keepsOwners() ? { uid, gid } : {}),
      mode,
      mtime: mtime ?? now,
      ctime: now,
      attributes: extended === undefined ? inode.attributes : merged(inode.attributes, extended),
    }))
  }

  get #namespace() {
    return this.#transfer.session.client.namespace
  }

  /** Returns the stored file; undefined when nothing is to be done. */
  async #putFile(source: Source, place: RemotePlace, tally: FileTally): Promise<Node | undefined> {
    // What has become a pipe meanwhile must not be waited for.
    const noFollow = source.atLink === 'refuse' ? flags.O_NOFOLLOW : 0
    const how = flags.O_RDONLY | flags.O_NONBLOCK | noFollow
    const file = await open(localPath(source.path), how)
    try {
      const info = await file.stat({ bigint: true })
      if (!info.isFile()) throw new DfsError('stale', 'the file was replaced; nothing was stored')
      if (info.size > BigInt(limits.fileBytesMax)) {
        const most = sizeText(limits.fileBytesMax)
        throw new DfsError('tooLarge', `File too large: a file has at most ${most}`)
      }
      const { recursive } = this.#transfer.options
      const extended = recursive ? await readAttributes(`/proc/self/fd/${file.fd}`) : undefined
      const { existing } = place
      if (existing !== undefined && (await this.#isSame(file, info, existing, tally))) {
        tally.finish('skipped')
        return await this.#refresh(existing.node, source, info, extended)
      }
      return await this.#transfer.act('put', source.name, () =>
        this.#store(file, info, atFolder(place), extended, tally),
      )
    } finally {
      await file.close()
    }
  }

  async #isSame(
    file: FileHandle,
    info: BigIntStats,
    { node, incomplete }: NonNullable<RemotePlace['existing']>,
    tally: FileTally,
  ): Promise<boolean> {
    const { sameBy } = this.#transfer.options
    const { inode } = node
    const size = Number(info.size)
    if (sameBy === 'nothing' || incomplete || typeOf(inode.mode) !== fileType.file) return false
    if (inode.size !== size) return false
    if (sameBy === 'time') return compareTimes(inode.mtime, timeOfNanoseconds(info.mtimeNs)) === 0
    const { content } = this.#transfer.session.client
    const matching = await matchingBytes(inode, size, {
      ...this.#transfer.copyIn(file, tally),
      fetch: (at, length) => content.read(inode, at, length),
    })
    if (matching === size) return true
    tally.goBackTo(0)
    return false
  }

  /** Gives a file whose content is right the attributes that it lacks. */
  async #refresh(
    node: Node,
    source: Source,
    info: BigIntStats,
    extended: readonly ExtendedAttribute[] | undefined,
  ): Promise<Node> {
    const wanted = attributesOf(fileType.file, info)
    const { inode } = node
    const kept = inode.attributes.filter(isKeptAttribute)
    const isRight =
      inode.mode === wanted.mode &&
      isOwnerRight(inode, wanted) &&
      compareTimes(inode.mtime, wanted.mtime) === 0 &&
      (extended === undefined || sameAttributes(kept, extended))
    if (isRight) return node
    const changed = await this.#transfer.act('attributes', source.name, () =>
      this.setAttributes(node.ino, wanted, extended),
    )
    return changed ?? node
  }

  async #store(
    file: FileHandle,
    info: BigIntStats,
    place: Place,
    extended: readonly ExtendedAttribute[] | undefined,
    tally: FileTally,
  ): Promise<Node> {
    const { client, interrupted } = this.#transfer.session
    const record = await LocalUploadRecord.open(client, info)
    const data = untilInterrupted(readLocalFile(file, info), interrupted)
    const { content, inline } = await client.content.stageData(data, Number(info.size), {
      record,
      onSent: (bytes) => tally.moved(bytes),
      onFound: (bytes) => tally.found(bytes),
    })
    interrupted.throwIfAborted()
    if (record !== undefined && !(await record.isStillStored())) {
      await record.remove()
      throw new DfsError('stale', 'what an earlier attempt stored is gone; put it again')
    }
    const attributes = {
      ...attributesOf(fileType.file, info),
      ...(extended === undefined ? {} : { attributes: extended }),
      content,
      ...(inline === undefined ? {} : { inline }),
    }
    const node = await this.#commit(place, attributes)
    if (inline !== undefined) tally.moved(inline.segment.length)
    tally.finish('moved')
    await record?.remove()
    return node
  }

  /** Makes a file, or replaces what has the name. In a tree, other names of a file that is there keep what they have. */
  async #commit(place: Place, attributes: NewAttributes): Promise<Node> {
    const { parent, name, existing, makeRoom } = place
    const before = existing?.node.inode
    const isShared = this.#transfer.options.recursive && before !== undefined && before.nlink > 1
    const isLink = before !== undefined && typeOf(before.mode) === fileType.symlink
    const isOfOwn = isShared || isLink || makeRoom !== undefined
    if (!isOfOwn) {
      const node = await this.#namespace.replace(parent, name, attributes)
      if (!this.#transfer.options.recursive || isOwnerRight(node.inode, attributes)) return node
      return await this.setAttributes(node.ino, attributes, attributes.attributes)
    }
    await makeRoom?.()
    return await this.#namespace.createInPlace(parent, name, attributes)
  }

  /** Stores a link, atomically replacing one that has the name already. */
  async #putLink(
    { name: known, path, info }: Source,
    place: RemotePlace,
    tally: FileTally,
  ): Promise<void> {
    const target = textOf(await readlink(localPath(path), { encoding: 'buffer' }))
    const before = place.existing?.node.inode
    const { sameBy } = this.#transfer.options
    const attributes = { ...attributesOf(fileType.symlink, info), target }
    const isThere = before !== undefined && typeOf(before.mode) === fileType.symlink
    if (sameBy !== 'nothing' && isThere && before.target === target) {
      tally.finish('skipped')
      return
    }
    await this.#transfer.act('put', known, async () => {
      const { parent, name, makeRoom } = atFolder(place)
      await makeRoom?.()
      await this.#namespace.createInPlace(parent, name, attributes)
      tally.finish('moved')
    })
  }

  /** Gives a stored file another name. */
  async #linkTo(
    node: Node,
    { name: known }: Source,
    place: RemotePlace,
    tally: FileTally,
  ): Promise<void> {
    if (place.existing?.node.ino === node.ino) return tally.finish('skipped')
    await this.#transfer.act('link', known, async () => {
      const { parent, name, makeRoom } = atFolder(place)
      try {
        await this.#namespace.link(node.ino, parent, name)
      } catch (error) {
        if (!isError(error, 'exists')) throw error
        const found = await this.#namespace.names.lookup(parent, name)
        if (found.ino === node.ino) return tally.finish('skipped')
        await makeRoom?.()
        await this.#namespace.linkInPlace(node.ino, parent, name)
      }
      tally.finish('linked')
    })
  }
}

function atFolder(place: RemotePlace): Place {
  const { parent } = place
  if (parent === undefined) throw new DfsError('notFound')
  return { ...place, parent }
}

/** Attributes with those that copies keep replaced. */
function merged(
  before: readonly ExtendedAttribute[],
  extended: readonly ExtendedAttribute[],
): readonly ExtendedAttribute[] {
  return [...before.filter((attribute) => !isKeptAttribute(attribute)), ...extended]
}

/** The attributes of what is stored, from those of the local original. */
export function attributesOf(
  type: number,
  info: BigIntStats,
): NewAttributes & Required<Pick<NewAttributes, 'mtime'>> {
  return {
    mode: type | (Number(info.mode) & 0o7777),
    ...ownerOfCopy({ uid: Number(info.uid), gid: Number(info.gid) }),
    mtime: timeOfNanoseconds(info.mtimeNs),
  }
}
