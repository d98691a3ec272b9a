/**
 * The four servers as one: keeps a link to each, checks that each is who the config says, founds a
 * cluster and an account that are new, and sends one request to several servers at once. What the
 * answers mean together is the business of the quorum (transaction.ts, registers.ts).
 */
import { createHash } from 'node:crypto'
import { SingleFlight } from '../../async/single-flight.js'
import type { Clock, Random } from '../../clock.js'
import type { ClientConfig } from '../../config.js'
import { asDfsError, DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { Listeners } from '../../listeners.js'
import { debugDfc, notice } from '../../log.js'
import type { PageMemory } from '../../memory/page-memory.js'
import type { Network } from '../../network.js'
import type { Reply, Request, Verb } from '../../wire/messages.js'
import { serverIndexes } from '../../wire/placement.js'
import { quorum } from '../../wire/quorum.js'
import type { Transaction } from '../../wire/records.js'
import type { KeyDerivation } from '../../wire/scram.js'
import { HybridClock, noVersion, type Version } from '../../wire/version.js'
import { ClusterAgreement } from './agreement.js'
import type { Answer, Greeting, ServerConnection } from './connection.js'
import { CurrentConfig } from './current-config.js'
import { type Hedge, HedgeDelay, inTurn, untilEnough } from './hedging.js'
import { isRefusal, Link } from './link.js'
import { Passwords } from './passwords.js'
import { ServerKeys } from './server-keys.js'
import { ServersTime } from './servers-time.js'
import { areLikeOne, likeOne } from './two-servers.js'

export interface ClusterOptions {
  readonly config: ClientConfig
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  /** For a program that reads much: what pieces are received into. */
  readonly memory?: PageMemory | undefined
  /** Reads the config again: when a server refuses the known password, and when one is lost. May throw. */
  readonly configNow?: (() => ClientConfig) | undefined
  /** Where the keys of servers are kept that were seen over TLS; else they are known for as long as this lives. */
  readonly serverKeysFile?: string | undefined
  /** In place of threads, for a world in which nothing may take real time. */
  readonly keyDerivation?: KeyDerivation | undefined
}

/** The outcome of a request to one server: its answer, or the reason why there is none. */
export type Outcome<V extends Verb> =
  | {
      readonly index: number
      readonly answer: Answer<V>
      readonly error?: undefined
      readonly late?: undefined
    }
  | {
      readonly index: number
      readonly answer?: undefined
      readonly error: DfsError
      /** The outcome that arrives later, if the request was not waited for. */
      readonly late?: Promise<Outcome<V>>
    }

/**
 * Requests that are sent again where the connection was lost together with those to others, so that too few servers would
 * have answered. A server that gets one twice does it once. The parts of a piece are not among them: they have an order.
 */
const sentAgain: ReadonlySet<Verb> = new Set<Verb>([
  ...(['read', 'lookup', 'list', 'listFolders', 'held', 'getPiece', 'getSmallPieces'] as const),
  ...(['commit', 'commitSynced', 'prepare', 'accept', 'decide', 'sync', 'status'] as const),
])

/** With fewer servers that refuse, or are refused, the others go on. */
const refusingMax = 2

export class Cluster {
  readonly #config: CurrentConfig
  /** Its wall time is that of the servers. */
  readonly clock: ServersTime
  readonly random: Random
  /** The clock that stamps this client's transactions. */
  readonly versions: HybridClock
  readonly links: readonly Link[]
  readonly #changes = new Listeners<[Link]>()
  readonly #recalls = new Listeners<[Link]>()
  readonly #agreement = new ClusterAgreement()
  readonly #keys: ServerKeys
  readonly #greetings: (Greeting | undefined)[] = []
  /** Logins whose end is not known yet, by the position of the server. */
  readonly #logins: (PromiseWithResolvers<void> | undefined)[] = []
  /** The cluster of the account on each server; null while it is new there. */
  readonly #clusters: (string | null | undefined)[] = []
  readonly #incarnations: number[] = []
  readonly #states: Reply<'status'>['state'][] = []
  readonly #fences: Version[] = []
  /** For how long each server says that what is removed is kept. */
  readonly #trashMs: number[] = serverIndexes.map(() => 0)
  /** The highest epoch that each server has shown. */
  readonly #epochs: number[] = serverIndexes.map(() => 0)
  readonly #hedgeDelay = new HedgeDelay()
  readonly #founding = new SingleFlight<void>()

  private constructor(options: ClusterOptions) {
    this.#config = new CurrentConfig(options.config, options.configNow)
    this.clock = new ServersTime(options.clock, (line) => notice(line, 'warning'))
    this.random = options.random
    this.versions = new HybridClock(this.clock, options.random.bytes(4).toString('hex'))
    const passwords = new Passwords(this.#config, options.keyDerivation)
    this.#keys = new ServerKeys(() => this.config, options.serverKeysFile)
    this.links = options.config.servers.map(
      (_, index) =>
        new Link({
          ...options,
          config: this.#config,
          index,
          credentials: () => passwords.of(index),
          timeoutMs: options.config.timeoutMs,
          cluster: () => this.#agreement.cluster,
          expectedKey: () => this.#keys.expected(index),
          keyShown: (key) => this.#keys.assertKnown({ index, key }),
          greeted: (greeting) => this.#greeted(index, greeting),
          admit: (link, connection) => this.#admit(link, connection),
          onFailed: ({ failure }) => {
            this.#greetings[index] = undefined
            this.#endLogin(index)
            this.#agreement.fail(index)
            if (failure?.code === 'authentication') passwords.refusedBy(index)
          },
          client: this.versions.client,
          onChange: (link) => this.#changed(link),
          onRecall: (link) => this.#recalls.call(link),
        }),
    )
  }

  /**
   * Resolves when each of the four servers is up or known to be down. Throws `authentication`, `wrongServer` or
   * `version` when too many refuse this client, or are refused by it: see `assertAdmitted`.
   */
  static async open(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options)
    try {
      await Promise.all(cluster.links.map((link) => link.start()))
      cluster.assertAdmitted()
      for (const link of cluster.links) link.tellFirstRefusal()
      await cluster.#claimNew()
      await cluster.#foundIfNew()
      return cluster
    } catch (error) {
      cluster.close()
      throw error
    }
  }

  /** The configuration as it was read last. */
  get config(): ClientConfig {
    return this.#config.now
  }

  /** The id of the cluster, 16 bytes in hexadecimal; undefined while it is not known. */
  get id(): string | undefined {
    return this.#agreement.cluster
  }

  /** Servers that are up, blank ones included, as positions in the config. */
  get up(): readonly number[] {
    return this.links.filter((link) => link.isUp).map((link) => link.index)
  }

  /** Servers that are up and take part in votes and reads. */
  get voters(): readonly number[] {
    return this.links.filter((link) => link.isUp && !link.blank).map((link) => link.index)
  }

  /** Whether three servers vote, or it is not known yet that they do not: see `reconnecting`. */
  get isWritable(): boolean {
    return this.voters.length >= quorum.commit || this.reconnecting !== undefined
  }

  /**
   * While fewer than three servers vote because connections were lost a moment ago, as when a machine has slept or a
   * network has changed: resolves when three vote again, or the servers count as down, after the time-out. Undefined otherwise.
   */
  get reconnecting(): Promise<void> | undefined {
    if (this.voters.length >= quorum.commit) return undefined
    const attempts = this.links.flatMap(({ reconnecting }) => reconnecting ?? [])
    if (attempts.length === 0) return undefined
    return Promise.race(attempts).then(() => this.reconnecting)
  }

  /** Calls `listener` when a server goes up or down, or is no longer slow. Returns how to stop that. */
  onChange(listener: (link: Link) => void): () => void {
    return this.#changes.add(listener)
  }

  /** Calls `listener` when a server wants its lease back. Returns how to stop that. */
  onRecall(listener: (link: Link) => void): () => void {
    return this.#recalls.add(listener)
  }

  /** State of the account on that server when it was last connected to or filled. */
  stateOf(index: number): Reply<'status'>['state'] | undefined {
    return this.#states[index]
  }

  /** The account on that server was founded or filled: it votes from now on. */
  becameVoter(index: number): void {
    this.#states[index] = 'voting'
    this.link(index).blank = false
  }

  /** Another client may have founded or filled an account that this one still takes for blank. */
  async refreshBlank(): Promise<void> {
    for (const link of this.links.filter(({ isUp, blank }) => isUp && blank)) {
      try {
        const { reply } = await link.request('status', {})
        this.#states[link.index] = reply.state
        this.#incarnations[link.index] = reply.stamp.incarnation
        if (reply.state === 'voting') this.becameVoter(link.index)
      } catch (error) {
        debugDfc('status of %s: %o', link.name, error)
      }
    }
  }

  /**
   * Throws what a user must know before anything is done: why two servers or more refuse this client or are refused
   * by it, or one does and none is up. A single one counts as down, and the others go on; so do those of another
   * version, with which nothing is wrong but that they wait for an upgrade.
   */
  assertAdmitted(): void {
    const refusing = this.links.filter(({ failure }) => failure && isRefusal(failure.code))
    const [first] = refusing
    if (first?.failure === undefined) return
    const wrong = refusing.filter(({ failure }) => failure?.code !== 'version')
    if (wrong.length < refusingMax && this.up.length > 0) return
    const { code, message } = first.failure
    const names = refusing.map(({ name }) => name).join(', ')
    throw new DfsError(
      code,
      refusing.length === limits.serverCount ? message : `${names}: ${message}`,
    )
  }

  /** The server at `index`, which every caller took from 0 .. 3. */
  link(index: number): Link {
    const link = this.links[index]
    if (link === undefined) throw new RangeError(`no server ${index}`)
    return link
  }

  /** Sends one request to one server. */
  async request<V extends Verb>(
    index: number,
    verb: V,
    fields: Request<V>,
    payload?: readonly Uint8Array[],
  ): Promise<Answer<V>> {
    for (;;) {
      const askedMs = verb === 'status' ? this.clock.monotonic() : 0
      try {
        const answer = await this.link(index).request(verb, fields, payload)
        this.#see(index, answer.reply)
        if ('timeMs' in answer.reply) this.#heard(index, answer.reply.timeMs, askedMs)
        return answer
      } catch (error) {
        const link = this.link(index)
        const { reconnecting } = link
        if (reconnecting === undefined || this.reconnecting === undefined) throw error
        if (!isError(error, 'down') || !sentAgain.has(verb)) throw error
        await reconnecting
        // One whose machine has lost its power meanwhile does not know what it had answered.
        if (link.blank) throw error
      }
    }
  }

  /** Sends a request to each of `indices` at once and collects every outcome; never throws. */
  ask<V extends Verb>(
    indices: readonly number[],
    verb: V,
    fieldsOf: (index: number) => Request<V>,
    payloadOf?: (index: number) => readonly Uint8Array[],
  ): Promise<Outcome<V>[]> {
    return Promise.all(
      indices.map((index) => this.#outcome(index, verb, fieldsOf(index), payloadOf?.(index))),
    )
  }

  /**
   * Asks all of `indices`. Once `enough` have answered, the outcome of one that takes much longer is the failure
   * `down`, with the later outcome in `late`. Its payload is still being sent and must not be changed.
   */
  async askEnough<V extends Verb>(
    enough: number,
    indices: readonly number[],
    verb: V,
    fieldsOf: (index: number) => Request<V>,
    payloadOf?: (index: number) => readonly Uint8Array[],
  ): Promise<Outcome<V>[]> {
    const asked = indices.map((index) => {
      if (!this.link(index).isFarBehind) {
        return this.#outcome(index, verb, fieldsOf(index), payloadOf?.(index))
      }
      const error = new DfsError('down', `${this.link(index).name} has too many requests waiting`)
      return Promise.resolve<Outcome<V>>({ index, error })
    })
    const outcomes = await untilEnough(asked, enough, this.#hedge(indices))
    return indices.map((index, at): Outcome<V> => {
      const outcome = outcomes[at]
      if (outcome !== undefined) return outcome
      const error = new DfsError('down', `${this.link(index).name} has not answered yet`)
      return { index, error, late: asked[at] as Promise<Outcome<V>> }
    })
  }

  /**
   * Asks `count` of `indices`, and others in the place of those that fail, take too long or answer what `check` throws
   * for; slow ones last. Returns fewer answers when there are no more.
   */
  async askSome<V extends Verb>(
    count: number,
    indices: readonly number[],
    verb: V,
    fields: Request<V>,
    check?: (reply: Reply<V>, index: number) => void,
  ): Promise<Answer<V>[]> {
    const quick = indices.filter((index) => !this.link(index).isSlow)
    const order = [...quick, ...indices.filter((index) => !quick.includes(index))]
    const ask = (at: number) => this.#outcome(order[at] as number, verb, fields, undefined, check)
    const outcomes = await inTurn(order.length, count, ask, this.#hedge(order))
    return outcomes.flatMap(({ answer }) => answer ?? [])
  }

  #hedge(indices: readonly number[]): Hedge<Outcome<Verb>> {
    const linkAt = (at: number): Link => this.link(indices[at] as number)
    return {
      clock: this.clock,
      hedgeDelay: this.#hedgeDelay,
      isGood: ({ answer }) => answer !== undefined,
      isSlow: (at) => linkAt(at).isSlow,
      onLate: (at) => linkAt(at).becameSlow(),
    }
  }

  /** Never throws. */
  async #outcome<V extends Verb>(
    index: number,
    verb: V,
    fields: Request<V>,
    payload?: readonly Uint8Array[],
    check?: (reply: Reply<V>, index: number) => void,
  ): Promise<Outcome<V>> {
    try {
      const answer = await this.request(index, verb, fields, payload)
      check?.(answer.reply, index)
      return { index, answer }
    } catch (thrown) {
      const error = asDfsError(thrown)
      if (error.code === 'blank') this.link(index).blank = true
      return { index, error }
    }
  }

  close(): void {
    this.#changes.clear()
    this.#recalls.clear()
    for (const link of this.links) link.close()
  }

  /**
   * A version for `body`, greater than all that it relies on, and than the fence of the servers. One
   * server alone may have a fence that its clock, or whoever made it up, put into the future.
   */
  versionFor({ preconditions }: Pick<Transaction, 'preconditions'>): Version {
    let above = this.#fence
    for (const { version } of preconditions) if (version > above) above = version
    return this.versions.next(above)
  }

  /** The second highest fence of the servers. */
  get #fence(): Version {
    const fences = [...this.#fences].sort((a, b) => (a < b ? 1 : -1))
    return fences[quorum.fence - 1] ?? noVersion
  }

  /**
   * For how long what is removed or replaced is kept, in ms, 0 for not at all: as two servers say. One alone may have a
   * configuration that was not changed yet, or make something up.
   */
  get trashMs(): number {
    return this.#trashMs.toSorted((a, b) => b - a)[quorum.believe - 1] ?? 0
  }

  /** The epoch of each server, as it has shown it itself: what another one shows may be made up. */
  epochs(): readonly number[] {
    return [...this.#epochs]
  }

  #heard(index: number, timeMs: number, askedMs: number): void {
    this.clock.heard(this.link(index).name, timeMs, askedMs)
  }

  #see(index: number, reply: Reply<Verb>): void {
    const stamp = 'stamp' in reply ? reply.stamp : undefined
    if (stamp === undefined) return
    this.#epochs[index] = Math.max(this.#epochs[index] ?? 0, stamp.epoch)
    this.#fences[index] = stamp.fence
    if ('trashMs' in reply) this.#trashMs[index] = reply.trashMs
    this.versions.see(this.#fence)
  }

  #changed(link: Link): void {
    if (link.isUp) {
      this.#claimNew().catch((error: unknown) => debugDfc('claim: %o', error))
      this.#foundIfNew().catch((error: unknown) => debugDfc('found: %o', error))
    }
    this.#changes.call(link)
  }

  /**
   * Two servers with one salt are one server under two addresses, or share what they know of the password: then the
   * owner of one could log in to the other with what a login shows. But a relay to a server, which may be faster
   * than that one, has shown nothing before its login ends, and must not keep anybody from the server.
   */
  async #greeted(index: number, greeting: Greeting): Promise<void> {
    this.#greetings[index] = undefined
    const likeThis = (): number =>
      this.#greetings.findIndex((one) => one !== undefined && areLikeOne(one, greeting))
    let other = likeThis()
    for (let login = this.#logins[other]; login !== undefined; login = this.#logins[other]) {
      await login.promise
      other = likeThis()
    }
    const first = this.#greetings[other]
    if (first !== undefined) {
      const named = (one: Greeting, at: number) => ({ ...one, name: this.link(at).name })
      throw likeOne(named(first, other), named(greeting, index), this.config.user)
    }
    this.#greetings[index] = greeting
    this.#logins[index] = Promise.withResolvers()
  }

  #endLogin(index: number): void {
    this.#logins[index]?.resolve()
    this.#logins[index] = undefined
  }

  /** Checks a server that has authenticated: right cluster, right position, and is it blank? */
  async #admit(link: Link, connection: ServerConnection): Promise<void> {
    const { index, name } = link
    this.#endLogin(index)
    const askedMs = this.clock.monotonic()
    const { reply } = await connection.request('status', {})
    this.#heard(index, reply.timeMs, askedMs)
    const { cluster, position, state, stamp } = reply
    if (cluster !== null && position !== index) {
      throw new DfsError(
        'wrongServer',
        `${name} in the config is server ${position + 1} of the cluster, not ${index + 1}: the configuration lists the servers in another order`,
      )
    }
    this.#agreement.name(index, cluster)
    await this.#agreement.decided()
    if (cluster !== null && cluster !== this.#agreement.cluster) {
      throw new DfsError('wrongServer', `${name} belongs to another cluster`)
    }
    const { serverKey: key } = connection
    if (key !== undefined) this.#keys.learn({ index, key }, this.#agreement.cluster)
    this.#clusters[index] = cluster
    if (cluster === null && this.#agreement.cluster !== undefined) {
      await this.#claim(link, connection, this.#agreement.cluster)
    }
    link.blank = state !== 'voting'
    this.#incarnations[index] = stamp.incarnation
    this.#states[index] = state
    this.#see(index, reply)
  }

  async #claim(
    link: Link,
    connection: Pick<ServerConnection, 'request'>,
    cluster: string,
  ): Promise<void> {
    const { index, name } = link
    await connection.request('claim', { cluster, position: index })
    this.#clusters[index] = cluster
    notice(`${name} is new and joins the cluster`)
  }

  /** A server that is new may have been met before any that knows of the cluster. */
  async #claimNew(): Promise<void> {
    const { cluster } = this.#agreement
    if (cluster === undefined) return
    for (const link of this.links) {
      if (!link.isUp || this.#clusters[link.index] !== null) continue
      try {
        await this.#claim(link, link, cluster)
      } catch (thrown) {
        // It is claimed when it is connected to again.
        if (!isError(thrown, 'down')) throw thrown
      }
    }
  }

  /**
   * A cluster or an account that is new begins when all four servers are there and blank: each is
   * told the incarnations of all four, so that it can only ever mean this very beginning. A server
   * that hears of it late has voted on nothing before, which is the same as having missed messages.
   */
  #foundIfNew(): Promise<void> {
    return this.#founding.run(() => this.#found())
  }

  async #found(): Promise<void> {
    await this.refreshBlank()
    const blank = this.links.filter(({ isUp, index }) => isUp && this.#states[index] === 'blank')
    if (blank.length < limits.serverCount) return
    if (this.#agreement.cluster === undefined) {
      const servers = this.#greetings.map((greeting) => greeting?.server ?? '')
      const cluster = createHash('md5').update(servers.join()).digest('hex')
      await this.#forAll('claim', (position) => ({ cluster, position }))
      this.#clusters.fill(cluster)
      this.#agreement.settle(cluster)
      this.#keys.founded(cluster)
      debugDfc('founded cluster %s', cluster)
    }
    const incarnations = [...this.#incarnations]
    await this.#forAll('found', () => ({ incarnations }))
    for (const { index } of blank) this.becameVoter(index)
    debugDfc('founded account %s', this.config.user)
  }

  async #forAll<V extends Verb>(verb: V, fieldsOf: (index: number) => Request<V>): Promise<void> {
    for (const { error } of await this.ask(serverIndexes, verb, fieldsOf)) if (error) throw error
  }
}
