/** The registers that several servers have, in the order of (version, key) in which each of them lists its own. */
import { limits } from '../../limits.js'
import { compareKeys, type Key } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { askOne } from './ask-voters.js'
import { type Shown, walkTogether } from './walk-together.js'

/** A place in the order, which may be one that nothing is at. */
export interface Position {
  readonly version: Version
  readonly key: Key
}

export interface ListedRegister extends Position {
  /** Checksum of the register as the server stores it. Corrupt registers are left out. */
  readonly checksum: number
  /** null as well where values were not asked for. */
  readonly value: Buffer | null
}

/** Yields what `servers` have behind `from`, each register with those that have it so. */
export function shownRegisters(
  cluster: Cluster,
  servers: readonly number[],
  from: Position,
  { withValues }: { readonly withValues: boolean },
): AsyncGenerator<Shown<ListedRegister>, void, void> {
  const pageOf = async (server: number, last: ListedRegister | undefined) => {
    const { version: afterVersion, key: afterKey }: Position = last ?? from
    const { registers, checksums, more } = await askOne(cluster, server, 'changes', {
      afterVersion,
      afterKey,
      withValues,
      limit: limits.surveyEntriesMax,
    })
    const items = registers.map((one, index) => ({ ...one, checksum: checksums[index] ?? 0 }))
    return { items, more }
  }
  return walkTogether(servers, { pageOf, compare })
}

export function isBehind(a: Position, b: Position): boolean {
  return a.version === b.version ? compareKeys(a.key, b.key) > 0 : a.version > b.version
}

function compare(a: ListedRegister, b: ListedRegister): number {
  if (a.version !== b.version || a.key !== b.key) return isBehind(a, b) ? 1 : -1
  if (a.checksum !== b.checksum) return a.checksum - b.checksum
  if (a.value === null || b.value === null) {
    return Number(a.value !== null) - Number(b.value !== null)
  }
  return Buffer.compare(a.value, b.value)
}
