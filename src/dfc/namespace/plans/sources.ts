/** The sources of plans: names, nodes, open files without a name, and the time. */
import type { Clock } from '../../../clock.js'
import type { NodeCache } from '../cache/node-cache.js'
import type { Lookup } from '../lookup.js'
import type { OpenOrphans } from '../open-orphans.js'

/** A plan looks up here what it changes, and notes here what it has changed. */
export interface Sources {
  readonly clock: Clock
  readonly names: Lookup
  readonly cache: NodeCache
  readonly orphans: OpenOrphans
}
