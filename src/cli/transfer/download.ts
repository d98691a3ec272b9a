/**
 * GET and SYNC --down: goes through folders on the servers and copies what is in them to local ones. What the servers
 * name stays below the folder that the user named, whatever they say and whatever is there already: links on the way
 * are replaced.
 */
import { lstat, mkdir, readdir, rename, stat } from 'node:fs/promises'
import { localPath, textOf } from '../../byte-text.js'
import type { ListedName, Node } from '../../dfc/namespace/cache/node.js'
import { Descent } from '../../dfc/namespace/descent.js'
import { DfsError } from '../../errors.js'
import { quorum } from '../../wire/quorum.js'
import { fileType, folderDirentType, typeOf } from '../../wire/records.js'
import { writeLocalFile, writeToStdout } from '../local/local-file.js'
import { LocalFolder, type LocalPlace, splitPath } from '../local/local-folder.js'
import { isTemporaryName } from '../local/stale-temporaries.js'
import { failAbout } from '../local/system-errors.js'
import { namesIn } from '../paths/list-folder.js'
import { findPath, followPath, isFolder } from '../paths/remote-path.js'
import type { Session, Status } from '../session.js'
import { LocalDeletions } from './deletions.js'
import { dataBytesIn, ItemDownload, permissionsKept } from './item-download.js'
import { assertMayBeFile, isStream, type Step } from './targets.js'
import { Filling, Transfer, type TransferOptions } from './transfer.js'

/** A folder on this machine that is being filled. */
interface Target {
  /** Undefined where it is not there, because nothing is to be done. */
  readonly folder: LocalFolder | undefined
  readonly path: string
  /** Its path in the folder that the user named; empty for that. */
  readonly inside: string
}

export class FileDownload {
  readonly #transfer: Transfer
  readonly #session: Session
  readonly #options: TransferOptions
  readonly #items: ItemDownload
  readonly #deletions: LocalDeletions

  constructor(session: Session, options: TransferOptions) {
    this.#session = session
    this.#options = options
    this.#transfer = new Transfer(session, options)
    this.#items = new ItemDownload(this.#transfer)
    this.#deletions = new LocalDeletions(this.#transfer)
  }

