/**
 * The four servers as one: keeps a link to each, checks that each is who the config says, founds a
 * cluster and an account that are new, and sends one request to several servers at once. What the
 * answers mean together is the business of the quorum (transaction.ts, registers.ts).
 */
import { createHash } from 'node:crypto'
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
import { ScramCredentials } from '../../wire/scram.js'
import { HybridClock, noVersion, type Version } from '../../wire/version.js'
import type { Answer, ServerConnection } from './connection.js'
import { type Hedge, HedgeDelay, inTurn, untilEnough } from './hedging.js'
import { type Identity, Link } from './link.js'
import { ServersTime } from './servers-time.js'

export interface ClusterOptions {
  readonly config: ClientConfig
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  /** For a program that reads much: what pieces are received into. */
  readonly memory?: PageMemory | undefined
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

export class Cluster {
  readonly config: ClientConfig
  /** Its wall time is that of the servers. */
  readonly clock: ServersTime
  readonly random: Random
  /** The clock that stamps this client's transactions. */
  readonly versions: HybridClock
  readonly links: readonly Link[]
  /** The highest epoch any server has shown. */
  epoch = 0
  readonly #changes = new Listeners<[Link]>()
  readonly #recalls = new Listeners<[Link]>()
  readonly #identities: (Identity | undefined)[] = []
  readonly #incarnations: number[] = []
  readonly #states: Reply<'status'>['state'][] = []
  readonly #fences: Version[] = []
  readonly #hedgeDelay = new HedgeDelay()
  #founding: Promise<void> | undefined

  private constructor(options: ClusterOptions) {
    this.config = options.config
    this.clock = new ServersTime(options.clock, notice)
    this.random = options.random
    this.versions = new HybridClock(this.clock, options.random.bytes(4).toString('hex'))
    const credentials = new ScramCredentials(options.config.user, options.config.password)
    this.links = options.config.servers.map(
      (server, index) =>
        new Link({
          ...options,
          server,
          index,
          credentials,
          timeoutMs: options.config.timeoutMs,
          admit: (link, connection, identity) => this.#admit(link, connection, identity),
          client: this.versions.client,
          onChange: (link) => this.#changed(link),
          onRecall: (link) => this.#recalls.call(link),
        }),
    )
  }

  /**
   * Resolves when each of the four servers is up or known to be down. Throws `authentication` when
   * one refuses the user and `wrongServer` when one is not who the config says: nothing proceeds then.
   */
  static async open(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options)
    try {
      await Promise.all(cluster.links.map((link) => link.start()))
      cluster.assertAdmitted()
      await cluster.#claimNew()
      await cluster.#foundIfNew()
      return cluster
    } catch (error) {
      cluster.close()
      throw error
    }
  }

  /** Servers that are up, blank ones included, as positions in the config. */
  get up(): readonly number[] {
    return this.links.filter((link) => link.isUp).map((link) => link.index)
  }

