/** TRASH restore: gives files and folders that are kept their places again, several at once. */
import { TaskPool } from '../../async/task-pool.js'
import type { KeptFolder } from '../../dfc/namespace/kept.js'
import type { KeptFile } from '../../dfc/namespace/trash.js'
import { DfsError, isError } from '../../errors.js'
import { rootIno } from '../../wire/records.js'
import { isFolder, namesOf, placeOf } from '../paths/remote-path.js'
import { reportAbout, type Session } from '../session.js'
import { makeFolder } from './folders.js'

/** Files that are restored at once. */
const lanesMax = 16

/** Restores files and folders. Each folder that they need is looked up once, and restored or made where it is missing. */
export class Restoring {
  readonly #session: Session
  readonly #mayReplace: boolean
  readonly #lanes = new TaskPool(lanesMax)
  /** The folders that are kept, by the paths that they get. */
  readonly #keptFolders = new Map<string, KeptFile>()
  /** Mode and owner of folders, by the paths that they get, for those that are not kept themselves. */
  readonly #attributes = new Map<string, KeptFolder>()
  readonly #folders = new Map<string, Promise<number>>()
  readonly #restored = new Set<KeptFile>()
  #isComplete = true

  constructor(session: Session, mayReplace: boolean) {
    this.#session = session
    this.#mayReplace = mayReplace
  }

  /** Notes a folder that is kept, and the path at which it is restored if something there needs it. */
  expect(kept: KeptFile, target: string): void {
    const path = pathOf(namesOf(target))
    if (!this.#keptFolders.has(path)) this.#keptFolders.set(path, kept)
  }

  /**
   * Begins to restore a file, or a folder that is expected. Waits while enough others are being restored. `mayMerge`: a
   * folder that is there already is as good.
   */
  async begin(kept: KeptFile, target: string, mayMerge: boolean): Promise<void> {
    this.#session.interrupted.throwIfAborted()
    this.#noteAttributes(kept, target)
    await this.#lanes.start(async () => {
      try {
        if (isFolder(kept.node)) await this.#restoreFolder(kept, namesOf(target), mayMerge)
        else await this.#restoreFile(kept, namesOf(target))
      } catch (error) {
        this.#isComplete = false
        reportAbout(this.#session, target, error, false)
      }
    })
  }

  /** Resolves when all have ended, with whether each could be restored. */
  async end(): Promise<boolean> {
    await this.#lanes.finish()
    return this.#isComplete
  }

  async #restoreFolder(kept: KeptFile, names: readonly string[], mayMerge: boolean): Promise<void> {
    await this.#folder(names)
    if (mayMerge || this.#restored.has(kept)) return
    throw new DfsError('exists', 'the name is taken: --to restores the folder elsewhere')
  }

  async #restoreFile(kept: KeptFile, names: readonly string[]): Promise<void> {
    const name = names.at(-1)
    if (name === undefined) throw new DfsError('isDirectory')
    const parent = await this.#folder(names.slice(0, -1))
    try {
      await this.#restore(kept, { parent, name }, names)
    } catch (error) {
      if (!isError(error, 'exists')) throw error
      throw new DfsError(
        'exists',
        'the name is taken: --to restores elsewhere, --force in the place of a file',
      )
    }
  }

  async #restore(
    kept: KeptFile,
    place: { readonly parent: number; readonly name: string },
    names: readonly string[],
  ): Promise<number> {
    const { client, output } = this.#session
    const mayReplace = this.#mayReplace && !isFolder(kept.node)
    const { ino } = await client.namespace.trash.restore({ kept: kept.id, ...place, mayReplace })
    this.#restored.add(kept)
    const when = new Date(kept.sinceMs).toISOString()
    output.print(`${output.name(pathOf(names))} is as it was at ${when}`)
    return ino
  }

  /** Returns the folder with this path, behind links. Where it is missing it is restored or made, and those above it. */
  #folder(names: readonly string[]): Promise<number> {
    const path = pathOf(names)
    const known = this.#folders.get(path) ?? this.#findOrMake(names, path)
    this.#folders.set(path, known)
    return known
  }

  async #findOrMake(names: readonly string[], path: string): Promise<number> {
    if (names.length === 0) return rootIno
    await this.#folder(names.slice(0, -1))
    const { namespace } = this.#session.client
    const { parent, name, node } = await placeOf(namespace, path, 'followLink')
    if (node !== undefined) {
      if (!isFolder(node)) throw new DfsError('notDirectory', `${path} is no folder`)
      return node.ino
    }
    const kept = this.#keptFolders.get(path)
    if (kept !== undefined) return this.#restore(kept, { parent, name }, names)
    await makeFolder(namespace, parent, name, this.#attributes.get(path))
    return (await namespace.names.lookup(parent, name)).ino
  }

  /** Notes what the record of a file says of the folders above it, as far up as they have the names that they had. */
  #noteAttributes({ folder, folders }: KeptFile, target: string): void {
    const before = namesOf(folder ?? '')
    const now = namesOf(target).slice(0, -1)
    for (let up = 1; up <= folders.length && now.at(-up) === before.at(-up); up += 1) {
      const attributes = folders.at(-up)
      const path = pathOf(now.slice(0, now.length - up + 1))
      if (attributes !== undefined && !this.#attributes.has(path)) {
        this.#attributes.set(path, attributes)
      }
    }
  }
}

function pathOf(names: readonly string[]): string {
  return `/${names.join('/')}`
}
