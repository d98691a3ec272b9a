/** How many files and connections this process may have open, and what each kind of them may have of that. */
import { readFileSync } from 'node:fs'
import { limits } from '../../limits.js'

export interface DescriptorShares {
  readonly connections: number
  /** Connections that have not logged in, which are some of `connections`. */
  readonly handshakes: number
  readonly userConnections: number
  /** Pieces that are being written, which take two descriptors each. */
  readonly uploads: number
}

/** The soft limit of open descriptors (getrlimit(2), RLIMIT_NOFILE), as proc(5) tells it; infinite where it does not. */
export function descriptorsMax(): number {
  try {
    const [, soft] =
      /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/**
 * A quarter of the descriptors is for connections and a quarter for pieces that arrive, where that is less than the
 * limits. The rest is for indexes, for reads and for syncs.
 */
export function descriptorShares(descriptors: number): DescriptorShares {
  const quarter = Math.floor(descriptors / 4)
  const connections = Math.min(limits.connectionsMax, quarter)
  const handshakes = Math.min(limits.handshakesMax, Math.floor(connections / 4))
  return {
    connections,
    handshakes,
    userConnections: Math.min(limits.userConnectionsMax, Math.floor(connections / 4)),
    uploads: Math.min(limits.serverUploadsMax, Math.floor(quarter / 2)),
  }
}
