/**
 * The client library put together: the four servers, the quorum, the namespace and the content. Two programs stand on
 * it: the command line (src/cli) and the mount (src/fuse). Each part is made after the parts that it uses; events
 * travel from a part to those made after it through lists of listeners.
 */
import assert from 'node:assert/strict'
import { sleep } from '../clock.js'
import type { ClientConfig } from '../config.js'
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import { Listeners } from '../listeners.js'
import { debugDfc, notice } from '../log.js'
import type { Reply } from '../wire/messages.js'
import { quorum } from '../wire/quorum.js'
import { msOfVersion } from '../wire/version.js'
import { Cluster, type ClusterOptions } from './cluster/cluster.js'
import { syncServers } from './cluster/sync-servers.js'
import type { Content } from './content/content.js'
import { ContentStore } from './content/content-store.js'
import type { Digests } from './content/digests.js'
import type { BadCopyListener } from './content/piece-fetcher.js'
import { SalvagedContent } from './content/salvaged-content.js'
import type { MakesRoom } from './content/segment-writer.js'
import { type ClientFigures, serverFigures } from './figures.js'
import type { GivenUpContent } from './namespace/given-up.js'
import type { Journal } from './namespace/journal.js'
import { Namespace } from './namespace/namespace.js'
import { makeRoot, makeTrash } from './namespace/root-folder.js'
import { Decisions } from './quorum/decisions.js'
import { Lease, noLease } from './quorum/lease.js'
import { Recovery } from './quorum/recovery.js'
import { Registers } from './quorum/registers.js'
import { Transactions } from './quorum/transaction.js'
import { damageOf } from './repair/damage.js'
import { finishInDoubt } from './repair/in-doubt.js'
import { RoomMaker } from './repair/make-room.js'
import { RepairScheduler } from './repair/scheduler.js'
import { type VerifyEvents, type VerifyReport, verify } from './repair/verify.js'

const foundingMs = 1_000
const foundingStepMs = 50

/** Keeps on this machine what a client has answered and not stored. */
export interface ClientLog {
  /** Opens the journal of an account on this machine. */
  openJournal(cluster: string, user: string): Journal
  /** Keeps the content of a file elsewhere that was answered as stored and cannot be. Throws when that fails. */
  keepContent(lost: GivenUpContent, content: SalvagedContent): Promise<void>
}

export interface ClientOptions extends ClusterOptions {
  /** Holds the lease, for programs that stay: while this client is alone, it need not ask again for what it knows. */
  readonly lease?: boolean
  /** Stores every change of a name or attribute before it is answered, also while this client is alone. */
  readonly dirSync?: boolean
  /** Keeps changes that are answered before they are stored. Without it, none are. */
  readonly log?: ClientLog
  /** Computes the digests of written content. Defaults to the calling thread. Closed with the client. */
  readonly digests?: Digests
}

/** Bytes of user data. */
export interface Space {
  readonly totalBytes: number
  readonly freeBytes: number
  /** The failure of what does not fit into `freeBytes`. */
  readonly beyond: 'quota' | 'noSpace'
}

export class Client {
  readonly cluster: Cluster
  readonly content: ContentStore
  readonly namespace: Namespace
  /** Repair: on demand, and in the background for programs that stay. */
  readonly scheduler: RepairScheduler
  readonly #decisions: Decisions
  readonly #registers: Registers
  readonly #transactions: Transactions
  readonly #recovery: Recovery
  readonly #statuses: (Reply<'status'> | undefined)[] = []
  readonly #lease: Lease | typeof noLease
  readonly #room: RoomMaker
  readonly #stopListening: (() => void) | undefined
  #stopAwaitingCluster: (() => void) | undefined
  /** Free space as last seen, and when the servers were asked for it. */
  #freeBytes = 0
  #roomAskedMs = 0

