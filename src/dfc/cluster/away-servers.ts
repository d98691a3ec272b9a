/** The servers that cannot be used now, and why not. */
import { DfsError } from '../../errors.js'
import type { AwayServer } from '../../noted-failure.js'
import type { Cluster } from './cluster.js'

export function awayServers({ links }: Pick<Cluster, 'links'>): AwayServer[] {
  return links.flatMap(({ name, isUp, blank, failure }) => {
    if (!isUp) return [{ name, why: failure?.message ?? 'not connected' }]
    return blank ? [{ name, why: 'it is being filled and does not vote yet' }] : []
  })
}

/** Returns why no server answers a question about the account. Throws what keeps this client out, if that is why. */
export function whyNoAnswer(cluster: Cluster): DfsError {
  cluster.assertAdmitted()
  const waiting = cluster.links.filter((link) => link.isUp && link.blank)
  if (waiting.length === 0) return new DfsError('down', 'no server answers')
  const isNew = waiting.every(({ index }) => cluster.stateOf(index) === 'blank')
  return new DfsError(
    'down',
    isNew
      ? 'a new cluster or user needs all four servers up once, to initialize'
      : 'the servers do not vote until they were compared, as after a power cut of all four or as copies: start all four, then "dfc heal"; if one does not come back, "dfc heal --without NAME"',
  )
}
