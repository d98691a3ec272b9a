/**
 * Collects orphans: files that lost their last name while a mount had them open, and whose mount died before it
 * deleted them (docs/decisions/0012).
 */
import { limits } from '../../limits.js'
import { decodeInode, inodeKey } from '../../wire/records.js'
import { versionOf } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import type { Registers } from '../quorum/registers.js'
import type { Transactions } from '../quorum/transaction.js'
import { askEach } from './ask-voters.js'

/** The parts of a client that look at registers and delete one. */
export interface OrphanCollector {
  readonly registers: Registers
  readonly transactions: Transactions
}

/** Deletes orphans that were not written for `ageMs`; returns their number. */
export async function collectOrphans(
  cluster: Cluster,
  { registers, transactions }: OrphanCollector,
  ageMs: number,
): Promise<number> {
  const before = versionOf(Math.max(0, Math.floor(cluster.clock.now() - ageMs)), 0, '00000000')
  const replies = await askEach(cluster, cluster.voters, 'orphans', () => ({
    before,
    limit: limits.readKeysMax,
  }))
  const inos = [...new Set(replies.flatMap(({ inos }) => inos))]
  let collected = 0
  for (const { key, version, value } of await registers.read(inos.map(inodeKey))) {
    // A server that missed a change may still list a file that was renewed, linked or deleted.
    if (value === null || version >= before || decodeInode(value).nlink > 0) continue
    const { committed } = await transactions.commit({
      writes: [{ key, value: null }],
      preconditions: [{ key, absent: false, version }],
      emptyFolders: [],
    })
    if (committed) collected += 1
  }
  return collected
}
