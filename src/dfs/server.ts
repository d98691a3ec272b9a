/**
 * One of the four servers: listens, gives each connection a session, and keeps their number bounded.
 * Everything that is not computation comes from outside, so that four of them can run in one process
 * under a simulated network and clock.
 */
import type { Clock, Random } from '../clock.js'
import { limits } from '../limits.js'
import { debugDfs } from '../log.js'
import type { Address, Connection, ConnectionEvents, Listener, Network } from '../network.js'
import { Accounts } from './accounts.js'
import { Session, type SessionHost } from './session.js'
import type { Storage } from './storage.js'
import type { Users } from './users.js'

export interface ServerOptions {
  /** Port 0 takes any free one. */
  readonly address: Address
  readonly users: Users
  /** Belongs to the server from now on: `stop` closes it. */
  readonly storage: Storage
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
}

const turnedAway: ConnectionEvents = { data() {}, closed() {}, drained() {} }

export class Server {
  readonly #options: ServerOptions
  readonly #sessions = new Set<Session>()
  readonly #host: SessionHost
  #listener: Listener | undefined
  #stopping: Promise<void> | undefined
  #emptied = (): void => {}

  private constructor(options: ServerOptions) {
    const { users, storage, random, clock } = options
    this.#options = options
    this.#host = {
      users,
      random,
      clock,
      identity: storage.identity,
      accounts: new Accounts(storage, random, clock),
      closed: (session) => this.#forget(session),
    }
  }

  /** Throws what the network throws when it cannot listen; the storage is then closed. */
  static async start(options: ServerOptions): Promise<Server> {
    const server = new Server(options)
    try {
      const accept = (connection: Connection): ConnectionEvents => server.#accept(connection)
      server.#listener = await options.network.listen(options.address, accept)
    } catch (thrown) {
      options.storage.close()
      throw thrown
    }
    return server
  }

  get port(): number {
    return this.#listener?.port ?? this.#options.address.port
  }

  get connections(): number {
    return this.#sessions.size
  }

  /** Finishes what is in progress, for at most `drainMs`, and closes everything. */
  stop(drainMs: number = limits.stopDrainMs): Promise<void> {
    this.#stopping ??= this.#stop(drainMs)
    return this.#stopping
  }

  async #stop(drainMs: number): Promise<void> {
    for (const session of this.#sessions) session.drain()
    await this.#empty(drainMs)
    await this.#listener?.close()
    this.#host.accounts.closeAll()
    this.#options.storage.close()
  }

  #accept(connection: Connection): ConnectionEvents {
    const refusal = this.#refusal()
    if (refusal !== undefined) {
      debugDfs('%s: turned away: %s', connection.remote, refusal)
      connection.destroy()
      return turnedAway
    }
    const session = new Session(connection, this.#host)
    this.#sessions.add(session)
    return session
  }

  #refusal(): string | undefined {
    if (this.#stopping !== undefined) return 'stopping'
    if (this.#sessions.size >= limits.connectionsMax) return 'too many connections'
    if (this.#sessions.size < limits.handshakesMax) return undefined
    let handshakes = 0
    for (const session of this.#sessions) handshakes += Number(!session.isAuthenticated)
    return handshakes < limits.handshakesMax ? undefined : 'too many handshakes'
  }

  #forget(session: Session): void {
    this.#sessions.delete(session)
    if (this.#sessions.size === 0) this.#emptied()
  }

  #empty(withinMs: number): Promise<void> {
    if (this.#sessions.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(withinMs, resolve)
      this.#emptied = () => {
        timer.cancel()
        resolve()
      }
    })
  }
}
