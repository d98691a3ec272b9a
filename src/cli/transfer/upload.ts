/** PUT: copies local files, symbolic links and folders to the servers. */
import type { BigIntStats } from 'node:fs'
import { lstat, open, readdir, readlink, stat } from 'node:fs/promises'
import { localPath, textOf } from '../../byte-text.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import type { NewAttributes } from '../../dfc/namespace/plans/new-inode.js'
import { DfsError, isError } from '../../errors.js'
import { fileType } from '../../wire/records.js'
import { readLocalFile } from '../local/local-file.js'
import { timeOfNanoseconds } from '../local/local-times.js'
import { isFolder, placeOf } from '../paths/remote-path.js'
import type { Session, Status } from '../session.js'
import { ownerOfCopy } from './owner.js'
import { assertMayBeFile, type Step } from './targets.js'
import { Transfer, type TransferOptions } from './transfer.js'

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
  async #putOperand({ source, target }: Step): Promise<void> {
    const info = await (this.#recursive ? lstat : stat)(localPath(source), { bigint: true })
    if (info.isDirectory() && !this.#recursive) {
      throw new DfsError('isDirectory', 'Is a directory (put -r takes folders)')
    }
    const place = await placeOf(this.#session.client.namespace, target, 'followLink')
    const meetsFolder = place.node !== undefined && isFolder(place.node)
    if (info.isDirectory() && place.node !== undefined) {
      if (!meetsFolder) throw new DfsError('notDirectory', `${target}: Not a directory`)
      return this.#fillFolder(source, info, place.node)
    }
    if (meetsFolder) throw new DfsError('isDirectory', `${target}: Is a directory`)
    assertMayBeFile(target, info.isDirectory())
    const action = (): Promise<void> => this.#putItem(source, info, place.parent, place.name)
    await (info.isDirectory() ? action() : this.#transfer.inLane(source, action))
  }

  async #putItem(path: string, info: BigIntStats, parent: number, name: string): Promise<void> {
    if (info.isFile()) return this.#putFile(path, parent, name)
    if (info.isSymbolicLink()) return this.#putLink(path, info, parent, name)
    if (info.isDirectory()) return this.#putFolder(path, info, parent, name)
    throw new DfsError('unsupported', 'neither a file, a folder nor a symbolic link; not stored')
  }

  async #putFile(path: string, parent: number, name: string): Promise<void> {
    const file = await open(localPath(path), 'r')
    try {
      const { client, interrupted } = this.#session
      const info = await file.stat({ bigint: true })
      this.#transfer.progress.expect(path, Number(info.size))
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
  async #putLink(path: string, info: BigIntStats, parent: number, name: string): Promise<void> {
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

  async #putFolder(path: string, info: BigIntStats, parent: number, name: string): Promise<void> {
    const { namespace } = this.#session.client
    const folder = await namespace
      .create(parent, name, attributesOf(fileType.folder, info))
      .catch((error: unknown) => {
        if (!isError(error, 'exists')) throw error
        return namespace.names.lookup(parent, name)
      })
    if (!isFolder(folder)) throw new DfsError('notDirectory', 'exists and is not a folder')
    await this.#fillFolder(path, info, folder)
  }

  async #fillFolder(path: string, info: BigIntStats, folder: Node): Promise<void> {
    const mode = attributesOf(fileType.folder, info).mode
    const mtime = timeOfNanoseconds(info.mtimeNs)
    const { namespace } = this.#session.client
    this.#transfer.whenFilled(path, async () => {
      await namespace.update(folder.ino, (inode, now) => ({ ...inode, mode, mtime, ctime: now }))
    })
    for (const bytes of await readdir(localPath(path), { encoding: 'buffer' })) {
      const name = textOf(bytes)
      const child = `${path.replace(/\/+$/, '')}/${name}`
      await this.#transfer.attempt(child, async () => {
        const childInfo = await lstat(localPath(child), { bigint: true })
        const action = (): Promise<void> => this.#putItem(child, childInfo, folder.ino, name)
        await (childInfo.isDirectory() ? action() : this.#transfer.inLane(child, action))
      })
    }
  }
}

function attributesOf(type: number, info: BigIntStats): NewAttributes {
  return {
    mode: type | (Number(info.mode) & 0o7777),
    ...ownerOfCopy({ uid: Number(info.uid), gid: Number(info.gid) }),
    mtime: timeOfNanoseconds(info.mtimeNs),
  }
}
