/** Epochs order the fills of all clients: 2^32 * counter + client id. */
import assert from 'node:assert/strict'
import type { Cluster } from '../cluster/cluster.js'

const epochUnit = 2 ** 32

/**
 * How many fills one server may be ahead of the others: it alone may have heard of some that were interrupted. One that
 * is further ahead makes it up.
 */
const leadMax = 1024

/** Greater than every epoch seen that is not made up, and no other client's. */
export function nextEpoch(cluster: Cluster): number {
  const [highest = 0, second = 0] = cluster
    .epochs()
    .toSorted((a, b) => b - a)
    .map(counterOf)
  const counter = (highest > second + leadMax ? second : highest) + 1
  const epoch = counter * epochUnit + Number.parseInt(cluster.versions.client, 16)
  assert(Number.isSafeInteger(epoch), 'there is no higher epoch')
  return epoch
}

function counterOf(epoch: number): number {
  return Math.floor(epoch / epochUnit)
}
