/**
 * PUT: copies local files, symbolic links and folders to the servers. Of a folder that the user named nothing is read
 * that is elsewhere, also when another process puts a link in the place of something while it is read.
 */
import { type BigIntStats, constants as flags } from 'node:fs'
import { lstat, open, readdir, readlink, stat } from 'node:fs/promises'
import { localPath, textOf } from '../../byte-text.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import type { NewAttributes } from '../../dfc/namespace/plans/new-inode.js'
import { DfsError, isError } from '../../errors.js'
import { fileType } from '../../wire/records.js'
import { readLocalFile } from '../local/local-file.js'
import { type AtLink, LocalFolder } from '../local/local-folder.js'
import { timeOfNanoseconds } from '../local/local-times.js'
import { isFolder, placeOf } from '../paths/remote-path.js'
import type { Session, Status } from '../session.js'
import { ownerOfCopy } from './owner.js'
import { assertMayBeFile, type Step } from './targets.js'
import { Filling, Transfer, type TransferOptions } from './transfer.js'

/** Something local that is to be stored. */
interface Source {
  /** The path by which users know it. */
  readonly name: string
  /** A path that leads to it. */
  readonly path: string
  readonly info: BigIntStats
  readonly atLink: AtLink
}

export class FileUpload {
  readonly #transfer: Transfer
  readonly #session: Session
  readonly #recursive: boolean

  constructor(session: Session, options: TransferOptions) {
    this.#session = session
    this.#transfer = new Transfer(session)
    this.#recursive = options.recursive
  }

  run(steps: readonly Step[]): Promise<Status> {
    return this.#transfer.run(steps, (step) => this.#putOperand(step))
  }

  /** Stores an operand. Links named by the user are followed, except with -r, as by cp(1). */
  async #putOperand({ source: name, target }: Step): Promise<void> {
    const info = await (this.#recursive ? lstat : stat)(localPath(name), { bigint: true })
    const source: Source = { name, path: name, info, atLink: this.#recursive ? 'refuse' : 'follow' }
    if (info.isDirectory() && !this.#recursive) {
      throw new DfsError('isDirectory', 'Is a directory (put -r takes folders)')
    }
    const place = await placeOf(this.#session.client.namespace, target, 'followLink')
    const meetsFolder = place.node !== undefined && isFolder(place.node)
    if (info.isDirectory() && place.node !== undefined) {
      if (!meetsFolder) throw new DfsError('notDirectory', `${target}: Not a directory`)
      return this.#fill(await LocalFolder.open(name, 'refuse'), place.node)
    }
    if (meetsFolder) throw new DfsError('isDirectory', `${target}: Is a directory`)
    assertMayBeFile(target, info.isDirectory())
    if (info.isDirectory()) {
      const folder = await this.#folderFor(info, place.parent, place.name)
      return this.#fill(await LocalFolder.open(name, 'refuse'), folder)
    }
    const action = (): Promise<void> => this.#putItem(source, place.parent, place.name)
    await this.#transfer.inLane(name, undefined, action)
  }

  /** Stores what is not a folder. */
  async #putItem(source: Source, parent: number, name: string): Promise<void> {
    if (source.info.isFile()) return this.#putFile(source, parent, name)
    if (source.info.isSymbolicLink()) return this.#putLink(source, parent, name)
    throw new DfsError('unsupported', 'neither a file, a folder nor a symbolic link; not stored')
  }

  async #putFile(source: Source, parent: number, name: string): Promise<void> {
    // What has become a pipe meanwhile must not be waited for.
    const noFollow = source.atLink === 'refuse' ? flags.O_NOFOLLOW : 0
    const how = flags.O_RDONLY | flags.O_NONBLOCK | noFollow
    const file = await open(localPath(source.path), how)
    try {
      const { client, interrupted } = this.#session
      const info = await file.stat({ bigint: true })
      if (!info.isFile()) throw new DfsError('stale', 'the file was replaced; nothing was stored')
      this.#transfer.progress.expect(source.name, Number(info.size))
      const { content, inline } = await client.content.stage(
        this.#transfer.watch(readLocalFile(file, info)),
      )
      interrupted.throwIfAborted()
      await client.namespace.replace(parent, name, {
        ...attributesOf(fileType.file, info),
        content,
        ...(inline === undefined ? {} : { inline }),
      })
    } finally {
      await file.close()
    }
  }

  /** Stores a link, atomically replacing one that has the name already. */
  async #putLink({ path, info }: Source, parent: number, name: string): Promise<void> {
    const { namespace, cluster } = this.#session.client
    const target = await readlink(localPath(path), { encoding: 'buffer' })
    const attributes = { ...attributesOf(fileType.symlink, info), target: textOf(target) }
    try {
      await namespace.create(parent, name, attributes)
    } catch (error) {
      if (!isError(error, 'exists')) throw error
      const temporary = `.dfc-${cluster.random.bytes(12).toString('hex')}`
      await namespace.create(parent, temporary, attributes)
      try {
        await namespace.rename(parent, temporary, parent, name, 'replace')
      } catch (failure) {
        await namespace.unlink(parent, temporary)
        throw failure
      }
    }
  }

  /** The folder on the servers that a local one is copied to, made where there is none. */
  async #folderFor(info: BigIntStats, parent: number, name: string): Promise<Node> {
    const { namespace } = this.#session.client
    const folder = await namespace
      .create(parent, name, attributesOf(fileType.folder, info))
      .catch((error: unknown) => {
        if (!isError(error, 'exists')) throw error
        return namespace.names.lookup(parent, name)
      })
    if (!isFolder(folder)) throw new DfsError('notDirectory', 'exists and is not a folder')
    return folder
  }

  /** Stores what is in `local`, which is closed then. */
  async #fill(local: LocalFolder, folder: Node, above?: Filling): Promise<void> {
    const info = await local.stat()
    above?.begin()
    const filling = new Filling(async () => {
      await this.#transfer.attempt(local.path, () => this.#finish(folder, info))
      await local.close()
      await above?.end()
    })
    try {
      for (const bytes of await readdir(local.self, { encoding: 'buffer' })) {
        const name = textOf(bytes)
        await this.#transfer.attempt(local.pathOf(name), () =>
          this.#putChild(local, name, folder, filling),
        )
      }
    } finally {
      await filling.end()
    }
  }

  async #putChild(local: LocalFolder, name: string, to: Node, filling: Filling): Promise<void> {
    const path = local.at(name)
    const info = await lstat(localPath(path), { bigint: true })
    if (info.isDirectory()) {
      const folder = await this.#folderFor(info, to.ino, name)
      return this.#fill(await local.open(name), folder, filling)
    }
    const source: Source = { name: local.pathOf(name), path, info, atLink: 'refuse' }
    await this.#transfer.inLane(source.name, filling, () => this.#putItem(source, to.ino, name))
  }

  /** Gives a folder its mode and time, which adding to it has changed. */
  async #finish({ ino }: Node, info: BigIntStats): Promise<void> {
    const { mode } = attributesOf(fileType.folder, info)
    const mtime = timeOfNanoseconds(info.mtimeNs)
    await this.#session.client.namespace.update(ino, (inode, now) => {
      return { ...inode, mode, mtime, ctime: now }
    })
  }
}

function attributesOf(type: number, info: BigIntStats): NewAttributes {
  return {
    mode: type | (Number(info.mode) & 0o7777),
    ...ownerOfCopy({ uid: Number(info.uid), gid: Number(info.gid) }),
    mtime: timeOfNanoseconds(info.mtimeNs),
  }
}
