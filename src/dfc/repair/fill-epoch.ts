/** Epochs order the fills of all clients: 2^32 * counter + client id. */
import assert from 'node:assert/strict'
import type { Cluster } from '../cluster/cluster.js'

const epochUnit = 2 ** 32

/** Greater than every epoch seen, and no other client's. */
export function nextEpoch(cluster: Cluster): number {
  const counter = Math.floor(cluster.epoch / epochUnit) + 1
  const epoch = counter * epochUnit + Number.parseInt(cluster.versions.client, 16)
  assert(epoch > cluster.epoch && Number.isSafeInteger(epoch), 'there is no higher epoch')
  return epoch
}
