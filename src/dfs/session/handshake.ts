/**
 * The handshake of a connection, before anything else: hello and authenticate, in this order, once each. A peer
 * does not learn from it which users there are.
 */
import assert from 'node:assert/strict'
import type { Random } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Connection } from '../../network.js'
import { type Codec, decode, Reader, u16, type Value } from '../../wire/codec.js'
import type { Frame } from '../../wire/frame.js'
import { decodeLoginScope, type LoginScope } from '../../wire/login-scope.js'
import { messages } from '../../wire/messages.js'
import {
  commonVersion,
  firstVersionOfRanges,
  protocolVersions,
  type VersionRange,
  versionsText,
} from '../../wire/protocol-versions.js'
import {
  pretendVerifier,
  ScramServer,
  userOfClientFirst,
  type Verifier,
  type VerifierKeys,
} from '../../wire/scram.js'
import type { Identity } from '../disk/identity.js'
import type { Users } from '../users/users.js'
import { answer, type Parts } from './call.js'

/** A login that was proved: the peer knows the password of `user`. */
export interface Login {
  readonly user: string
  /** The id of the client, one of those of the user. */
  readonly client: string
  readonly scope: LoginScope
  /** The version of the protocol that both sides speak from now on. */
  readonly version: number
  /** The keys of the password that was shown to be known. */
  readonly keys: VerifierKeys
}

export interface Step {
  readonly reply: Parts
  /** After the last step. */
  readonly login: Login | undefined
}

interface Greeted {
  readonly user: string
  readonly client: string
  /** 0 .. 3: which of its four servers the client takes this one for. */
  readonly position: number
  /** Versions of the protocol that the client speaks, and the one that was chosen. */
  readonly speaks: VersionRange
  readonly version: number
  /** Undefined for a name that is not known. */
  readonly verifier: Verifier | undefined
  readonly scram: ScramServer
}

/** Peers that may come without TLS: what they send and are sent can be read and changed on the way. */
export type PlainFrom = 'nobody' | 'thisMachine' | 'anybody'

/** Means that a server lends to its handshakes. */
export interface HandshakeHost {
  readonly users: Users
  readonly identity: Identity
  readonly random: Random
  readonly plainFrom: PlainFrom
}

export class Handshake {
  readonly #host: HandshakeHost
  readonly #connection: Pick<Connection, 'exporter' | 'isLocal'>
  #greeted: Greeted | undefined
  #isOver = false

  constructor(host: HandshakeHost, connection: Pick<Connection, 'exporter' | 'isLocal'>) {
    this.#host = host
    this.#connection = connection
  }

  /** The name that the peer gave, which may be anything. */
  get claimedUser(): string {
    return this.#greeted?.user ?? ''
  }

  /**
   * Answers the first frame, and then the second. Throws `version`, `protocol`, `untrusted` or `authentication`;
   * the connection must then be closed.
   */
  async step(frame: Frame): Promise<Step> {
    assert(!this.#isOver, 'a handshake has one end')
    if (this.#greeted === undefined) return this.#greet(frame)
    const { user, client, position, speaks, version, verifier, scram } = this.#greeted
    const { clientFinal } = fieldsOf(frame, messages.authenticate)
    this.#isOver = true
    const { serverFinal, extensions, keys } = scram.final(clientFinal)
    // Nobody can know the password of a pretended verifier; should someone, it is of no use.
    if (verifier === undefined) throw new DfsError('authentication')
    // The user may have been removed since the verifier was found, and no session knew of it yet.
    if (!this.#host.users.isCurrent(user, keys)) throw new DfsError('authentication')
    const scope = decodeLoginScope(extensions)
    if (scope.server !== this.#host.identity.server || scope.position !== position) {
      throw new DfsError('authentication', 'This login was meant for another server')
    }
    const isAsSaid = isSameRange(scope.speaks, speaks) && scope.version === version
    if (!isAsSaid) {
      throw new DfsError('authentication', 'The versions in this login were changed on the way')
    }
    return {
      reply: answer('authenticate', frame.id, { serverFinal }, version),
      login: { user, client, scope, version, keys },
    }
  }

  async #greet(frame: Frame): Promise<Step> {
    assert(this.#greeted === undefined, 'a peer is greeted once')
    requireNumber(frame, messages.hello.number)
    const { speaks, version } = versionsOf(frame)
    this.#assertSecure()
    const { client, position, clientFirst } = helloOf(frame)
    // What is offered for it would tell known names from others.
    if (position >= limits.serverCount)
      throw new DfsError('protocol', 'no server has this position')
    const user = userOfClientFirst(clientFirst)
    const { users, identity, random } = this.#host
    const known = await users.find(user, position)
    const { server, secret } = identity
    const offered = known ?? pretendVerifier(secret, user, position, users.roundCounts)
    const scram = new ScramServer(offered, clientFirst, random.bytes(18), this.#connection.exporter)
    this.#greeted = { user, client, position, speaks, version, verifier: known, scram }
    const reply = { version, server, serverFirst: scram.first() }
    return { reply: answer('hello', frame.id, reply, version), login: undefined }
  }

  #assertSecure(): void {
    const { plainFrom } = this.#host
    const { exporter, isLocal } = this.#connection
    if (exporter !== undefined || plainFrom === 'anybody') return
    if (isLocal && plainFrom === 'thisMachine') return
    throw new DfsError(
      'untrusted',
      'The server wants TLS: tls = "on" in the configuration of the client',
    )
  }
}

type Hello = Value<typeof messages.hello.request>

/** The fields of a `hello`. What a later version has behind them is ignored. */
function helloOf({ reader }: Frame): Hello {
  return messages.hello.request.read(new Reader(reader.rest()))
}

/** Versions that the client speaks, and the highest one that this server does, too. Throws `version` without one. */
function versionsOf(frame: Frame): { readonly speaks: VersionRange; readonly version: number } {
  const first = u16.read(new Reader(frame.reader.rest()))
  const isOfRanges = first >= firstVersionOfRanges
  const { most, least } = isOfRanges ? helloOf(frame) : { most: first, least: first }
  if (least > most) throw new DfsError('protocol', `a range of versions from ${least} to ${most}`)
  const speaks = { least, most }
  const version = commonVersion(protocolVersions, speaks)
  if (version !== undefined) return { speaks, version }
  const both = `this server speaks ${versionsText(protocolVersions)}, the client ${versionsText(speaks)}`
  const older = most < protocolVersions.least ? 'the client' : 'this server'
  throw new DfsError('version', `The versions do not match: ${both}. Update ${older}`)
}

function isSameRange(one: VersionRange, other: VersionRange): boolean {
  return one.least === other.least && one.most === other.most
}

function fieldsOf<T>(frame: Frame, message: { number: number; request: Codec<T> }): T {
  requireNumber(frame, message.number)
  return decode(message.request, frame.reader.rest())
}

function requireNumber(frame: Frame, number: number): void {
  if (frame.kind === number) return
  throw new DfsError('protocol', `message ${frame.kind} before authentication`)
}
