/**
 * One of the four servers: listens, gives each connection a session, and keeps their number bounded.
 * Everything that is not computation comes from outside, so that four of them can run in one process
 * under a simulated network and clock.
 */
import type { Clock, Random } from '../clock.js'
import { limits } from '../limits.js'
import { debugDfs } from '../log.js'
import type { Address, Connection, ConnectionEvents, Listener, Network } from '../network.js'
import { hostOf } from '../remote-host.js'
import type { TlsKey } from '../tls.js'
import { Accounts } from './account/accounts.js'
import type { Storage } from './account/storage.js'
import { type DescriptorShares, descriptorShares } from './disk/descriptors.js'
import type { ServerFigures } from './server-metrics.js'
import type { PlainFrom } from './session/handshake.js'
import { Session, type SessionHost } from './session/session.js'
import { FrameShares, UploadShares } from './session/shares.js'
import { Traffic } from './session/traffic.js'
import { Turns } from './session/turns.js'
import type { Users } from './users/users.js'

export interface ServerOptions {
  /** Port 0 takes any free one. */
  readonly address: Address
  readonly users: Users
  /** Belongs to the server from now on: `stop` closes it. */
  readonly storage: Storage
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  /** Without it there is no TLS, and everybody comes without. */
  readonly security?: ServerSecurity
  /** Files and connections that the process may have open; as many as there are limits for if it is not said. */
  readonly descriptorsMax?: number
}

/** The key by which a server is known, and who may come without TLS. */
export interface ServerSecurity {
  readonly key: () => Promise<TlsKey>
  readonly plainFrom: PlainFrom
}

const turnedAway: ConnectionEvents = { data() {}, closed() {}, drained() {} }

export class Server {
  readonly #options: ServerOptions
  readonly #sessions = new Set<Session>()
  /** Sessions that had not logged in when last looked at, the oldest first, and where they are from. */
  readonly #strangers = new Map<Session, string>()
  readonly #host: SessionHost
  readonly #shares: DescriptorShares
  #listener: Listener | undefined
  #stopping: Promise<void> | undefined
  #emptied = (): void => {}

  private constructor(options: ServerOptions) {
    const { users, storage, random, clock, security } = options
    this.#options = options
    this.#shares = descriptorShares(options.descriptorsMax ?? Number.POSITIVE_INFINITY)
    this.#host = {
      users,
      random,
      clock,
      identity: storage.identity,
      plainFrom: security?.plainFrom ?? 'anybody',
      memory: storage.memory,
      accounts: new Accounts(storage, random, clock, this.#shares.userConnections, {
        quotaBytes: (user) => users.quotaBytes(user),
        trashMs: (user) => users.trashMs(user),
      }),
      turns: new Turns(clock),
      frames: new FrameShares(),
      uploads: new UploadShares(this.#shares.uploads),
      traffic: new Traffic(),
      closed: (session) => this.#forget(session),
    }
  }

  /** Throws what the network throws when it cannot listen; the storage is then closed. */
  static async start(options: ServerOptions): Promise<Server> {
    const server = new Server(options)
    try {
      options.users.onChange(() => server.#endRevoked())
      const accept = (connection: Connection): ConnectionEvents => server.#accept(connection)
      server.#listener = await options.network.listen(
        options.address,
        accept,
        options.security?.key,
      )
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

  /** Returns all counters of this server, and how much it keeps for users whose accounts are open. */
  get figures(): ServerFigures {
    const { traffic, accounts } = this.#host
    return {
      sessions: this.#sessions.size,
      logins: accounts.connections,
      traffic,
      diskErrors: accounts.diskErrors,
      accounts: accounts.all.filter(({ isGivenUp }) => !isGivenUp).map(({ figures }) => figures),
    }
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
    if (refusal === undefined) this.#makeRoom()
    else {
      debugDfs('%s: turned away: %s', connection.remote, refusal)
      connection.destroy()
      return turnedAway
    }
    const session = new Session(connection, this.#host)
    this.#sessions.add(session)
    this.#strangers.set(session, hostOf(connection.remote))
    return session
  }

  #refusal(): string | undefined {
    if (this.#stopping !== undefined) return 'stopping'
    const { connections, handshakes } = this.#shares
    return this.#host.accounts.connections >= connections - handshakes
      ? 'too many connections'
      : undefined
  }

  /**
   * Makes room for a connection. When too many have not logged in, the one that has had the most time to do so
   * goes, of the host that has the most of them: a crowd of strangers crowds out itself.
   */
  #makeRoom(): void {
    if (this.#strangers.size < this.#shares.handshakes) return
    const crowds = new Map<string, number>()
    for (const [session, host] of this.#strangers) {
      if (session.isAuthenticated) this.#strangers.delete(session)
      else crowds.set(host, (crowds.get(host) ?? 0) + 1)
    }
    if (this.#strangers.size < this.#shares.handshakes) return
    const most = Math.max(...crowds.values())
    for (const [session, host] of this.#strangers) {
      if (crowds.get(host) !== most) continue
      this.#strangers.delete(session)
      session.cutOff('too many handshakes')
      return
    }
  }

  #endRevoked(): void {
    for (const session of this.#sessions) session.endIfRevoked()
  }

  #forget(session: Session): void {
    this.#sessions.delete(session)
    this.#strangers.delete(session)
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
