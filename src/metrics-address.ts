/** The address for metrics, as both configurations and the option of both programs have it. */
import type { Address } from './network.js'
import { isLoopback } from './tls.js'

export interface MetricsAddress extends Address {
  /** Others than this machine may come. */
  readonly isPublic: boolean
}

/** The form of such an address, for errors. */
export const metricsRule =
  'an address of this machine for itself such as "127.0.0.1:9464", or "public HOST:PORT" where others may read the metrics'

/** Parses such an address; port 0 takes any. Undefined when it is none, or others could come without `public`. */
export function parseMetricsAddress(text: string): MetricsAddress | undefined {
  const match = /^(public +)?(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[2] ?? match?.[3]
  const port = Number(match?.[4])
  const isPublic = match?.[1] !== undefined
  if (host === undefined || port > 65_535 || (!isPublic && !isLoopback(host))) return undefined
  return { host, port, isPublic }
}
