/**
 * Registers are believed when two servers show them, value and all: a single one may make up what it likes. A committed change is
 * on three servers, so two of any three that answer show it: docs/decisions/0027.
 */
import { quorum } from '../../wire/quorum.js'
import type { Version } from '../../wire/version.js'

interface Shown {
  readonly version: Version
  /** null: deleted or never written. */
  readonly value: Buffer | null
}

/** The newest of these that two show; undefined where no two agree. */
export function newestConfirmed<Kind extends Shown>(shown: readonly Kind[]): Kind | undefined {
  let newest: Kind | undefined
  for (const one of shown) {
    if (newest !== undefined && newest.version >= one.version) continue
    if (isConfirmed(one, shown)) newest = one
  }
  return newest
}

function isConfirmed(one: Shown, shown: readonly Shown[]): boolean {
  let count = 0
  for (const other of shown) if (other === one || isSame(one, other)) count += 1
  return count >= quorum.believe
}

/** Whether two servers show the same, value and all. */
export function isSame(one: Shown, other: Shown): boolean {
  if (one.version !== other.version) return false
  if (one.value === null || other.value === null) return one.value === other.value
  return one.value.equals(other.value)
}

/** The second highest of what servers tell, which is no more than one that does not lie has told. */
export function secondHighest<Kind extends number | string>(
  told: readonly Kind[],
): Kind | undefined {
  return [...told].sort((a, b) => (a < b ? 1 : -1))[quorum.believe - 1]
}