  async run(steps: readonly Step[]): Promise<Status> {
    return await this.#transfer.run(steps, {
      advice: this.#advice,
      take: (step) => this.#getOperand(step),
      count: (step) => this.#countOperand(step),
      finish: () => this.#finishDeletions(),
      end: () => this.#deletions.sayKept(),
    })
  }

  get #advice(): string {
    const { recursive, sameBy, resume } = this.#options
    const part = resume
      ? 'what has arrived is kept'
      : 'nothing is left of files that were not whole, --resume would keep it'
    if (!recursive) return resume ? `${part}; the same command goes on with it` : part
    const how = sameBy === 'nothing' ? 'with --skip-same the same command' : 'the same command'
    return `${how} goes on with the files that are not there; ${part}`
  }

  /** Fetches an operand. Links named by the user are followed, except with -r, as by cp(1). */
  async #getOperand(step: Step): Promise<void> {
    const { source, target } = step
    const node = await this.#find(source)
    if (!isFolder(node)) {
      assertMayBeFile(target, false)
      return this.#transfer.inLane(source, undefined, () => this.#getNamed(step, node))
    }
    if (!this.#options.recursive) {
      throw new DfsError('isDirectory', 'Is a directory (get -r takes folders)')
    }
    if (isStream(target)) throw new DfsError('isDirectory', 'Is a directory, and no stream')
    const local = await this.#openTarget(step, node)
    const to = { folder: local, path: target, inside: '' }
    if (local !== undefined) await this.#transfer.fillsLocal(await local.stat())
    await this.#fill(source, node, to, new Descent(node.ino))
  }

  #find(source: string): Promise<Node> {
    const find = this.#options.recursive ? findPath : followPath
    return find(this.#session.client.namespace, source)
  }

  /** Fetches what is not a folder to where the user said. */
  async #getNamed({ source, target, isSpelledOut }: Step, node: Node): Promise<void> {
    const isFile = typeOf(node.inode.mode) === fileType.file
    if (isStream(target)) {
      if (!isFile) throw new DfsError('unsupported', 'not a file')
      return await this.#items.getTo(source, node, writeToStdout)
    }
    if (isSpelledOut && isFile) {
      return await this.#items.getTo(source, node, (content) =>
        writeLocalFile(
          target,
          content,
          this.#items.attributesOf(source, node),
          this.#session.temporaries,
        ),
      )
    }
    await inFolderOf(target, (place) => this.#items.get(source, node, place))
  }

  /** Fetches what is in a folder to `to`, which is closed then. */
  async #fill(name: string, node: Node, to: Target, way: Descent, above?: Filling): Promise<void> {
    above?.begin()
    const { folder } = to
    const filling = new Filling(async () => {
      if (folder !== undefined) {
        await this.#transfer.attempt(name, () => this.#items.finishFolder(name, node, folder))
        await folder.close()
      }
      await above?.end()
    })
    try {
      if (folder !== undefined && !this.#options.dryRun) {
        await this.#session.temporaries.claim(folder)
      }
      const others = await this.#namesIn(to)
      let isEmpty = true
      for await (const child of namesIn(this.#session, node.ino)) {
        isEmpty = false
        others.delete(child.name)
        const childName = `${name.replace(/\/+$/, '')}/${child.name}`
        await this.#transfer.attempt(childName, () =>
          this.#getChild(childName, node, child, to, way, filling),
        )
      }
      if (isEmpty && to.inside === '') this.#deletions.refuse(name)
      for (const other of others) this.#deletions.add(to.path, other, to)
    } finally {
      await filling.end()
    }
  }

  /** The names in a local folder that may have to go. */
  async #namesIn({ folder }: Target): Promise<Set<string>> {
    if (folder === undefined || !this.#options.deletesOthers) return new Set()
    const names = await readdir(folder.self, { encoding: 'buffer' }).catch(failAbout(folder.path))
    // Of temporary files only those are left that another process is making.
    return new Set(names.map(textOf).filter((name) => !isTemporaryName(name)))
  }

  async #getChild(
    name: string,
    parent: Node,
    child: ListedName,
    to: Target,
    way: Descent,
    filling: Filling,
  ): Promise<void> {
    const inside = to.inside === '' ? child.name : `${to.inside}/${child.name}`
    const { filter } = this.#options
    const isFolderHere = child.type === folderDirentType
    if (isFolderHere ? !filter.takesFolder(inside) : !filter.takesFile(inside)) return
    const { names } = this.#session.client.namespace
    const node = child.node ?? (await names.lookup(parent.ino, child.name))
    const place = to.folder && (await this.#placeIn(to.folder, child.name, to, isFolder(node)))
    if (!isFolder(node)) {
      return this.#transfer.inLane(name, filling, async () => {
        await this.#items.get(name, node, place)
        if (this.#options.dryRun) await place?.makeRoom?.()
      })
    }
    this.#transfer.assertNotTarget(node.ino)
    const next = way.into(node.ino)
    const folder = await this.#enter(name, node, place)
    const path = `${to.path.replace(/\/+$/, '')}/${child.name}`
    await this.#fill(name, node, { folder, path, inside }, next, filling)
  }

  /** The place of a name in a folder. With --delete, what is something else here gives way to what the servers have. */
  async #placeIn(
    folder: LocalFolder,
    name: string,
    to: Target,
    forFolder: boolean,
  ): Promise<LocalPlace> {
    const place = { folder, name }
    if (!this.#options.deletesOthers) return place
    const found = await lstat(localPath(folder.at(name))).catch(() => undefined)
    if (found === undefined || found.isDirectory() === forFolder) return place
    if (!forFolder) {
      return { ...place, makeRoom: () => this.#deletions.removeReplaced(to.path, name, to) }
    }
    await this.#deletions.setAside(to.path, name, to, (temporary) =>
      rename(localPath(folder.at(name)), localPath(folder.at(temporary))),
    )
    return place
  }

  async #enter(
    name: string,
    node: Node,
    place: LocalPlace | undefined,
  ): Promise<LocalFolder | undefined> {
    const mode = modeWhileFilled(node)
    if (place !== undefined && !this.#options.dryRun) {
      const { folder, name: last } = place
      return folder.enter(last, mode).catch(failAbout(folder.pathOf(last)))
    }
    const found = await place?.folder.open(place.name).catch(() => undefined)
    if (found === undefined) this.#session.output.print(`make ${this.#session.output.name(name)}/`)
    return found
  }

  /** Opens the folder that becomes the copy of a folder that the user named, and makes it where there is none. */
  async #openTarget({ source, target, isSpelledOut }: Step, node: Node) {
    const mode = modeWhileFilled(node)
    if (!isSpelledOut) {
      return inFolderOf(target, (place) => this.#enter(source, node, place))
    }
    const found = await stat(localPath(target)).catch(() => undefined)
    const exists = found?.isDirectory() === true
    if (found !== undefined && !exists) {
      throw new DfsError('notDirectory', `${target}: Not a directory`)
    }
    if (!exists) {
      const make = () => mkdir(localPath(target), mode).catch(failAbout(target))
      await this.#transfer.act('make', `${target}/`, make)
      if (this.#options.dryRun) return undefined
    }
    return LocalFolder.open(target, exists ? 'follow' : 'refuse').catch(failAbout(target))
  }

  /** Deletes what the servers have not. A list of fewer than three servers may lack names. */
  async #finishDeletions(): Promise<void> {
    if (this.#options.deletesOthers) {
      if (this.#session.client.cluster.voters.length < quorum.pieces) {
        throw new DfsError('readOnly', 'fewer than three servers are up: nothing was deleted')
      }
      await this.#deletions.run()
    }
  }

  async #countOperand({ source }: Step): Promise<void> {
    const node = await this.#find(source)
    if (!isFolder(node)) this.#transfer.progress.tally.expect(dataBytesIn(node.inode))
    else if (this.#options.recursive) {
      await this.#countFolder(node.ino, '', new Descent(node.ino))
    }
  }

  async #countFolder(ino: number, above: string, way: Descent): Promise<void> {
    const { filter } = this.#options
    const countName = async ({ name, type, node, ino: child }: ListedName): Promise<void> => {
      const inside = above === '' ? name : `${above}/${name}`
      if (type !== folderDirentType) {
        const bytes = node === undefined ? 0 : dataBytesIn(node.inode)
        if (filter.takesFile(inside)) this.#transfer.progress.tally.expect(bytes)
      } else if (filter.takesFolder(inside)) {
        this.#transfer.assertNotTarget(child)
        await this.#countFolder(child, inside, way.into(child))
      }
    }
    for await (const listed of namesIn(this.#session, ino)) {
      await this.#transfer.count(() => countName(listed))
    }
  }
}

function modeWhileFilled({ inode }: Node): number {
  return (inode.mode & permissionsKept) | 0o700
}

/** Calls `action` with the place that a path names in the folder before its last name. */
async function inFolderOf<T>(path: string, action: (place: LocalPlace) => Promise<T>): Promise<T> {
  const [before, name] = splitPath(path)
  const folder = await LocalFolder.open(before, 'follow').catch(failAbout(path))
  try {
    return await action({ folder, name })
  } finally {
    await folder.close()
  }
}
