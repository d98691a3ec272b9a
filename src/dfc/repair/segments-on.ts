/** The segments that one server knows of, asked for page by page. */

import { pages } from '../../async/pages.js'
import { limits } from '../../limits.js'
import type { Reply } from '../../wire/messages.js'
import type { Cluster } from '../cluster/cluster.js'
import { askOne } from './ask-voters.js'

/** Yields the segments that `server` knows of by their ids: all, or those of which it has other pieces than it should. */
export async function* segmentsOn(
  cluster: Cluster,
  server: number,
  misplacedOnly: boolean,
): AsyncGenerator<Reply<'segments'>['segments'][number], void, void> {
  const limit = limits.surveyEntriesMax
  const listed = pages(
    '',
    (after) => askOne(cluster, server, 'segments', { after, misplacedOnly, limit }),
    (page) => page.segments.map(({ segment }) => segment.id),
    { source: cluster.link(server).name, isBefore: (one, other) => one < other },
  )
  for await (const page of listed) yield* page.segments
}
