import type { Cluster } from '../cluster.js'
import type { Site } from '../work.js'

/** Returns the cluster of a site. Throws for a place that is not our own mount. */
export function clusterOf({ place }: Site): Cluster {
  if (place.cluster === undefined) throw new Error('this work is for our own mount')
  return place.cluster
}
