/**
 * GET: copies files, symbolic links and folders from the servers to local ones. What the servers name stays below the
 * folder that the user named, whatever they say and whatever is there already: links on the way are replaced.
 */
import { chmod, mkdir, stat, symlink } from 'node:fs/promises'
import { localPath } from '../../byte-text.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import { Descent } from '../../dfc/namespace/descent.js'
import { DfsError } from '../../errors.js'
import { fileType, typeOf } from '../../wire/records.js'
import { type FileAttributes, replaceFile, writeLocalFile } from '../local/local-file.js'
import { LocalFolder, type LocalPlace, splitPath } from '../local/local-folder.js'
import { setModificationTime } from '../local/local-times.js'
import { namesIn } from '../paths/list-folder.js'
import { findPath, followPath, isFolder } from '../paths/remote-path.js'
import type { Session, Status } from '../session.js'
import { assertMayBeFile, type Step } from './targets.js'
import { Filling, Transfer, type TransferOptions } from './transfer.js'

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
  async #getOperand(step: Step): Promise<void> {
    const { source, target } = step
    const find = this.#recursive ? findPath : followPath
    const node = await find(this.#session.client.namespace, source)
    if (!isFolder(node)) {
      assertMayBeFile(target, false)
      return this.#transfer.inLane(source, undefined, () => this.#getNamed(step, node))
    }
    if (!this.#recursive) throw new DfsError('isDirectory', 'Is a directory (get -r takes folders)')
    const local = await openTarget(step, modeWhileFilled(node))
    await this.#fill(source, node, local, new Descent(node.ino))
  }

  /** Fetches what is not a folder to where the user said. */
  async #getNamed({ source, target, isSpelledOut }: Step, node: Node): Promise<void> {
    if (isSpelledOut && typeOf(node.inode.mode) === fileType.file) {
      const chunks = await this.#contentOf(source, node)
      return writeLocalFile(target, chunks, attributesOf(node), this.#session.temporaries)
    }
    await inFolderOf(target, (place) => this.#getItem(source, node, place))
  }

  async #getItem(name: string, node: Node, place: LocalPlace): Promise<void> {
    const type = typeOf(node.inode.mode)
    const { temporaries } = this.#session
    if (type === fileType.file) {
      const chunks = await this.#contentOf(name, node)
      await replaceFile(place, chunks, attributesOf(node), temporaries)
    } else if (type === fileType.symlink) {
      const target = localPath(node.inode.target)
      await temporaries.replace(place, (path) => symlink(target, localPath(path)))
      await setModificationTime(place.folder.at(place.name), node.inode.mtime)
    } else {
      throw new DfsError('unsupported', 'neither a file, a folder nor a symbolic link; not fetched')
    }
  }

  async #contentOf(name: string, { inode }: Node): Promise<AsyncIterable<Buffer>> {
    const { content } = this.#session.client
    await content.assertReadable(inode)
    this.#transfer.progress.expect(name, inode.size)
    return this.#transfer.watch(content.stream(inode))
  }

  /** Fetches what is in a folder to `local`, which is closed then. */
  async #fill(
    name: string,
    node: Node,
    local: LocalFolder,
    way: Descent,
    above?: Filling,
  ): Promise<void> {
    above?.begin()
    const filling = new Filling(async () => {
      await this.#transfer.attempt(name, async () => {
        await setModificationTime(`${local.self}/.`, node.inode.mtime)
        await chmod(local.self, node.inode.mode & permissionsKept)
      })
      await local.close()
      await above?.end()
    })
    try {
      for await (const child of namesIn(this.#session, node.ino)) {
        const childName = `${name.replace(/\/+$/, '')}/${child.name}`
        await this.#transfer.attempt(childName, async () => {
          const { names } = this.#session.client.namespace
          const childNode = child.node ?? (await names.lookup(node.ino, child.name))
          const place = { folder: local, name: child.name }
          await this.#getChild(childName, childNode, place, way, filling)
        })
      }
    } finally {
      await filling.end()
    }
  }

  async #getChild(
    name: string,
    node: Node,
    place: LocalPlace,
    way: Descent,
    filling: Filling,
  ): Promise<void> {
    if (!isFolder(node)) {
      return this.#transfer.inLane(name, filling, () => this.#getItem(name, node, place))
    }
    const next = way.into(node.ino)
    const local = await place.folder.enter(place.name, modeWhileFilled(node))
    await this.#fill(name, node, local, next, filling)
  }
}

function attributesOf({ inode }: Node): FileAttributes {
  return { mode: inode.mode & permissionsKept, mtime: inode.mtime }
}

function modeWhileFilled({ inode }: Node): number {
  return (inode.mode & permissionsKept) | 0o700
}

/** Opens the folder that becomes the copy of a folder that the user named, and makes it where there is none. */
async function openTarget({ target, isSpelledOut }: Step, mode: number): Promise<LocalFolder> {
  if (!isSpelledOut) return inFolderOf(target, ({ folder, name }) => folder.enter(name, mode))
  const exists = (await stat(localPath(target)).catch(() => undefined))?.isDirectory() === true
  if (!exists) await mkdir(localPath(target), mode)
  return LocalFolder.open(target, exists ? 'follow' : 'refuse')
}

/** Calls `action` with the place that a path names in the folder before its last name. */
async function inFolderOf<T>(path: string, action: (place: LocalPlace) => Promise<T>): Promise<T> {
  const [before, name] = splitPath(path)
  const folder = await LocalFolder.open(before, 'follow')
  try {
    return await action({ folder, name })
  } finally {
    await folder.close()
  }
}
