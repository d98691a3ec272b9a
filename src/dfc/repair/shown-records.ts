/** The transaction records that several servers have, in the order of their versions. */
import { limits } from '../../limits.js'
import type { Reply } from '../../wire/messages.js'
import { quorum } from '../../wire/quorum.js'
import { noVersion, type Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { askOne } from './ask-voters.js'
import { type Shown, walkTogether } from './walk-together.js'

export type ListedRecord = Reply<'records'>['records'][number]

interface How {
  readonly undecidedOnly?: boolean
  /** Sees each page as a server answers it. */
  readonly onPage?: (server: number, page: Reply<'records'>) => void
}

/** Yields the records of `servers`, all or the undecided ones, each with those that have it so. */
export function shownRecords(
  cluster: Cluster,
  servers: readonly number[],
  { undecidedOnly = false, onPage = () => {} }: How = {},
): AsyncGenerator<Shown<ListedRecord>, void, void> {
  const pageOf = async (server: number, last: ListedRecord | undefined) => {
    const page = await askOne(cluster, server, 'records', {
      after: last?.id ?? noVersion,
      undecidedOnly,
      limit: limits.surveyEntriesMax,
    })
    onPage(server, page)
    return { items: page.records, more: page.more }
  }
  return walkTogether(servers, { pageOf, compare })
}

function compare(a: ListedRecord, b: ListedRecord): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1
  if (a.state === b.state) return 0
  return a.state < b.state ? -1 : 1
}

export interface ToldDecision {
  readonly id: Version
  readonly commit: boolean
  /** The servers that tell of it. */
  readonly servers: readonly number[]
}

/** Whether two servers tell of a decision: one alone may make it up. */
export function isConfirmed({ servers }: ToldDecision): boolean {
  return servers.length >= quorum.believe
}

/** The decision that a listed record tells of; undefined for one that is not decided. */
export function decisionOf({ item, holders }: Shown<ListedRecord>): ToldDecision | undefined {
  if (item.state === 'undecided') return undefined
  return { id: item.id, commit: item.state === 'committed', servers: holders }
}
