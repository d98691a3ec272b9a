/** The sources of plans: names, nodes, open files without a name, what is kept, chance, and the time. */
import type { Clock, Random } from '../../../clock.js'
import type { NodeCache } from '../cache/node-cache.js'
import type { Lookup } from '../lookup.js'
import type { OpenOrphans } from '../open-orphans.js'
import type { TrashFolder } from '../trash-folder.js'

/** Look-ups that a plan makes, and the cache and lists that its effects change. */
export interface Sources {
  readonly clock: Clock
  readonly random: Random
  readonly names: Lookup
  readonly cache: NodeCache
  readonly orphans: OpenOrphans
  readonly trash: TrashFolder
}
