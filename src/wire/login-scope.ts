/**
 * The scope of a login: the server, position and cluster that it is meant for. The proof of the client covers it, so
 * that a login that is passed on to another server, or to one of another cluster, is refused there.
 */
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'

export interface LoginScope {
  /** Id of the server: 16 bytes, hexadecimal. */
  readonly server: string
  /** 0 .. 3: which of its four servers the client takes it for. */
  readonly position: number
  /** 16 bytes, hexadecimal; null when the client knows of none yet. */
  readonly cluster: string | null
}

const pattern = /^d=([0-9a-f]{32}):([0-9]):([0-9a-f]{32}|)$/

/** The attribute of the last SCRAM message of a client (RFC 5802, section 5.1: extensions). */
export function encodeLoginScope({ server, position, cluster }: LoginScope): string {
  return `d=${server}:${position}:${cluster ?? ''}`
}

/** The inverse of `encodeLoginScope`. Throws `authentication` when there is not exactly this attribute. */
export function decodeLoginScope(attributes: readonly string[]): LoginScope {
  const [attribute = '', more] = attributes
  const match = pattern.exec(attribute)
  const [, server, position, cluster] = match ?? []
  if (server === undefined || more !== undefined || Number(position) >= limits.serverCount) {
    throw new DfsError('authentication', undefined, {
      cause: new Error('the login does not say what it is meant for'),
    })
  }
  return { server, position: Number(position), cluster: cluster === '' ? null : (cluster ?? null) }
}
