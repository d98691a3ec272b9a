/**
 * The configuration of a client that runs. It is read again when a server is lost or refuses, so that another password
 * or another address of a server takes effect without a restart.
 */
import type { ClientConfig } from '../../config.js'
import { asDfsError, DfsError } from '../../errors.js'
import { notice } from '../../log.js'

export class CurrentConfig {
  readonly #read: (() => ClientConfig) | undefined
  #now: ClientConfig
  /** Why the configuration could not be used when it was read last. */
  #problem: string | undefined

  /** `read` reads the configuration again. It may throw: then the known one stays. */
  constructor(now: ClientConfig, read?: () => ClientConfig) {
    this.#now = now
    this.#read = read
  }

  get now(): ClientConfig {
    return this.#now
  }

  /**
   * Reads it again. One that cannot be read, or is for another user or other servers, is ignored, and the log says so
   * once.
   */
  refresh(): void {
    try {
      const next = this.#read?.()
      if (next === undefined) return
      assertSameAccount(this.#now, next)
      this.#problem = undefined
      for (const [index, { name, address }] of next.servers.entries()) {
        const { host, port } = this.#now.servers[index]?.address ?? address
        if (host === address.host && port === address.port) continue
        notice(`the configuration has another address for ${name}: ${address.host}:${address.port}`)
      }
      this.#now = next
    } catch (thrown) {
      this.#ignored(asDfsError(thrown).message)
    }
  }

  #ignored(problem: string): void {
    if (problem === this.#problem) return
    this.#problem = problem
    notice(`the configuration cannot be used, going on with the one before: ${problem}`, 'warning')
  }
}

/** Throws `configuration` when one of the two configurations is for another account. */
function assertSameAccount(before: ClientConfig, next: ClientConfig): void {
  const accountOf = ({ user, servers }: ClientConfig): string =>
    `the account of ${user} on ${servers.map(({ name }) => name).join(', ')}`
  const [old, other] = [accountOf(before), accountOf(next)]
  if (old === other) return
  throw new DfsError('configuration', `it is for ${other}, and no longer for ${old}`)
}
