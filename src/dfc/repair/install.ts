/** Copies decided registers that two servers show to those that lack them, many to a request. */
import assert from 'node:assert/strict'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { quorum } from '../../wire/quorum.js'
import type { Key, Register } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import { newestConfirmed } from '../quorum/confirmed.js'
import { askEach } from './ask-voters.js'
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
  for (const [holders, group] of byHolders(found)) {
    for (let at = 0; at < group.length; ) {
      const wanted = group.slice(at, at + limits.readKeysMax)
      const seen = await readFrom(
        cluster,
        holders,
        wanted.map(({ key }) => key),
      )
      // As many as fit into one reply.
      const some = wanted.slice(0, seen.length)
      at += some.length
      const registers = some.flatMap(({ key, version }, index): Register[] => {
        const register = seen[index]
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

/**
 * The registers of `keys`, at least one, as two of the holders have them; undefined where they do not agree: one of
 * them has changed since, or shows something else when it is asked for the value.
 */
async function readFrom(
  cluster: Cluster,
  holders: readonly number[],
  keys: readonly Key[],
): Promise<(Omit<Register, 'key'> | undefined)[]> {
  const replies = await askEach(cluster, holders, 'read', () => ({ keys }))
  const count = Math.min(...replies.map(({ registers }) => registers.length))
  if (count === 0) throw new DfsError('protocol', 'no register was answered')
  return keys.slice(0, count).map((_, index) => {
    return newestConfirmed(replies.flatMap(({ registers }) => registers[index]?.register ?? []))
  })
}

/** Differences with the same holders together. */
function byHolders(found: readonly Difference[]): Map<readonly number[], Difference[]> {
  const names = new Map<string, readonly number[]>()
  const groups = new Map<readonly number[], Difference[]>()
  for (const difference of found) {
    assert(difference.holders.length >= quorum.believe, 'one server alone shows it')
    const name = difference.holders.join()
    const holders = names.get(name) ?? difference.holders
    names.set(name, holders)
    const group = groups.get(holders)
    if (group === undefined) groups.set(holders, [difference])
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
