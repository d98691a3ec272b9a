/** Copies decided registers to the servers that lack them, many to a request. */
import assert from 'node:assert/strict'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Register } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import { askOne } from './ask-voters.js'
import type { Difference } from './differences.js'

/**
 * Installs the latest of each difference wherever it is missing; returns how many were copied, and how
 * many a server refused whose clock is behind. Fewer than there were when the sweep of another client has dropped a tombstone meanwhile: then all four
 * had agreed on it.
 */
export async function installDifferences(
  cluster: Cluster,
  servers: readonly number[],
  found: readonly Difference[],
  progress: (copied: number) => void,
): Promise<{ readonly copied: number; readonly refused: number }> {
  let copied = 0
  let refused = 0
  for (const [holder, group] of byHolder(found)) {
    for (let at = 0; at < group.length; ) {
      const wanted = group.slice(at, at + limits.readKeysMax)
      const keys = wanted.map(({ key }) => key)
      const { registers: seen } = await askOne(cluster, holder, 'read', { keys })
      if (seen.length === 0) throw new DfsError('protocol', 'no register was answered')
      // As many as fit into one reply.
      const some = wanted.slice(0, seen.length)
      at += some.length
      const registers = some.flatMap(({ key, version }, index): Register[] => {
        const register = seen[index]?.register
        if (register === undefined || register.version < version) return []
        return [{ key, version: register.version, value: register.value }]
      })
      const targets = servers.filter((server) =>
        some.some(({ holders }) => !holders.includes(server)),
      )
      for (const batch of batches(registers)) {
        const outcomes = await cluster.ask(targets, 'install', () => ({ registers: batch }))
        const failures = outcomes.flatMap(({ error }) => error ?? [])
        const failure = failures.find((error) => !isError(error, 'clock'))
        if (failure !== undefined) throw failure
        // A server whose clock is behind takes them when that is right: the others need not wait.
        if (failures.length === 0) copied += batch.length
        else refused += batch.length
      }
      progress(copied)
    }
  }
  return { copied, refused }
}

function byHolder(found: readonly Difference[]): Map<number, Difference[]> {
  const groups = new Map<number, Difference[]>()
  for (const difference of found) {
    const [holder] = difference.holders
    assert(holder !== undefined, 'a version that no server has')
    const group = groups.get(holder)
    if (group === undefined) groups.set(holder, [difference])
    else group.push(difference)
  }
  return groups
}

/** Registers in groups that fit a frame. */
export function* batches(registers: readonly Register[]): Iterable<Register[]> {
  let batch: Register[] = []
  let bytes = 0
  for (const register of registers) {
    const size = (register.value?.length ?? 0) + limits.keyBytesMax
    if (
      batch.length > 0 &&
      (bytes + size > limits.listBytesMax || batch.length >= limits.readKeysMax)
    ) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(register)
    bytes += size
  }
  if (batch.length > 0) yield batch
}
