/** The transaction records of one server, page by page. */

import { pages } from '../../async/pages.js'
import { limits } from '../../limits.js'
import { noVersion } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { askOne } from './ask-voters.js'

/** Yields the answers that list the transaction records of `server` by version, all or the undecided ones. */
export function recordPages(cluster: Cluster, server: number, undecidedOnly: boolean) {
  return pages(
    noVersion,
    (after) =>
      askOne(cluster, server, 'records', {
        after,
        undecidedOnly,
        limit: limits.surveyEntriesMax,
      }),
    (page) => page.records.at(-1)?.id,
  )
}
