/** Counters of a client at one moment: plain numbers, for metrics and for whoever looks on. */
import type { LatencyCounts } from '../latencies.js'
import { addressText } from '../network.js'
import type { Link } from './cluster/link.js'
import type { RepairFigures } from './repair/scheduler.js'

/** `down`: it does not answer, or refuses. `blank`: it does not vote, as its data of the account is not there yet. */
export const serverStates = ['up', 'slow', 'blank', 'down'] as const

export interface ServerFigures {
  readonly name: string
  /** `host:port`. */
  readonly address: string
  readonly state: (typeof serverStates)[number]
  /** Why it is down. */
  readonly failure?: string | undefined
  /** Its answers, also those that were failures. */
  readonly latencies: LatencyCounts
  readonly failures: number
}

interface CacheFigures {
  readonly hits: number
  readonly misses: number
  readonly entries: number
}

export interface ClientFigures {
  readonly user: string
  readonly servers: readonly ServerFigures[]
  /** Changes that were answered and are not stored yet, and the age of the oldest. */
  readonly log: { readonly changes: number; readonly bytes: number; readonly ageMs: number }
  readonly caches: {
    readonly names: CacheFigures
    readonly blocks: CacheFigures & { readonly bytes: number }
  }
  readonly quorum: {
    /** Transactions that were committed; that others or the disks were in the way of; of which that is not known. */
    readonly commits: number
    readonly refusals: number
    readonly unknown: number
    /** Rounds of votes: one for each transaction where all is well. */
    readonly rounds: number
    /** Ballots about transactions that were left undecided, and how many of those were aborted. */
    readonly ballots: number
    readonly aborts: number
  }
  readonly repair: RepairFigures
  /** Whether no other client uses the account now, so that changes may be answered early. */
  readonly isAlone: boolean
}

export function serverFigures(link: Link): ServerFigures {
  const { name, server, isUp, isSlow, blank, failure, latencies, failures } = link
  const upState = blank ? 'blank' : isSlow ? 'slow' : 'up'
  return {
    name,
    address: addressText(server.address),
    state: isUp ? upState : 'down',
    failure: failure?.message,
    latencies: latencies.toJSON(),
    failures,
  }
}
