/**
 * The way down from the folder where a walk through a tree began to the one where it is. A walk that goes on by it ends,
 * whatever the servers say is below what.
 */
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'

export class Descent {
  readonly #ino: number
  readonly #above: Descent | undefined
  readonly #depth: number

  /** Begins at the folder `ino`. */
  constructor(ino: number, above?: Descent) {
    this.#ino = ino
    this.#above = above
    this.#depth = above === undefined ? 0 : above.#depth + 1
  }

  /** The way on to the folder `ino` in this one. Throws `loop` for one that is above, and for too many. */
  into(ino: number): Descent {
    for (let at: Descent | undefined = this; at !== undefined; at = at.#above) {
      if (at.#ino === ino) throw new DfsError('loop', 'the folder is below itself')
    }
    if (this.#depth >= limits.folderDepthMax) {
      throw new DfsError('loop', `more than ${limits.folderDepthMax} folders below one another`)
    }
    return new Descent(ino, this)
  }
}
