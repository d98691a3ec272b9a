/**
 * The configuration of a client that runs. It is read again when a server is lost or refuses, so that another password
 * or another address of a server takes effect without a restart.
 */
import type { ClientConfig } from '../../config.js'
import { asDfsError } from '../../errors.js'
import { debugDfc, notice } from '../../log.js'

export class CurrentConfig {
  readonly #read: (() => ClientConfig) | undefined
  #now: ClientConfig

  /** `read` reads the configuration again. It may throw: then the known one stays. */
  constructor(now: ClientConfig, read?: () => ClientConfig) {
    this.#now = now
    this.#read = read
  }

  get now(): ClientConfig {
    return this.#now
  }

  /** Reads it again. One for another user or other servers is another account, and is ignored. */
  refresh(): void {
    try {
      const next = this.#read?.()
      if (next === undefined || !isSameAccount(this.#now, next)) return
      for (const [index, { name, address }] of next.servers.entries()) {
        const { host, port } = this.#now.servers[index]?.address ?? address
        if (host === address.host && port === address.port) continue
        notice(`the configuration has another address for ${name}: ${address.host}:${address.port}`)
      }
      this.#now = next
    } catch (thrown) {
      debugDfc('config: %s', asDfsError(thrown).message)
    }
  }
}

function isSameAccount(one: ClientConfig, other: ClientConfig): boolean {
  const names = ({ servers }: ClientConfig): string => servers.map(({ name }) => name).join('\n')
  return one.user === other.user && names(one) === names(other)
}
