/**
 * Says whether a change may be answered before it is stored: this client is alone for a while yet, knows everything
 * that the change relies on, all four servers are there with room to spare, and nothing is undecided that another client
 * has left, since that may be decided against what is known.
 */
import { SingleFlight } from '../../async/single-flight.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { quorum } from '../../wire/quorum.js'
import { parseKey, type Transaction, trashIno } from '../../wire/records.js'
import { isAhead } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Lease } from '../quorum/lease.js'
import type { NodeCache } from './cache/node-cache.js'

/** Decides in-doubt transactions of other clients; false when that cannot be done now. */
export type FinishOthers = () => Promise<boolean>

export interface EarlyAnswersOptions {
  readonly cluster: Cluster
  readonly lease: Pick<Lease, 'exclusiveForMs' | 'use'>
  readonly cache: NodeCache
  /** Whether the servers have room to spare for what the log may hold. */
  readonly hasRoom: () => boolean
  /** Without it every change is stored before it is answered. */
  readonly finishOthers: FinishOthers | undefined
}

/** Least remaining time of the lease in ms: longer than it takes to store an answered change. */
const leaseLeftMsMin = 300

export class EarlyAnswers {
  readonly #options: EarlyAnswersOptions
  /** Since when this client is alone with no transaction of another client in doubt. */
  #clearSinceMs: number | undefined
  readonly #clearing = new SingleFlight<void>()

  constructor(options: EarlyAnswersOptions) {
    this.#options = options
  }

  /** Resolves when it is known whether another client has left something in doubt, or that cannot be known now. */
  async prepare(): Promise<void> {
    const { finishOthers } = this.#options
    if (finishOthers !== undefined) await this.#clearing.run(() => this.#clear(finishOthers))
  }

  /** Whether a change may be answered now, before it is stored. */
  areAllowedFor(body: Transaction): boolean {
    const { cluster, lease, hasRoom } = this.#options
    if (!this.#areServersWell() || !this.#isClear() || !hasRoom()) return false
    if (lease.exclusiveForMs < leaseLeftMsMin || !this.#isCertain(body)) return false
    // A version in the future would give its time to all changes in the batch.
    const nowMs = cluster.clock.now()
    return !body.preconditions.some(({ version }) => isAhead(version, nowMs))
  }

  /** Whether all servers vote, and three answer as quickly as usual: a read waits until the log is stored. */
  #areServersWell(): boolean {
    const { cluster } = this.#options
    const { voters } = cluster
    const quick = voters.filter((index) => !cluster.link(index).isSlow)
    return voters.length === limits.serverCount && quick.length >= quorum.commit
  }

  /** Whether no transaction of another client is in doubt. Begins to find out if that is not known. */
  #isClear(): boolean {
    const sinceMs = this.#options.lease.use()
    if (sinceMs === undefined || this.#options.finishOthers === undefined) return false
    if (sinceMs === this.#clearSinceMs) return true
    void this.prepare()
    return false
  }

  async #clear(finishOthers: FinishOthers): Promise<void> {
    const sinceMs = this.#options.lease.use()
    if (sinceMs === undefined) return
    try {
      if (await finishOthers()) this.#clearSinceMs = sinceMs
    } catch (error) {
      debugDfc('what others left undecided: %o', error)
    }
  }

  /** Whether no other client can have changed what the change relies on since this client read it. */
  #isCertain({ preconditions, emptyFolders }: Transaction): boolean {
    const { cache } = this.#options
    for (const { key, absent, version } of preconditions) {
      const parsed = parseKey(key)
      if (parsed.kind === 'entry') {
        // A name of the trash is made with a number that nothing else has.
        if (parsed.parent === trashIno && absent) continue
        const entry = cache.leasedEntry(parsed.parent, parsed.name)
        if (entry === undefined || (entry.ino === null) !== absent) return false
        if (!absent && entry.version !== version) return false
      } else if (!absent && cache.leasedNode(parsed.ino)?.version !== version) {
        return false
      }
    }
    // How many names a server counts may be wrong, if it has missed one of them.
    return emptyFolders.every((ino) => cache.leasedNames(ino)?.length === 0)
  }
}
