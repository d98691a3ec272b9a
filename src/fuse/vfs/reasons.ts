/** Why a file is incomplete, or the mount can change nothing, and what failed, in plain words: `user.dfs.why`. */
import type { Client } from '../../dfc/client.js'
import { awayServers } from '../../dfc/cluster/away-servers.js'
import { whyIncomplete } from '../../dfc/repair/why-incomplete.js'
import { asDfsError } from '../../errors.js'
import type { Why } from '../../noted-failure.js'
import { quorum } from '../../wire/quorum.js'
import { rootIno } from '../../wire/records.js'
import type { LastFailures } from './last-failures.js'
import type { Metadata } from './metadata.js'

export class Reasons {
  readonly #cluster: Client['cluster']
  readonly #metadata: Metadata
  readonly #failures: LastFailures

  constructor(cluster: Client['cluster'], metadata: Metadata, failures: LastFailures) {
    this.#cluster = cluster
    this.#metadata = metadata
    this.#failures = failures
  }

  /**
   * Says why the file or folder is incomplete, and what failed of it; of the root, what failed in the whole mount.
   * Undefined when there is nothing to say.
   */
  async of(ino: number): Promise<Why | undefined> {
    const isRoot = ino === rootIno
    const now = isRoot ? this.#whyReadOnly() : await this.#whyIncomplete(ino)
    const failures = isRoot ? this.#failures.latest : this.#failures.of(ino)
    return now.length + failures.length === 0 ? undefined : { now, failures: [...failures] }
  }

  #whyReadOnly(): string[] {
    if (this.#cluster.voters.length >= quorum.commit) return []
    const down = awayServers(this.#cluster).map(({ name, why }) => `${name} (${why})`)
    return [`nothing can be changed now, as three servers must agree: ${down.join(', ')}`]
  }

  async #whyIncomplete(ino: number): Promise<string[]> {
    const node = this.#metadata.known(ino) ?? (await this.#metadata.find(ino))
    try {
      return await whyIncomplete(this.#cluster, node.inode)
    } catch (thrown) {
      return [`what the servers have of it is not known now: ${asDfsError(thrown).message}`]
    }
  }
}
