/**
 * PUT and SYNC --up: goes through local folders and stores what is in them. Of a folder that the user named nothing is
 * read that is elsewhere, also when another process puts a link in the place of something while it is read.
 */
import type { BigIntStats } from 'node:fs'
import { lstat, readdir, stat } from 'node:fs/promises'
import { localPath, textOf } from '../../byte-text.js'
import type { ListedName, Node } from '../../dfc/namespace/cache/node.js'
import { DfsError, isError } from '../../errors.js'
import { fileType, folderDirentType } from '../../wire/records.js'
import { type ExtendedAttribute, readAttributes } from '../local/local-attributes.js'
import { LocalFolder } from '../local/local-folder.js'
import { dataBytesOf } from '../local/local-holes.js'
import { namesIn } from '../paths/list-folder.js'
import { isFolder, placeOf } from '../paths/remote-path.js'
import type { Session, Status } from '../session.js'
import { RemoteDeletions } from './deletions.js'
import { attributesOf, ItemUpload, type Source } from './item-upload.js'
import { assertMayBeFile, type Step } from './targets.js'
import { Filling, Transfer, type TransferOptions } from './transfer.js'

/** A folder on the servers that is being filled. */
interface Target {
  /** Undefined where it is not there, because nothing is to be done. */
  readonly ino: number | undefined
  /** The path by which users know it. */
  readonly path: string
  /** Its path in the folder that the user named; empty for that. */
  readonly inside: string
}

export class FileUpload {
  readonly #transfer: Transfer
  readonly #session: Session
  readonly #options: TransferOptions
  readonly #items: ItemUpload
  readonly #deletions: RemoteDeletions

  constructor(session: Session, options: TransferOptions) {
    this.#session = session
    this.#options = options
    this.#transfer = new Transfer(session, options)
    this.#items = new ItemUpload(this.#transfer)
    this.#deletions = new RemoteDeletions(this.#transfer)
  }

