/** What each server still lacks: what a repair has to do, or has left to do while it is under way. */

import { homeMask } from '../../wire/placement.js'
import { noVersion } from '../../wire/version.js'
import type { Cluster } from '../cluster.js'
import { askEach } from './ask-voters.js'
import { differences } from './differences.js'
import { heldMasks, misplacedSegments } from './pieces.js'

export interface Missing {
  registers: number
  pieces: number
}

/** For each server that votes. Throws what a server failed with. */
export async function missingOf(cluster: Cluster): Promise<ReadonlyMap<number, Missing>> {
  const servers = cluster.voters
  const missing = new Map(servers.map((server) => [server, { registers: 0, pieces: 0 }]))
  const add = (server: number, what: keyof Missing, count: number): void => {
    const known = missing.get(server)
    if (known !== undefined) known[what] += count
  }
  const statuses = await askEach(cluster, servers, 'status', () => ({}))
  const floors = statuses.map(({ floor }) => floor)
  const floor = floors.reduce((a, b) => (a < b ? a : b), floors[0] ?? noVersion)
  for (const { holders } of await differences(cluster, servers, floor)) {
    for (const server of servers) if (!holders.includes(server)) add(server, 'registers', 1)
  }
  const misplaced = await misplacedSegments(cluster, servers)
  for (const { segment, masks } of await heldMasks(cluster, misplaced)) {
    for (const [server, held] of masks) {
      add(server, 'pieces', bitsOf(homeMask(server, segment.length, segment.md5) & ~held))
    }
  }
  return missing
}

export function bitsOf(mask: number): number {
  let bits = 0
  for (let rest = mask; rest !== 0; rest >>= 1) bits += rest & 1
  return bits
}
