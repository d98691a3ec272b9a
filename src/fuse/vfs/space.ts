/** The space of the cluster, as statfs(2) shows it and as fallocate(2) needs it. */
import type { Clock } from '../../clock.js'
import type { Client, Space } from '../../dfc/client.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { storedBytes } from './attributes.js'
import type { OpenFile } from './open-file.js'

export class ClusterSpace {
  readonly #client: Pick<Client, 'makeRoom' | 'space'>
  readonly #clock: Clock
  #last: { readonly atMs: number; readonly answer: Space } | undefined

  constructor(client: Pick<Client, 'makeRoom' | 'space'>, clock: Clock) {
    this.#client = client
    this.#clock = clock
  }

  /** Space and files of the cluster, up to a moment old, because some programs ask at every step. */
  async now(): Promise<Space> {
    const atMs = this.#clock.monotonic()
    if (this.#last === undefined || atMs - this.#last.atMs > limits.cacheLifeMs) {
      this.#last = { atMs, answer: await this.#client.space() }
    }
    return this.#last.answer
  }

  /**
   * Checks that the servers have room for a range of `length` bytes of a file, although nothing is reserved. Throws
   * `noSpace` or `quota`.
   */
  async assertRoomFor({ dataBytes, node }: OpenFile, length: number): Promise<void> {
    const stored = dataBytes ?? storedBytes(node.inode)
    // All existing data may lie in the range: then the range takes no more room.
    const wanted = length - stored
    if (wanted <= 0) return
    const { freeBytes, beyond } = await this.now()
    if (wanted <= freeBytes) return
    const lack = new DfsError(beyond)
    const isMade = await this.#client.makeRoom(lack, wanted)
    if (!isMade || wanted > (await this.#client.space()).freeBytes) throw lack
  }
}
