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
  const epochs = cluster.epochs()
  const counters = epochs.filter((epoch) => !isMadeUp(epoch, epochs)).map(counterOf)
  const counter = Math.max(...counters) + 1
  const epoch = counter * epochUnit + Number.parseInt(cluster.versions.client, 16)
  assert(Number.isSafeInteger(epoch), 'there is no higher epoch')
  return epoch
}

/** Whether an epoch is further above all the others than interrupted fills can bring it. */
export function isMadeUp(epoch: number, epochs: readonly number[]): boolean {
  const below = epochs.filter((other) => counterOf(epoch) > counterOf(other) + leadMax)
  return below.length >= epochs.length - 1
}

function counterOf(epoch: number): number {
  return Math.floor(epoch / epochUnit)
}
