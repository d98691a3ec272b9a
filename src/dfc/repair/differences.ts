/**
 * Compares what several servers have above the floor without keeping it: each gives its registers in
 * the order of (version, key) with a checksum of each, and what is the same at the same place on all of
 * them is agreed on. What is left over names the keys on which some server is behind.
 */
import { limits } from '../../limits.js'
import type { Key } from '../../wire/records.js'
import type { Version } from '../../wire/version.js'
import type { Cluster } from '../cluster.js'
import { askOne } from './ask-voters.js'

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
  /** Of the register as the server keeps it; it leaves out what has rotted. */
  readonly checksum: number
}

/** The differences between `servers` in what is newer than `floor`. */
export async function differences(
  cluster: Cluster,
  servers: readonly number[],
  floor: Version,
): Promise<Difference[]> {
  const latest = new Map<Key, { version: Version; holders: number[] }>()
  const walks = servers.map((server) => ({ server, walk: walkOf(cluster, server, floor) }))
  const heads = await Promise.all(
    walks.map(async ({ server, walk }) => ({ server, walk, place: await next(walk) })),
  )
  for (;;) {
    const least = heads.reduce<Place | undefined>(
      (best, { place }) => (place && (!best || isBefore(place, best)) ? place : best),
      undefined,
    )
    if (least === undefined) break
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
  return [...latest]
    .filter(([, { holders }]) => holders.length < servers.length)
    .map(([key, { version, holders }]) => ({ key, version, holders }))
}

function note(
  latest: Map<Key, { version: Version; holders: number[] }>,
  { key, version }: Place,
  holders: number[],
): void {
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

function walkOf(cluster: Cluster, server: number, floor: Version): Walk {
  let page: readonly Place[] = []
  let at = 0
  let more = true
  // Behind every key of the floor's own version.
  let last: Omit<Place, 'checksum'> = { version: floor, key: '\uffff' }
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
  return a.key === b.key ? a.checksum < b.checksum : a.key < b.key
}

function isSame(a: Place, b: Place): boolean {
  return a.version === b.version && a.key === b.key && a.checksum === b.checksum
}
