/** The folder of what is kept, as changes need it: whether anything is kept, and what of it. */
import { SingleFlight } from '../../async/single-flight.js'
import { type FolderMaker, makeTrash } from './root-folder.js'
import { VersionRule } from './version-rule.js'

export class TrashFolder {
  readonly rule = new VersionRule()
  readonly #maker: FolderMaker
  readonly #making = new SingleFlight<void>()
  #isMade = false

  constructor(maker: FolderMaker) {
    this.#maker = maker
  }

  /** Whether the account keeps what is removed or replaced. */
  get isOn(): boolean {
    return this.#maker.cluster.trashMs > 0
  }

  /** Resolves when the folder is there, which then stays for good. */
  async prepare(): Promise<void> {
    if (this.#isMade) return
    await this.#making.run(() => makeTrash(this.#maker))
    this.#isMade = true
  }
}
