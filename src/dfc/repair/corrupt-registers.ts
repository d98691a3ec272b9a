/**
 * Brings back registers that have rotted on a server's disk, from what a quorum of the others has:
 * docs/decisions/0011.
 */
import { debugDfc } from '../../log.js'
import { quorum } from '../../wire/quorum.js'
import type { Key, Register } from '../../wire/records.js'
import type { Cluster } from '../cluster/cluster.js'
import { newestConfirmed } from '../quorum/confirmed.js'
import type { Recovery } from '../quorum/recovery.js'
import { askOne } from './ask-voters.js'
import type { Difference } from './differences.js'

const keysAtOnce = 256

/** Returns how many were restored, and how many could not be now. */
export async function restoreCorrupt(
  cluster: Cluster,
  recovery: Recovery,
): Promise<{ readonly restored: number; readonly left: number }> {
  let restored = 0
  let left = 0
  for (const server of cluster.voters) {
    for (let more = true; more; ) {
      // The mark comes before the others are asked: what is decided here from now on changes it.
      const { keys, mark, floor } = await askOne(cluster, server, 'rotten', { limit: keysAtOnce })
      let some = 0
      for (const key of keys) {
        const register = await fromOthers(cluster, recovery, server, key)
        if (register === undefined) continue
        const reply = await askOne(cluster, server, 'restore', { register, mark, floor })
        if (reply.restored) some += 1
      }
      restored += some
      more = some > 0 && keys.length === keysAtOnce
      if (!more) left += keys.length - some
    }
  }
  return { restored, left }
}

/**
 * Registers that all four servers had, because the floor has passed them, and that some have no more:
 * a key that rotted is one. Returns how many were brought back.
 */
export async function restoreLost(
  cluster: Cluster,
  recovery: Recovery,
  lost: readonly Difference[],
): Promise<number> {
  let restored = 0
  for (const { key, holders } of lost) {
    for (const server of cluster.voters.filter((index) => !holders.includes(index))) {
      const { mark, floor } = await askOne(cluster, server, 'rotten', { limit: 0 })
      const register = await fromOthers(cluster, recovery, server, key)
      // A tombstone goes from one server after the other when the floor passes it.
      if (register === undefined || register.value === null) continue
      const reply = await askOne(cluster, server, 'restore', { register, mark, floor })
      if (reply.restored) restored += 1
    }
  }
  return restored
}

/**
 * The register as two other servers have it in order. Undefined while no two do, while something about it is undecided there, or while
 * one of only two shows something newer, which the third may have as well.
 */
async function fromOthers(
  cluster: Cluster,
  recovery: Recovery,
  server: number,
  key: Key,
): Promise<Register | undefined> {
  const others = cluster.voters.filter((index) => index !== server)
  const outcomes = await cluster.ask(others, 'read', () => ({ keys: [key] }))
  const seen = outcomes.flatMap(({ answer }) => answer?.reply.registers ?? [])
  if (seen.length < quorum.confirm) return undefined
  const registers = seen.map(({ register }) => register)
  const confirmed = newestConfirmed(registers)
  if (confirmed === undefined) return undefined
  const { version, value } = confirmed
  const locks = seen.flatMap(({ register: { lock } }) =>
    lock !== null && lock > version ? [lock] : [],
  )
  if (locks.length === 0) return { key, version, value }
  debugDfc('rotten register %s: %d transactions to be decided first', key, locks.length)
  for (const lock of locks) await recovery.recover(lock)
  return undefined
}
