/** GET: copies files, symbolic links and folders from the servers to local ones. */
import { chmod, lstat, mkdir, stat, symlink } from 'node:fs/promises'
import { localPath } from '../../byte-text.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import { DfsError } from '../../errors.js'
import { fileType, isEntryName, typeOf } from '../../wire/records.js'
import { writeLocalFile } from '../local/local-file.js'
import { setModificationTime } from '../local/local-times.js'
import { namesIn } from '../paths/list-folder.js'
import { findPath, followPath, isFolder } from '../paths/remote-path.js'
import type { Session, Status } from '../session.js'
import { assertMayBeFile, type Step } from './targets.js'
import { Transfer, type TransferOptions } from './transfer.js'

/** Permission bits that are copied. Set-user-ID and set-group-ID are not: the owner here is another one. */
const permissionsKept = 0o1777

export class FileDownload {
  readonly #transfer: Transfer
  readonly #session: Session
  readonly #recursive: boolean

  constructor(session: Session, options: TransferOptions) {
    this.#session = session
    this.#transfer = new Transfer(session)
    this.#recursive = options.recursive
  }

  async run(steps: readonly Step[]): Promise<Status> {
    return await this.#transfer.run(steps, (step) => this.#getOperand(step))
  }

  /** Fetches an operand. Links named by the user are followed, except with -r, as by cp(1). */
  async #getOperand({ source, target }: Step): Promise<void> {
    const find = this.#recursive ? findPath : followPath
    const node = await find(this.#session.client.namespace, source)
    if (!isFolder(node)) {
      assertMayBeFile(target, false)
      return this.#transfer.inLane(source, () => this.#getItem(source, node, target))
    }
    if (!this.#recursive) throw new DfsError('isDirectory', 'Is a directory (get -r takes folders)')
    const existing = await stat(localPath(target)).catch(() => undefined)
    await this.#getFolder(source, node, target, existing?.isDirectory() === true)
  }

  async #getItem(name: string, node: Node, path: string): Promise<void> {
    const type = typeOf(node.inode.mode)
    if (type === fileType.file) await this.#getFile(name, node, path)
    else if (type === fileType.symlink) await this.#getLink(node, path)
    else
      throw new DfsError('unsupported', 'neither a file, a folder nor a symbolic link; not fetched')
  }

  async #getFile(name: string, { inode }: Node, path: string): Promise<void> {
    const { content } = this.#session.client
    await content.assertReadable(inode)
    this.#transfer.progress.expect(name, inode.size)
    const chunks = this.#transfer.watch(content.stream(inode))
    const mode = inode.mode & permissionsKept
    const written = await writeLocalFile(path, chunks, mode, this.#session.temporaries)
    if (written !== undefined) await setModificationTime(written, inode.mtime)
  }

  async #getLink({ inode }: Node, path: string): Promise<void> {
    const existing = await lstat(localPath(path)).catch(() => undefined)
    if (existing?.isDirectory()) throw new DfsError('isDirectory', `${path}: Is a directory`)
    await this.#session.temporaries.replace(path, (temporary) =>
      symlink(localPath(inode.target), localPath(temporary)),
    )
    await setModificationTime(path, inode.mtime)
  }

  /** Fetches a folder. Only one that the user named may be reached by a symbolic link. */
  async #getFolder(name: string, node: Node, path: string, exists: boolean): Promise<void> {
    const permissions = node.inode.mode & permissionsKept
    if (!exists) await mkdir(localPath(path), permissions | 0o700)
    this.#transfer.whenFilled(name, async () => {
      await chmod(localPath(path), permissions)
      await setModificationTime(path, node.inode.mtime)
    })
    for await (const child of namesIn(this.#session, node.ino)) {
      const childName = `${name.replace(/\/+$/, '')}/${child.name}`
      await this.#transfer.attempt(childName, async () => {
        if (!isEntryName(child.name)) throw new DfsError('illegalName')
        const childNode = child.node ?? (await this.#session.client.namespace.names.node(child.ino))
        await this.#getChild(childName, childNode, `${path.replace(/\/+$/, '')}/${child.name}`)
      })
    }
  }

  async #getChild(name: string, node: Node, path: string): Promise<void> {
    if (!isFolder(node)) {
      return this.#transfer.inLane(name, () => this.#getItem(name, node, path))
    }
    const existing = await lstat(localPath(path)).catch(() => undefined)
    if (existing !== undefined && !existing.isDirectory()) {
      throw new DfsError('notDirectory', `${path}: Not a directory`)
    }
    await this.#getFolder(name, node, path, existing !== undefined)
  }
}
