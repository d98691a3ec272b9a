/** What plans of changes are made from. */
import type { Clock } from '../../../clock.js'
import type { NodeCache } from '../cache/node-cache.js'
import type { Lookup } from '../lookup.js'
import type { OpenOrphans } from '../open-orphans.js'

/** Where a plan looks up what it changes, and where it notes what it has changed. */
export interface Sources {
  readonly clock: Clock
  readonly names: Lookup
  readonly cache: NodeCache
  readonly orphans: OpenOrphans
}