  run(steps: readonly Step[]): Promise<Status> {
    return this.#transfer.run(steps, {
      advice: this.#advice,
      take: (step) => this.#putOperand(step),
      count: (step) => this.#countOperand(step),
      finish: () => this.#deletions.run(),
      end: () => this.#deletions.sayKept(),
    })
  }

  get #advice(): string {
    const { recursive, sameBy } = this.#options
    const large = 'what is stored of files above 32 MiB is not sent again'
    if (!recursive) return `the same command goes on; ${large}`
    const how = sameBy === 'nothing' ? 'with --skip-same the same command' : 'the same command'
    return `${how} goes on with the files that are not there; ${large}`
  }

  /** Stores an operand. Links named by the user are followed, except with -r, as by cp(1). */
  async #putOperand({ source: name, target }: Step): Promise<void> {
    const { recursive } = this.#options
    const info = await (recursive ? lstat : stat)(localPath(name), { bigint: true })
    const source: Source = { name, path: name, info, atLink: recursive ? 'refuse' : 'follow' }
    if (info.isDirectory() && !recursive) {
      throw new DfsError('isDirectory', 'Is a directory (put -r takes folders)')
    }
    const { parent, name: last, node } = await this.#placeOf(target)
    const meetsFolder = node !== undefined && isFolder(node)
    if (info.isDirectory() && node !== undefined) {
      if (!meetsFolder) throw new DfsError('notDirectory', `${target}: Not a directory`)
      const to = { ino: node.ino, path: target, inside: '' }
      this.#transfer.fills(node.ino)
      return this.#fill(await LocalFolder.open(name, 'refuse'), to)
    }
    if (meetsFolder) throw new DfsError('isDirectory', `${target}: Is a directory`)
    assertMayBeFile(target, info.isDirectory())
    if (info.isDirectory()) {
      const folder = await this.#folderFor(source, parent, last)
      const to = { ino: folder?.ino, path: target, inside: '' }
      if (folder !== undefined) this.#transfer.fills(folder.ino)
      return this.#fill(await LocalFolder.open(name, 'refuse'), to)
    }
    const existing = node && { node, incomplete: false }
    const place = { parent, name: last, existing }
    await this.#transfer.inLane(name, undefined, () => this.#items.put(source, place))
  }

  /** Finds the place of a target, behind a link. An error names the target. */
  async #placeOf(target: string): ReturnType<typeof placeOf> {
    try {
      return await placeOf(this.#session.client.namespace, target, 'followLink')
    } catch (error) {
      // The failure is reported under the name of the source, which is there.
      if (!isError(error, 'notFound', 'notDirectory', 'loop')) throw error
      throw new DfsError(error.code, `${target}: ${error.message}`, { cause: error })
    }
  }

  /** The folder on the servers that a local one is copied to, made where there is none. */
  async #folderFor(
    { name: source, info }: Source,
    parent: number | undefined,
    name: string,
  ): Promise<Node | undefined> {
    const { namespace } = this.#session.client
    const made = await this.#transfer.act('make', `${source}/`, async () => {
      if (parent === undefined) throw new DfsError('notFound')
      return await namespace
        .create(parent, name, attributesOf(fileType.folder, info))
        .catch((error: unknown) => {
          if (!isError(error, 'exists')) throw error
          return namespace.names.lookup(parent, name)
        })
    })
    if (made !== undefined && !isFolder(made)) {
      throw new DfsError('notDirectory', 'exists on the servers and is not a folder')
    }
    return made
  }

  /** Stores what is in `local`, which is closed then. */
  async #fill(local: LocalFolder, to: Target, above?: Filling): Promise<void> {
    const info = await local.stat()
    above?.begin()
    const filling = new Filling(async () => {
      await this.#transfer.attempt(local.path, () => this.#finish(local, to, info))
      await local.close()
      await above?.end()
    })
    try {
      const existing = await this.#existingIn(to)
      const names = await readdir(local.self, { encoding: 'buffer' })
      for (const name of names.map(textOf)) {
        const found = existing?.get(name)
        existing?.delete(name)
        await this.#transfer.attempt(local.pathOf(name), () =>
          this.#putChild(local, name, to, found, filling),
        )
      }
      if (this.#options.deletesOthers && to.ino !== undefined) {
        if (names.length === 0 && to.inside === '') this.#deletions.refuse(local.path)
        for (const { name } of existing?.values() ?? []) this.#deletions.add(to.ino, name, to)
      }
    } finally {
      await filling.end()
    }
  }

  /** Lists what a folder has on the servers, where that matters. */
  async #existingIn({ ino }: Target): Promise<Map<string, ListedName> | undefined> {
    const { sameBy, deletesOthers } = this.#options
    if (ino === undefined || (sameBy === 'nothing' && !deletesOthers)) return undefined
    const existing = new Map<string, ListedName>()
    for await (const listed of namesIn(this.#session, ino)) existing.set(listed.name, listed)
    return existing
  }

  async #putChild(
    local: LocalFolder,
    name: string,
    to: Target,
    existing: ListedName | undefined,
    filling: Filling,
  ): Promise<void> {
    const path = local.at(name)
    const info = await lstat(localPath(path), { bigint: true })
    const inside = to.inside === '' ? name : `${to.inside}/${name}`
    const { filter, deletesOthers, dryRun } = this.#options
    const source: Source = { name: local.pathOf(name), path, info, atLink: 'refuse' }
    if (info.isDirectory()) {
      if (!filter.takesFolder(inside)) return
      await this.#transfer.assertLocalNotTarget(info)
      return this.#putFolder(local, source, name, to, existing, filling)
    }
    if (!filter.takesFile(inside)) return
    const { ino } = to
    const meetsFolder = existing?.type === folderDirentType
    const makeRoom =
      deletesOthers && meetsFolder && ino !== undefined
        ? () => this.#deletions.removeReplaced(ino, name, to)
        : undefined
    const node = meetsFolder ? undefined : existing?.node
    const place = {
      parent: ino,
      name,
      existing: node && { node, incomplete: existing?.incomplete === true },
      ...(makeRoom === undefined ? {} : { makeRoom }),
    }
    await this.#transfer.inLane(source.name, filling, async () => {
      await this.#items.put(source, place)
      if (dryRun) await makeRoom?.()
    })
  }

  /** Stores a folder in a folder, where it may take the place of something else. */
  async #putFolder(
    local: LocalFolder,
    source: Source,
    name: string,
    to: Target,
    existing: ListedName | undefined,
    filling: Filling,
  ): Promise<void> {
    const { namespace } = this.#session.client
    const { ino } = to
    const meetsFolder = existing?.node !== undefined && isFolder(existing.node)
    if (
      existing !== undefined &&
      !meetsFolder &&
      ino !== undefined &&
      this.#options.deletesOthers
    ) {
      await this.#deletions.setAside(ino, name, to, (temporary) =>
        namespace.rename(ino, name, ino, temporary, 'noReplace'),
      )
    }
    const folder = meetsFolder ? existing.node : await this.#folderFor(source, ino, name)
    const inside = to.inside === '' ? name : `${to.inside}/${name}`
    const path = `${to.path.replace(/\/+$/, '')}/${name}`
    await this.#fill(await local.open(name), { ino: folder?.ino, path, inside }, filling)
  }

  /** Gives a folder its attributes, and its time, which adding to it has changed. */
  async #finish(local: LocalFolder, { ino }: Target, info: BigIntStats): Promise<void> {
    if (ino === undefined || this.#options.dryRun) return
    const attributes = await this.#attributesOf(local)
    await this.#items.setAttributes(ino, attributesOf(fileType.folder, info), attributes)
  }

  #attributesOf({ self }: LocalFolder): Promise<readonly ExtendedAttribute[]> {
    return readAttributes(self)
  }

  async #countOperand({ source }: Step): Promise<void> {
    const { recursive } = this.#options
    const info = await (recursive ? lstat : stat)(localPath(source), { bigint: true })
    if (!info.isDirectory()) this.#transfer.progress.tally.expect(dataBytesOf(info))
    else if (recursive) await this.#countFolder(await LocalFolder.open(source, 'refuse'), '')
  }

  async #countFolder(local: LocalFolder, above: string): Promise<void> {
    const { filter } = this.#options
    const countName = async (name: string): Promise<void> => {
      const inside = above === '' ? name : `${above}/${name}`
      const info = await lstat(localPath(local.at(name)), { bigint: true })
      if (!info.isDirectory()) {
        if (filter.takesFile(inside)) this.#transfer.progress.tally.expect(dataBytesOf(info))
      } else if (filter.takesFolder(inside)) {
        await this.#transfer.assertLocalNotTarget(info)
        await this.#countFolder(await local.open(name), inside)
      }
    }
    try {
      for (const bytes of await readdir(local.self, { encoding: 'buffer' })) {
        await this.#transfer.count(() => countName(textOf(bytes)))
      }
    } finally {
      await local.close()
    }
  }
}
