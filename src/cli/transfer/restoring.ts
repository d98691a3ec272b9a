/** TRASH restore: gives files that are kept their places again, several at once. */
import { TaskPool } from '../../async/task-pool.js'
import type { KeptFolder } from '../../dfc/namespace/kept.js'
import type { KeptFile } from '../../dfc/namespace/trash.js'
import { DfsError, isError } from '../../errors.js'
import { followPath, namesOf } from '../paths/remote-path.js'
import { reportAbout, type Session } from '../session.js'
import { makeParents } from './folders.js'
import { baseName } from './targets.js'

/** Files that are restored at once. */
const lanesMax = 16

/** Restores files. Each folder of them is made and looked up once. */
export class Restoring {
  readonly #session: Session
  readonly #mayReplace: boolean
  readonly #lanes = new TaskPool(lanesMax)
  readonly #folders = new Map<string, Promise<number>>()
  #isComplete = true

  constructor(session: Session, mayReplace: boolean) {
    this.#session = session
    this.#mayReplace = mayReplace
  }

  /** Begins to restore a file. Waits while enough others are being restored. */
  async begin(kept: KeptFile, target: string): Promise<void> {
    this.#session.interrupted.throwIfAborted()
    await this.#lanes.start(async () => {
      try {
        await this.#restore(kept, target)
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

  async #restore(kept: KeptFile, target: string): Promise<void> {
    const { client, output } = this.#session
    const name = baseName(target)
    const folder = target.slice(0, target.length - name.length)
    const made = this.#folders.get(folder) ?? this.#makeFolder(folder, foldersFor(kept, folder))
    this.#folders.set(folder, made)
    const restoration = { kept: kept.id, name, parent: await made, mayReplace: this.#mayReplace }
    try {
      await client.namespace.trash.restore(restoration)
    } catch (error) {
      if (!isError(error, 'exists')) throw error
      throw new DfsError(
        'exists',
        'the name is taken: --to restores elsewhere, --force in the place of a file',
      )
    }
    const when = new Date(kept.sinceMs).toISOString()
    output.print(`${output.name(target)} is as it was at ${when}`)
  }

  async #makeFolder(path: string, attributes: readonly KeptFolder[]): Promise<number> {
    const { namespace } = this.#session.client
    await makeParents(namespace, path, attributes)
    return (await followPath(namespace, path)).ino
  }
}

/** The attributes of the last folders on the way to `target`: as far up as they have the names that they had. */
function foldersFor({ folder, folders }: KeptFile, target: string): readonly KeptFolder[] {
  const before = namesOf(folder ?? '').reverse()
  const now = namesOf(target).reverse()
  const other = before.findIndex((name, at) => name !== now[at])
  const same = Math.min(other === -1 ? before.length : other, folders.length)
  return same === 0 ? [] : folders.slice(-same)
}