  private constructor(
    cluster: Cluster,
    { lease: wantsLease, dirSync = false, digests, memory, log }: ClientOptions,
  ) {
    const badCopies = new Listeners<Parameters<BadCopyListener>>()
    const commits = new Listeners()
    const makeRoom: MakesRoom = (...lack) => this.makeRoom(...lack)
    const noteBadCopy: BadCopyListener = (...copy) => badCopies.call(...copy)
    const content = new ContentStore(cluster, noteBadCopy, digests, makeRoom)
    const { writer, reader } = content
    const decisions = new Decisions(cluster)
    const recovery = new Recovery(
      cluster,
      () => cluster.voters,
      () => commits.call(),
    )
    const registers = new Registers(cluster, recovery, decisions)
    const transactions = new Transactions(
      cluster,
      registers,
      recovery,
      decisions,
      writer,
      (inline) => reader.remember(inline),
    )
    const lease = wantsLease ? new Lease(cluster) : noLease
    const namespace = new Namespace({
      cluster,
      registers,
      transactions,
      lease,
      contents: reader,
      hasRoom: () => this.#hasRoom(),
      makeRoom,
      keepContent: async (lost) => {
        assert(log !== undefined, 'without a log nothing is answered that is not stored')
        // With three servers nothing else is waited for: a lost segment would keep everything from being stored.
        const isFinal = (): boolean => cluster.voters.length >= quorum.commit
        await log.keepContent(lost, new SalvagedContent(content, lost.inode, isFinal))
      },
      finishOthers: dirSync ? undefined : () => finishOthers(cluster, recovery),
    })
    const mover = { cluster, writer, reader, registers, transactions }
    const scheduler = new RepairScheduler(
      mover,
      recovery,
      decisions,
      () => lease.forgetAll(),
      () => namespace.renewKept(),
      () => namespace.trash.expire(),
      (lost) => {
        // What is listed as incomplete has changed.
        lease.forgetAll()
        return damageOf(namespace, lost)
      },
    )
    this.#room = new RoomMaker({
      clock: cluster.clock,
      namespace,
      scheduler,
      freeBytes: async () => (await this.space()).freeBytes,
    })
    badCopies.add((...copy) => scheduler.noteBadCopy(...copy))
    commits.add(() => lease.forgetAll())
    commits.add(() => scheduler.soon())
    this.#stopListening = memory?.onShortage(() => reader.forgetLent())
    this.cluster = cluster
    this.content = content
    this.namespace = namespace
    this.scheduler = scheduler
    this.#decisions = decisions
    this.#registers = registers
    this.#transactions = transactions
    this.#lease = lease
    this.#recovery = recovery
  }

  /**
   * Connects to the servers that are up. Throws `authentication`, `wrongServer`; a new account needs
   * all four servers once, to begin.
   */
  static async open(options: ClientOptions): Promise<Client> {
    const cluster = await Cluster.open(options)
    const client = new Client(cluster, options)
    try {
      await client.#founded()
      if (cluster.voters.length >= quorum.commit) {
        const maker = { cluster, registers: client.#registers, transactions: client.#transactions }
        await makeRoot(maker)
        if (cluster.trashMs > 0) await makeTrash(maker)
      }
      await client.#lease.begin(() => client.namespace.settle())
      if (options.log !== undefined) await client.#lookForRoom()
      await client.#beginLog(options)
      return client
    } catch (error) {
      client.#stopListening?.()
      client.#stopAwaitingCluster?.()
      cluster.close()
      throw error
    }
  }

  /**
   * Begins the log with the journals of this machine: if no server is there, once a first one says which cluster this
   * is. That is before any change, for which three are needed.
   */
  async #beginLog(options: ClientOptions): Promise<void> {
    const { cluster, namespace } = this
    if (options.log === undefined) return
    if (cluster.id !== undefined) {
      await namespace.begin(journalOf(cluster.id, options.log, options.config))
      return
    }
    this.#stopAwaitingCluster = cluster.onChange(() => {
      if (cluster.id === undefined) return
      this.#stopAwaitingCluster?.()
      void this.#beginLog(options)
    })
  }

  /** Another client may be founding the account at this very moment. */
  async #founded(): Promise<void> {
    const { cluster } = this
    const isUnderWay = (): boolean =>
      cluster.up.length >= quorum.commit && cluster.voters.length < quorum.commit
    for (let waitedMs = 0; waitedMs < foundingMs && isUnderWay(); waitedMs += foundingStepMs) {
      await sleep(cluster.clock, foundingStepMs)
      await cluster.refreshBlank()
    }
  }

  /**
   * fsync(2): resolves when at least three servers have on their disks all that was committed, and
   * the pieces of `content`.
   */
  async sync(content?: Content): Promise<void> {
    if (content === undefined) await this.namespace.sync()
    else await this.namespace.settle()
    await syncServers(
      this.cluster,
      (content?.segments ?? []).map(({ id }) => id),
    )
  }

  /** Returns all counters of this client. */
  get figures(): ClientFigures {
    const { cluster, content, namespace, scheduler } = this
    const { log, cache } = namespace.figures
    const { oldest, changes, bytes } = log
    const ageMs = oldest === undefined ? 0 : Math.max(0, cluster.clock.now() - msOfVersion(oldest))
    return {
      user: cluster.config.user,
      servers: cluster.links.map(serverFigures),
      log: { changes, bytes, ageMs },
      caches: { names: cache, blocks: content.reader.figures },
      quorum: { ...this.#transactions.counts, ...this.#recovery.counts },
      repair: scheduler.figures,
      isAlone: this.#lease.exclusiveForMs > 0,
    }
  }

  /** Checks everything on all four servers, this client's own latest changes included. */
  async verify(events: VerifyEvents): Promise<VerifyReport> {
    await this.#decisions.settled()
    return await verify(this.cluster, events)
  }

  /** Whether the servers had room to spare a moment ago for what may be answered before it is stored. */
  #hasRoom(): boolean {
    const { clock } = this.cluster
    if (clock.monotonic() - this.#roomAskedMs > limits.cacheLifeMs) void this.#lookForRoom()
    return this.#freeBytes >= limits.logRoomBytesMin
  }

  async #lookForRoom(): Promise<void> {
    this.#roomAskedMs = this.cluster.clock.monotonic()
    try {
      this.#freeBytes = (await this.space()).freeBytes
    } catch (error) {
      debugDfc('room: %o', error)
      this.#freeBytes = 0
    }
  }

  /**
   * Removes the oldest of the trash after a failure for lack of room. Returns true when there is more than before.
   * Never rejects.
   */
  makeRoom(failure: unknown, wantedBytes: number): Promise<boolean> {
    return this.#room.make(failure, wantedBytes)
  }

  /** Looks up how much there is room for, on the disks and by the user's quota. */
  async space(): Promise<Space> {
    await this.cluster.reconnecting
    const { up } = this.cluster
    const outcomes = await this.cluster.askEnough(quorum.pieces, up, 'status', () => ({}))
    for (const { index, answer } of outcomes) if (answer) this.#statuses[index] = answer.reply
    // Of a slow server that has not answered yet, the latest status counts.
    const statuses = up.flatMap((index) => this.#statuses[index] ?? [])
    if (statuses.length === 0) throw new DfsError('down', 'no server answers')
    const sharers = (disk: string): number => statuses.filter((other) => other.disk === disk).length
    // A file takes half its size on each server, so the one with the least room sets the end.
    const least = (bytesOf: (status: Reply<'status'>) => number): number =>
      2 * Math.min(...statuses.map(bytesOf))
    const free = least(({ disk, diskFreeBytes }) => Math.floor(diskFreeBytes / sharers(disk)))
    const allowed = least(({ quota }) => quota?.freeBytes ?? Number.POSITIVE_INFINITY)
    return {
      totalBytes: Math.min(
        least(({ disk, diskBytes }) => Math.floor(diskBytes / sharers(disk))),
        least(({ quota }) => quota?.bytes ?? Number.POSITIVE_INFINITY),
      ),
      freeBytes: Math.min(free, allowed),
      beyond: allowed < free ? 'quota' : 'noSpace',
    }
  }

  /**
   * Stores and sends what is pending and gives the leases back, then closes the connections, which ends a repair as
   * well.
   */
  async close(): Promise<void> {
    this.scheduler.stop()
    this.#stopAwaitingCluster?.()
    await this.#lease.close()
    this.namespace.end()
    await this.#decisions.settled()
    this.content.digests.close()
    this.#stopListening?.()
    this.cluster.close()
    await this.scheduler.ended()
  }
}

/** Without a journal every change is stored before it is answered, and the client works all the same. */
function journalOf(cluster: string, log: ClientLog, { user }: ClientConfig): Journal | undefined {
  try {
    return log.openJournal(cluster, user)
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    notice(
      `No journal can be kept on this machine, so every change waits for the servers: ${why}`,
      'warning',
    )
    return undefined
  }
}

/** False when something that another client has left undecided cannot be decided now. */
async function finishOthers(cluster: Cluster, recovery: Recovery): Promise<boolean> {
  const { voters, versions } = cluster
  if (voters.length < limits.serverCount) return false
  const { client } = versions
  const { left } = await finishInDoubt(cluster, recovery, voters, { client })
  return left.length === 0
}
