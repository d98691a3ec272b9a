/** The servers that cannot be used now, and why not. */
import type { AwayServer } from '../../noted-failure.js'
import type { Cluster } from './cluster.js'

export function awayServers({ links }: Pick<Cluster, 'links'>): AwayServer[] {
  return links.flatMap(({ name, isUp, blank, failure }) => {
    if (!isUp) return [{ name, why: failure?.message ?? 'not connected' }]
    return blank ? [{ name, why: 'it is being filled and does not vote yet' }] : []
  })
}
