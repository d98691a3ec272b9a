/**
 * The scope of a login: the server, position and cluster that it is meant for, and the versions of the protocol that
 * both sides have named. The proof of the client covers it, so that a login that is passed on to another server, or to
 * one of another cluster, is refused there, and so that nobody on the way can have both sides speak an older version.
 */
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import type { VersionRange } from './protocol-versions.js'

export interface LoginScope {
  /** Id of the server: 16 bytes, hexadecimal. */
  readonly server: string
  /** 0 .. 3: which of its four servers the client takes it for. */
  readonly position: number
  /** 16 bytes, hexadecimal; null when the client knows of none yet. */
  readonly cluster: string | null
  /** Versions of the protocol that the client speaks, as it named them in its `hello`. */
  readonly speaks: VersionRange
  /** Version of the protocol that the server answered with. */
  readonly version: number
}

const pattern = /^d=([0-9a-f]{32}):([0-9]):([0-9a-f]{32}|):([0-9]{1,5})-([0-9]{1,5}):([0-9]{1,5})$/

/** The attribute of the last SCRAM message of a client (RFC 5802, section 5.1: extensions). */
export function encodeLoginScope(scope: LoginScope): string {
  const { server, position, cluster, speaks, version } = scope
  return `d=${server}:${position}:${cluster ?? ''}:${speaks.least}-${speaks.most}:${version}`
}

/** The inverse of `encodeLoginScope`. Throws `authentication` when there is not exactly this attribute. */
export function decodeLoginScope(attributes: readonly string[]): LoginScope {
  const [attribute = '', more] = attributes
  const match = pattern.exec(attribute)
  const [, server, position, cluster, least, most, version] = match ?? []
  if (server === undefined || more !== undefined || Number(position) >= limits.serverCount) {
    throw new DfsError('authentication', undefined, {
      cause: new Error('the login does not say what it is meant for'),
    })
  }
  return {
    server,
    position: Number(position),
    cluster: cluster === '' ? null : (cluster ?? null),
    speaks: { least: Number(least), most: Number(most) },
    version: Number(version),
  }
}
