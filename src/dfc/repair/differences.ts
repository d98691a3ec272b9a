/**
 * Compares what several servers have above the floor without keeping it: each gives its registers in
 * the order of (version, key) with a checksum of each, and what is the same at the same place on all of
 * them is agreed on. What is left over names the keys on which some server is behind.
 */
import { limits } from '../../limits.js'
import type { Reply } from '../../wire/messages.js'
import { behindKeys, compareKeys, type Key } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { Cluster } from '../cluster/cluster.js'
import { askEach, askOne } from './ask-voters.js'

/** A register of which not all servers have the latest value seen. */
export interface Difference {
  readonly key: Key
  readonly version: Version
  /** Servers that have this version. */
  readonly holders: readonly number[]
}

interface Place {
  readonly key: Key
  readonly version: Version
  /** Checksum of the register as the server stores it. Corrupt registers are left out. */
  readonly checksum: number
}

/** A place in the order, which may be one that nothing is at. */
type Position = Omit<Place, 'checksum'>

type Latest = Map<Key, { version: Version; holders: number[] }>

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
  const latest: Latest = new Map()
  // Behind every key of the floor's own version.
  for (let from: Position | undefined = { version: floor, key: behindKeys }; from !== undefined; ) {
    const { version: afterVersion, key: afterKey } = from
    const fields = { afterVersion, afterKey, limit: pageEntries }
    const startMs = cluster.clock.monotonic()
    const digests = await askEach(cluster, servers, 'changesDigest', () => fields)
    const to = endOf(digests)
    if (!areSame(digests)) await compare(cluster, servers, from, to, latest)
    from = to
    if (from !== undefined) await giveWay?.(cluster.clock.monotonic() - startMs)
  }
  return [...latest]
    .filter(([, { holders }]) => holders.length < servers.length)
    .map(([key, { version, holders }]) => ({ key, version, holders }))
}

function areSame(digests: readonly Reply<'changesDigest'>[]): boolean {
  const [first] = digests
  return digests.every(
    ({ count, digest, more }) =>
      count === first?.count && digest === first.digest && more === first.more,
  )
}

/** The last place of which some digest tells; undefined where one tells of all that is left. */
function endOf(digests: readonly Reply<'changesDigest'>[]): Position | undefined {
  let end: Position | undefined
  for (const { lastVersion: version, lastKey: key, more } of digests) {
    if (!more) return undefined
    if (end === undefined || isBehind({ version, key }, end)) end = { version, key }
  }
  return end
}

/** Notes what is not on all servers behind `from` and up to `to`, or all that follows. */
async function compare(
  cluster: Cluster,
  servers: readonly number[],
  from: Position,
  to: Position | undefined,
  latest: Latest,
): Promise<void> {
  const walks = servers.map((server) => ({ server, walk: walkOf(cluster, server, from) }))
  const heads = await Promise.all(
    walks.map(async ({ server, walk }) => ({ server, walk, place: await next(walk) })),
  )
  for (;;) {
    const least = heads.reduce<Place | undefined>(
      (best, { place }) => (place && (!best || isBefore(place, best)) ? place : best),
      undefined,
    )
    if (least === undefined || (to !== undefined && isBehind(least, to))) return
    const here = heads.filter(({ place }) => place && isSame(place, least))
    if (here.length < servers.length)
      note(
        latest,
        least,
        here.map(({ server }) => server),
      )
    for (const head of here) {
      const step = head.walk.step()
      head.place = step === undefined ? await next(head.walk) : step
    }
  }
}

function note(latest: Latest, { key, version }: Place, holders: number[]): void {
  const known = latest.get(key)
  if (known === undefined || known.version < version) latest.set(key, { version, holders })
}

/** A server's registers, a page at a time; `step` is undefined where the next page is needed. */
interface Walk {
  step(): Place | undefined
  fetch(): Promise<boolean>
}

async function next(walk: Walk): Promise<Place | undefined> {
  for (;;) {
    const place = walk.step()
    if (place !== undefined) return place
    if (!(await walk.fetch())) return undefined
  }
}

function walkOf(cluster: Cluster, server: number, from: Position): Walk {
  let page: readonly Place[] = []
  let at = 0
  let more = true
  let last = from
  return {
    step: () => page[at++],
    async fetch() {
      if (!more) return false
      const reply = await askOne(cluster, server, 'changes', {
        afterVersion: last.version,
        afterKey: last.key,
        withValues: false,
        limit: limits.surveyEntriesMax,
      })
      page = reply.registers.map(({ key, version }, index) => ({
        key,
        version,
        checksum: reply.checksums[index] ?? 0,
      }))
      at = 0
      more = reply.more
      last = page.at(-1) ?? last
      return page.length > 0
    },
  }
}

function isBefore(a: Place, b: Place): boolean {
  if (a.version !== b.version) return a.version < b.version
  return a.key === b.key ? a.checksum < b.checksum : compareKeys(a.key, b.key) < 0
}

function isBehind(a: Position, b: Position): boolean {
  return a.version === b.version ? compareKeys(a.key, b.key) > 0 : a.version > b.version
}

function isSame(a: Place, b: Place): boolean {
  return a.version === b.version && a.key === b.key && a.checksum === b.checksum
}
