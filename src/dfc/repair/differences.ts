/**
 * Compares what several servers have above the floor without keeping it: each gives its registers in
 * the order of (version, key) with a checksum of each, and what is the same at the same place on all of
 * them is agreed on. What is left over names the keys on which some server is behind, and what one server alone
 * shows: that may be made up, docs/decisions/0027.
 */
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Reply } from '../../wire/messages.js'
import { quorum } from '../../wire/quorum.js'
import { behindKeys, type Key } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { askEach } from './ask-voters.js'
import { isBehind, type Position, shownRegisters } from './shown-registers.js'

/** A register of which not all servers have the latest value that two of them show, or that one shows alone. */
export interface Difference {
  readonly key: Key
  readonly version: Version
  /** Servers that have this version. */
  readonly holders: readonly number[]
  /** One server alone shows it, and nothing as new of this key is shown by two. */
  readonly isLone: boolean
}

interface HeldVersion {
  readonly version: Version
  readonly holders: readonly number[]
}

/** The versions of each key that servers show, where they differ. */
type Shown = Map<Key, HeldVersion[]>

export interface HowCompared {
  /** Registers that one digest tells of. */
  readonly pageEntries?: number
  /** Waited for after each of them, which took so long. */
  readonly giveWay?: ((tookMs: number) => Promise<void>) | undefined
}

/**
 * The differences between `servers` in what is newer than `floor`. Digests tell where there are none, some
 * registers at a time.
 */
export async function differences(
  cluster: Cluster,
  servers: readonly number[],
  floor: Version,
  { pageEntries = limits.surveyEntriesMax, giveWay }: HowCompared = {},
): Promise<Difference[]> {
  const shown: Shown = new Map()
  // Behind every key of the floor's own version.
  for (let from: Position | undefined = { version: floor, key: behindKeys }; from !== undefined; ) {
    const { version: afterVersion, key: afterKey } = from
    const fields = { afterVersion, afterKey, limit: pageEntries }
    const startMs = cluster.clock.monotonic()
    const digests = await askEach(cluster, servers, 'changesDigest', () => fields)
    const to = endOf(digests)
    if (!areSame(digests)) await compare(cluster, servers, from, to, shown)
    if (to !== undefined && !isBehind(to, from)) {
      throw new DfsError('protocol', 'a page of a comparison ends where it began')
    }
    from = to
    if (from !== undefined) await giveWay?.(cluster.clock.monotonic() - startMs)
  }
  return [...shown].flatMap(([key, registers]) => differencesOf(key, registers, servers.length))
}

/** The latest that two servers show, if some lack it, and whatever one of them shows alone that is as new. */
function differencesOf(key: Key, registers: readonly HeldVersion[], count: number): Difference[] {
  const confirmed = registers.filter(({ holders }) => holders.length >= quorum.believe)
  const [latest] = confirmed.toSorted((a, b) => (a.version < b.version ? 1 : -1))
  const lone = registers.filter(({ version, holders }) => {
    return holders.length < quorum.believe && version >= (latest?.version ?? version)
  })
  const lacking = latest !== undefined && latest.holders.length < count ? [latest] : []
  return [...lacking, ...lone].map(({ version, holders }) => ({
    key,
    version,
    holders,
    isLone: holders.length < quorum.believe,
  }))
}

function areSame(digests: readonly Reply<'changesDigest'>[]): boolean {
  const [first] = digests
  return digests.every(
    ({ count, digest, more }) =>
      count === first?.count && digest === first.digest && more === first.more,
  )
}

/**
 * The place up to which the digests tell, of one server alone perhaps not: it must not make all pages short.
 * undefined where one tells of all that is left.
 */
function endOf(digests: readonly Reply<'changesDigest'>[]): Position | undefined {
  if (digests.some(({ more }) => !more)) return undefined
  const ends = digests
    .map(({ lastVersion: version, lastKey: key }) => ({ version, key }))
    .sort((a, b) => (isBehind(a, b) ? 1 : -1))
  return digests.length >= quorum.settle ? ends[1] : ends[0]
}

/** Notes what is not on all servers behind `from` and up to `to`, or all that follows. */
async function compare(
  cluster: Cluster,
  servers: readonly number[],
  from: Position,
  to: Position | undefined,
  shown: Shown,
): Promise<void> {
  const how = { withValues: false }
  for await (const { item, holders } of shownRegisters(cluster, servers, from, how)) {
    if (to !== undefined && isBehind(item, to)) return
    if (holders.length === servers.length) continue
    const known = shown.get(item.key) ?? []
    known.push({ version: item.version, holders })
    shown.set(item.key, known)
  }
}
