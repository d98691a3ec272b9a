import type { Cluster } from '../cluster.js'
import type { Site } from '../work.js'

/** Of works that are done in our own mount only. */
export function clusterOf({ place }: Site): Cluster {
  if (place.cluster === undefined) throw new Error('this work is for our own mount')
  return place.cluster
}
