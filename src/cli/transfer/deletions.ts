/**
 * Removes what SYNC --delete finds in the target and not in the source, unless the filter leaves it out. Nothing is
 * removed before everything else was done without a failure, so that a name that could not be read is not taken for
 * gone. A folder in whose place a file comes goes when that file is stored completely.
 */
import { lstat, readdir, rmdir, unlink } from 'node:fs/promises'
import { localPath, textOf } from '../../byte-text.js'
import { Descent } from '../../dfc/namespace/descent.js'
import { DfsError, isError } from '../../errors.js'
import { folderDirentType } from '../../wire/records.js'
import { LocalFolder } from '../local/local-folder.js'
import { isSystemError } from '../local/system-errors.js'
import { namesIn } from '../paths/list-folder.js'
import type { Transfer } from './transfer.js'

/** The folder that something is removed from. */
interface Below {
  /** The path by which users know it. */
  readonly path: string
  /** Its path in the folder that the user named; empty for that. */
  readonly inside: string
}

/** A name that is to be removed. */
interface Extra<F> extends Below {
  readonly folder: F
  readonly name: string
  /** The name by which users know it, where it has another one since. */
  readonly known?: string
}

abstract class Deletions<F> {
  protected readonly transfer: Transfer
  readonly #extras = new Set<Extra<F>>()
  /** The source, if it has nothing at all. */
  #emptySource: string | undefined

  constructor(transfer: Transfer) {
    this.transfer = transfer
  }

  /** Removes `name` later, if nothing fails until then. */
  add(folder: F, name: string, { path, inside }: Below): void {
    this.#extras.add({ folder, name, path, inside })
  }

  /**
   * Makes room for a folder where something else has the name: `rename` gives that a temporary name, under which it is
   * removed later, if nothing fails until then. What the filter leaves out stays in the way.
   */
  async setAside(
    folder: F,
    name: string,
    { path, inside }: Below,
    rename: (temporary: string) => Promise<unknown>,
  ): Promise<void> {
    const extra = { folder, name, path, inside }
    if (!this.transfer.options.filter.takesFile(insideOf(extra))) return
    if (this.transfer.options.dryRun) return this.add(folder, name, extra)
    const { random } = this.transfer.session.client.cluster
    const temporary = `.dfc-${random.bytes(12).toString('hex')}`
    await rename(temporary)
    this.#extras.add({ ...extra, name: temporary, known: name })
  }

  /** Says what was set aside and is there still, because something failed. */
  sayKept(): void {
    for (const extra of this.#extras) {
      if (extra.known === undefined) continue
      const kept = pathOf({ path: extra.path, name: extra.name })
      const why = `what gave way to the folder is kept as ${kept} until sync succeeds`
      this.transfer.session.output.problem(`${pathOf(extra)}: ${why}`)
    }
  }

  /** Removes nothing, because the source is empty. */
  refuse(source: string): void {
    this.#emptySource = source
  }

  /** Removes a folder whose name is wanted for what is stored completely. Throws `notEmpty` where something stays. */
  async removeReplaced(folder: F, name: string, { path, inside }: Below): Promise<void> {
    if (await this.remove({ folder, name, path, inside })) return
    throw new DfsError('notEmpty', 'is a folder there, with something that the patterns leave out')
  }

  /** Removes everything that was added. */
  async run(): Promise<void> {
    if (this.#extras.size === 0) return
    if (this.#emptySource !== undefined) {
      const why = 'is empty, which more often is a disk that is not mounted: nothing was deleted'
      return this.transfer.failed(this.#emptySource, new DfsError('invalid', why))
    }
    for (const extra of this.#extras) {
      await this.transfer.attempt(pathOf(extra), async () => {
        await this.remove(extra)
        this.#extras.delete(extra)
      })
    }
  }

  /** Resolves to whether the name is gone: in a folder something may have been left that the filter leaves out. */
  protected abstract remove(extra: Extra<F>): Promise<boolean>

  /** Removes one name by `action`. */
  protected async drop(extra: Extra<F>, slash: string, action: () => Promise<unknown>) {
    await this.transfer.act('delete', pathOf(extra) + slash, action)
    this.transfer.progress.tally.deleted()
  }
}

export class RemoteDeletions extends Deletions<number> {
  protected override async remove(extra: Extra<number>): Promise<boolean> {
    const { names } = this.transfer.session.client.namespace
    const node = await names.lookup(extra.folder, extra.name).catch(unlessGone)
    if (node === undefined) return true
    const isFolder = node.folder !== null
    return await this.#remove(extra, isFolder ? new Descent(node.ino) : undefined, node.ino)
  }

  async #remove(extra: Extra<number>, way: Descent | undefined, ino: number): Promise<boolean> {
    const { namespace } = this.transfer.session.client
    const { filter } = this.transfer.options
    const { folder, name } = extra
    const inside = insideOf(extra)
    if (way === undefined) {
      if (!filter.takesFile(inside)) return false
      await this.drop(extra, '', () => namespace.unlink(folder, name))
      return true
    }
    if (!filter.takesFolder(inside)) return false
    let isEmpty = true
    for await (const child of namesIn(this.transfer.session, ino)) {
      const next = { folder: ino, name: child.name, path: pathOf(extra), inside }
      const isFolder = child.type === folderDirentType
      const down = isFolder ? way.into(child.ino) : undefined
      if (!(await this.#remove(next, down, child.ino))) isEmpty = false
    }
    if (isEmpty) await this.drop(extra, '/', () => namespace.rmdir(folder, name))
    return isEmpty
  }
}

/** The folder is the path by which users know it: it is opened anew, and not through links at its end. */
export class LocalDeletions extends Deletions<string> {
  protected override async remove(extra: Extra<string>): Promise<boolean> {
    const folder = await LocalFolder.open(extra.folder, extra.inside === '' ? 'follow' : 'refuse')
    try {
      return await this.#remove(folder, extra)
    } finally {
      await folder.close()
    }
  }

  async #remove(within: LocalFolder, extra: Extra<string>): Promise<boolean> {
    const { filter } = this.transfer.options
    const path = localPath(within.at(extra.name))
    const inside = insideOf(extra)
    const found = await lstat(path).catch(unlessGone)
    if (found === undefined) return true
    if (!found.isDirectory()) {
      if (!filter.takesFile(inside)) return false
      await this.drop(extra, '', () => unlink(path))
      return true
    }
    if (!filter.takesFolder(inside)) return false
    const folder = await within.open(extra.name)
    let isEmpty = true
    try {
      for (const bytes of await readdir(folder.self, { encoding: 'buffer' })) {
        this.transfer.session.interrupted.throwIfAborted()
        const below = { folder: folder.path, path: pathOf(extra), inside }
        if (!(await this.#remove(folder, { ...below, name: textOf(bytes) }))) isEmpty = false
      }
    } finally {
      await folder.close()
    }
    if (isEmpty) await this.drop(extra, '/', () => rmdir(path))
    return isEmpty
  }
}

/** Ignores that something is gone already, such as a file that was begun and is whole since. Throws other errors. */
function unlessGone(error: unknown): undefined {
  if (!isError(error, 'notFound') && !isSystemError(error, 'ENOENT')) throw error
}

type Named = Pick<Extra<unknown>, 'name' | 'known'>

function pathOf({ path, name, known = name }: Named & { readonly path: string }): string {
  return `${path.replace(/\/+$/, '')}/${known}`
}

function insideOf({ inside, name, known = name }: Named & { readonly inside: string }): string {
  return inside === '' ? known : `${inside}/${known}`
}