  /** Servers that are up and take part in votes and reads. */
  get voters(): readonly number[] {
    return this.links.filter((link) => link.isUp && !link.blank).map((link) => link.index)
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

  /** Throws what a user must know before anything is done: refused, or a wrong server. */
  assertAdmitted(): void {
    for (const code of ['authentication', 'wrongServer', 'version'] as const) {
      const refused = this.links.find((link) => isError(link.failure, code))
      if (refused?.failure !== undefined) throw refused.failure
    }
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
    const askedMs = verb === 'status' ? this.clock.monotonic() : 0
    const answer = await this.link(index).request(verb, fields, payload)
    this.#see(index, answer.reply)
    if ('timeMs' in answer.reply) this.#heard(index, answer.reply.timeMs, askedMs)
    return answer
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
   * `down` for now. Its payload must not be changed all the same.
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
   * Asks `count` of `indices`, and others in the place of those that fail or take too long; slow ones
   * last. Returns fewer answers when there are no more.
   */
  async askSome<V extends Verb>(
    count: number,
    indices: readonly number[],
    verb: V,
    fields: Request<V>,
  ): Promise<Answer<V>[]> {
    const quick = indices.filter((index) => !this.link(index).isSlow)
    const order = [...quick, ...indices.filter((index) => !quick.includes(index))]
    const ask = (at: number) => this.#outcome(order[at] as number, verb, fields)
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
  ): Promise<Outcome<V>> {
    try {
      return { index, answer: await this.request(index, verb, fields, payload) }
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
  versionFor({ preconditions }: Pick<Transaction, 'preconditions'>, wanted = noVersion): Version {
    const fences = [...this.#fences].sort((a, b) => (a < b ? 1 : -1))
    const fence = fences[quorum.fence - 1] ?? noVersion
    let above = fence
    for (const { version } of preconditions) if (version > above) above = version
    return wanted > above ? wanted : this.versions.next(above)
  }

  #heard(index: number, timeMs: number, askedMs: number): void {
    this.clock.heard(this.link(index).name, timeMs, askedMs)
  }

  #see(index: number, reply: Reply<Verb>): void {
    const stamp = 'stamp' in reply ? reply.stamp : undefined
    if (stamp === undefined) return
    if (stamp.epoch > this.epoch) this.epoch = stamp.epoch
    this.versions.see(stamp.fence)
    this.#fences[index] = stamp.fence
  }

  #changed(link: Link): void {
    if (link.isUp) {
      this.#claimNew().catch((error: unknown) => debugDfc('claim: %o', error))
      this.#foundIfNew().catch((error: unknown) => debugDfc('found: %o', error))
    }
    this.#changes.call(link)
  }

  /** Checks a server that has authenticated: right cluster, right position, and is it blank? */
  async #admit(link: Link, connection: ServerConnection, identity: Identity): Promise<void> {
    const { index } = link
    this.#identities[index] = identity
    const cluster = this.#clusterId()
    if (identity.cluster !== null) {
      if (identity.position !== index) {
        throw new DfsError(
          'wrongServer',
          `${link.name} in the config is server ${identity.position + 1} of the cluster, not ${index + 1}: the configuration lists the servers in another order`,
        )
      }
      if (cluster !== identity.cluster) {
        throw new DfsError('wrongServer', `${link.name} belongs to another cluster`)
      }
    } else if (cluster !== undefined) {
      await this.#claim(link, connection, cluster)
    }
    const askedMs = this.clock.monotonic()
    const { reply } = await connection.request('status', {})
    this.#heard(index, reply.timeMs, askedMs)
    link.blank = reply.state !== 'voting'
    this.#incarnations[index] = reply.stamp.incarnation
    this.#states[index] = reply.state
    this.#see(index, reply)
  }

  async #claim(
    link: Link,
    connection: Pick<ServerConnection, 'request'>,
    cluster: string,
  ): Promise<void> {
    const { index, name } = link
    await connection.request('claim', { cluster, position: index })
    const identity = this.#identities[index]
    if (identity) this.#identities[index] = { ...identity, cluster, position: index }
    notice(`${name} is new and joins the cluster`)
  }

  /** A server that is new may have been met before any that knows of the cluster. */
  async #claimNew(): Promise<void> {
    const cluster = this.#clusterId()
    if (cluster === undefined) return
    for (const link of this.links) {
      if (!link.isUp || this.#identities[link.index]?.cluster !== null) continue
      try {
        await this.#claim(link, link, cluster)
      } catch (thrown) {
        // It is claimed when it is connected to again.
        if (!isError(thrown, 'down')) throw thrown
      }
    }
  }

  /** The cluster that the servers seen so far belong to. */
  #clusterId(): string | undefined {
    const known = this.#identities.find((identity) => identity && identity.cluster !== null)
    return known?.cluster ?? undefined
  }

  /**
   * A cluster or an account that is new begins when all four servers are there and blank: each is
   * told the incarnations of all four, so that it can only ever mean this very beginning. A server
   * that hears of it late has voted on nothing before, which is the same as having missed messages.
   */
  #foundIfNew(): Promise<void> {
    this.#founding ??= this.#found().finally(() => {
      this.#founding = undefined
    })
    return this.#founding
  }

  async #found(): Promise<void> {
    await this.refreshBlank()
    const blank = this.links.filter(({ isUp, index }) => isUp && this.#states[index] === 'blank')
    if (blank.length < limits.serverCount) return
    if (this.#clusterId() === undefined) {
      const servers = this.#identities.map((identity) => identity?.server ?? '')
      if (new Set(servers).size < limits.serverCount) {
        throw new DfsError(
          'wrongServer',
          'two addresses in the configuration lead to the same server',
        )
      }
      const cluster = createHash('md5').update(servers.join()).digest('hex')
      await this.#forAll('claim', (position) => ({ cluster, position }))
      for (const [index, identity] of this.#identities.entries()) {
        if (identity) this.#identities[index] = { ...identity, cluster, position: index }
      }
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
