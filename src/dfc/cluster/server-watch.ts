/**
 * Watches the four servers from outside: who answers at each address, as it says before any login. A login would keep
 * every mount of the account from being alone.
 */
import { type Clock, type Random, sleep } from '../../clock.js'
import type { ClientConfig } from '../../config.js'
import { asDfsError, DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Network } from '../../network.js'
import type { Greeting } from './connection.js'
import { connectOnce } from './log-in-once.js'
import type { ServerKeys } from './server-keys.js'

export interface ServerWatchOptions {
  /** The configuration, as it is now. */
  readonly config: () => ClientConfig
  readonly keys: Pick<ServerKeys, 'assertKnown'>
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
}

export class ServerWatch {
  readonly #options: ServerWatchOptions
  /** The answers of the latest look, one for each server. */
  #seen = ''

  constructor(options: ServerWatchOptions) {
    this.#options = options
  }

  /** Looks who is there, for `changed` to compare with. What happens from then on is a change. */
  async begin(): Promise<void> {
    this.#seen = await this.#look()
  }

  /**
   * Resolves when another server answers at an address than in the look before, or none, or one again; at the latest
   * after `waitMs`. Rejects when it is interrupted.
   */
  async changed(waitMs: number, interrupted: AbortSignal): Promise<void> {
    const { clock } = this.#options
    const endMs = clock.monotonic() + waitMs
    const before = this.#seen
    for (;;) {
      interrupted.throwIfAborted()
      const restMs = endMs - clock.monotonic()
      if (restMs <= 0) return
      await sleep(clock, Math.min(limits.statusWaitMs, restMs))
      await this.begin()
      if (this.#seen !== before) return
    }
  }

  async #look(): Promise<string> {
    const { servers } = this.#options.config()
    return (await Promise.all(servers.map((_, index) => this.#idAt(index)))).join(' ')
  }

  /** The id of the server that answers; the code of the failure where none does. */
  async #idAt(index: number): Promise<string> {
    const options = { ...this.#options, config: this.#options.config() }
    let shown: Greeting | undefined
    try {
      const connection = await connectOnce(index, options, async (greeting) => {
        shown = greeting
        throw new DfsError('down', 'no login is wanted')
      })
      connection.close()
    } catch (thrown) {
      return shown?.server ?? asDfsError(thrown).code
    }
    throw new DfsError('protocol', `server ${index + 1} was logged in to`)
  }
}
