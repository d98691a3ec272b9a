/**
 * A client that is there while something uses it. A client with connections keeps a mount of the same user from being
 * alone, which makes each change there slower, so a prompt at which nothing is typed must not have any.
 */
import type { Clock, Timer } from '../clock.js'
import type { Client } from '../dfc/client.js'
import { debugDfc } from '../log.js'

export interface IdleClientOptions {
  readonly clock: Clock
  /** Opens a client. Called for each use that finds none. */
  readonly open: () => Promise<Client>
  /** How long a client is kept that nothing uses. */
  readonly idleMs: number
  /** Called with each client that was opened, before it is used. */
  readonly onOpened?: (client: Client) => void
  /** Called with a client before it is closed. */
  readonly onIdle?: (client: Client) => void
}

export class IdleClient {
  readonly #options: IdleClientOptions
  #client: Promise<Client> | undefined
  /** The end of the client before this one. It never rejects. */
  #closing: Promise<void> = Promise.resolve()
  #users = 0
  #timer: Timer | undefined

  constructor(options: IdleClientOptions) {
    this.#options = options
  }

  /** Calls `action` with the client, which is closed when it was not used for `idleMs`. */
  async use<T>(action: (client: Client) => Promise<T>): Promise<T> {
    this.#timer?.cancel()
    this.#users += 1
    try {
      return await action(await this.again())
    } finally {
      this.#users -= 1
      if (this.#users === 0) {
        const { clock, idleMs } = this.#options
        this.#timer = clock.after(idleMs, () => void this.close())
      }
    }
  }

  /** Opens a client for a use that has closed its own. */
  async again(): Promise<Client> {
    this.#client ??= this.#open()
    return await this.#client
  }

  /** Closes the client, if there is one. The next use opens another. */
  close(): Promise<void> {
    this.#timer?.cancel()
    const closed = this.#client
    this.#client = undefined
    if (closed !== undefined) this.#closing = this.#closing.then(() => this.#end(closed))
    return this.#closing
  }

  async #open(): Promise<Client> {
    try {
      await this.#closing
      const client = await this.#options.open()
      this.#options.onOpened?.(client)
      return client
    } catch (error) {
      this.#client = undefined
      throw error
    }
  }

  async #end(closed: Promise<Client>): Promise<void> {
    try {
      const client = await closed
      this.#options.onIdle?.(client)
      await client.close()
    } catch (error) {
      debugDfc('an idle client: %o', error)
    }
  }
}
