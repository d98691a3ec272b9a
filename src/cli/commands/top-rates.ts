/** Rates of a mount, from what it had counted at two moments. Pure. */
import { type LatencyCounts, latenciesSince, quantileMs } from '../../latencies.js'
import type { Figures } from '../mounts.js'

export interface Pace {
  readonly perSecond: number
  /** Undefined where there was none. */
  readonly meanMs?: number | undefined
  readonly slowMs?: number | undefined
}

export interface ProgramRates {
  readonly pid: number
  /** Empty when the program has ended. */
  readonly name: string
  readonly perSecond: number
  readonly meanMs: number
  /** The share of the time that it waited for the mount; more than 1 for several threads. */
  readonly waits: number
  readonly readPerSecond: number
  readonly writtenPerSecond: number
}

export interface Rates {
  readonly mountpoint: string
  readonly user: string
  readonly pid: number
  readonly seconds: number
  readonly all: Pace
  readonly readPerSecond: number
  readonly writtenPerSecond: number
  readonly operations: readonly (Pace & { readonly name: string; readonly errors: number })[]
  /** Those that waited longest first. */
  readonly programs: readonly ProgramRates[]
  readonly servers: readonly (Pace & {
    readonly name: string
    readonly address: string
    readonly state: string
    readonly failure?: string | undefined
  })[]
  readonly log: Figures['client']['log']
  readonly repair: Figures['client']['repair']
  readonly isAlone: boolean
}

/** The share of requests that `slowMs` says the time of. */
const slowShare = 0.99

/** `before` is undefined when the mount was not there: then all that it has ever done counts. */
export function ratesOf(now: Figures, before: Figures | undefined): Rates {
  // A daemon that was started anew counts from 0.
  const since = before?.pid === now.pid ? before : undefined
  const seconds = Math.max(0.001, (now.atMs - (since?.atMs ?? 0)) / 1000)
  const paceOf = (latencies: LatencyCounts, earlier?: LatencyCounts): Pace => {
    const counted = latenciesSince(latencies, earlier)
    const { count, sumMs } = counted
    return {
      perSecond: count / seconds,
      meanMs: count === 0 ? undefined : sumMs / count,
      slowMs: quantileMs(counted, slowShare),
    }
  }
  const operations = now.operations.map(({ name, latencies, errors }) => {
    const earlier = since?.operations.find((one) => one.name === name)
    return {
      name,
      ...paceOf(latencies, earlier?.latencies),
      errors: errors - (earlier?.errors ?? 0),
    }
  })
  return {
    mountpoint: now.mountpoint,
    user: now.client.user,
    pid: now.pid,
    seconds,
    all: paceOf(total(now), since && total(since)),
    readPerSecond: (now.readBytes - (since?.readBytes ?? 0)) / seconds,
    writtenPerSecond: (now.writtenBytes - (since?.writtenBytes ?? 0)) / seconds,
    operations: operations
      .filter(({ perSecond }) => perSecond > 0)
      .sort((a, b) => b.perSecond - a.perSecond),
    programs: programsOf(now, since, seconds),
    servers: now.client.servers.map(({ name, address, state, failure, latencies }) => {
      const earlier = since?.client.servers.find((one) => one.name === name)
      return { name, address, state, failure, ...paceOf(latencies, earlier?.latencies) }
    }),
    log: now.client.log,
    repair: now.client.repair,
    isAlone: now.client.isAlone,
  }
}

function total({ operations }: Figures): LatencyCounts {
  const all = operations.map(({ latencies }) => latencies)
  const [first] = all
  return {
    count: all.reduce((sum, { count }) => sum + count, 0),
    sumMs: all.reduce((sum, { sumMs }) => sum + sumMs, 0),
    buckets: (first?.buckets ?? []).map((_, index) =>
      all.reduce((sum, { buckets }) => sum + (buckets[index] ?? 0), 0),
    ),
  }
}

function programsOf(
  now: Figures,
  since: Figures | undefined,
  seconds: number,
): readonly ProgramRates[] {
  return now.programs
    .map(({ pid, name, ...program }) => {
      const earlier = since?.programs.find((one) => one.pid === pid)
      // Threads that have ended are no longer counted with their program.
      const rise = (key: keyof typeof program): number =>
        Math.max(0, program[key] - (earlier?.[key] ?? 0))
      const operations = rise('operations')
      return {
        pid,
        name,
        perSecond: operations / seconds,
        meanMs: operations === 0 ? 0 : rise('tookMs') / operations,
        waits: rise('tookMs') / 1000 / seconds,
        readPerSecond: rise('readBytes') / seconds,
        writtenPerSecond: rise('writtenBytes') / seconds,
      }
    })
    .filter(({ perSecond }) => perSecond > 0)
    .sort((a, b) => b.waits - a.waits)
}
