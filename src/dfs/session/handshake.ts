/**
 * The handshake of a connection, before anything else: hello and authenticate, in this order, once each. A peer
 * does not learn from it which users there are.
 */
import assert from 'node:assert/strict'
import type { Random } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { type Codec, decode, Reader, u16 } from '../../wire/codec.js'
import type { Frame } from '../../wire/frame.js'
import { messages, protocolVersion } from '../../wire/messages.js'
import { pretendVerifier, ScramServer, userOfClientFirst } from '../../wire/scram.js'
import type { Identity } from '../disk/identity.js'
import type { Users } from '../users/users.js'
import { answer, type Parts } from './call.js'

export interface Step {
  readonly reply: Parts
  /** The user whose password the peer has shown to know, after the last step. */
  readonly user: string | undefined
  /** The id of the client, one of those of the user. */
  readonly client: string
}

export class Handshake {
  readonly #users: Users
  readonly #identity: Identity
  readonly #random: Random
  #greeted:
    | {
        readonly user: string
        readonly client: string
        readonly isKnown: boolean
        readonly scram: ScramServer
      }
    | undefined
  #isOver = false

  constructor(users: Users, identity: Identity, random: Random) {
    this.#users = users
    this.#identity = identity
    this.#random = random
  }

  /** The name that the peer gave, which may be anything. */
  get claimedUser(): string {
    return this.#greeted?.user ?? ''
  }

  /** Throws `version`, `protocol` or `authentication`; the connection must then be closed. */
  step(frame: Frame): Step {
    assert(!this.#isOver, 'a handshake has one end')
    if (this.#greeted === undefined) return this.#greet(frame)
    const { user, client, isKnown, scram } = this.#greeted
    const { clientFinal } = fieldsOf(frame, messages.authenticate)
    this.#isOver = true
    const serverFinal = scram.final(clientFinal)
    // Nobody can know the password of a pretended verifier; should someone, it is of no use.
    if (!isKnown) throw new DfsError('authentication')
    const { server, cluster, position } = this.#identity
    const reply = { serverFinal, server, cluster, position: position ?? 0 }
    return { reply: answer('authenticate', frame.id, reply), user, client }
  }

  #greet(frame: Frame): Step {
    assert(this.#greeted === undefined, 'a peer is greeted once')
    requireNumber(frame, messages.hello.number)
    const version = u16.read(new Reader(frame.reader.rest()))
    if (version !== protocolVersion) {
      const both = `this server speaks version ${protocolVersion}, the client ${version}`
      throw new DfsError('version', `The versions do not match: ${both}`)
    }
    const { client, clientFirst } = fieldsOf(frame, messages.hello)
    const user = userOfClientFirst(clientFirst)
    const known = this.#users.find(user)
    const verifier = known ?? pretendVerifier(this.#identity.secret, user)
    const scram = new ScramServer(verifier, clientFirst, this.#random.bytes(18))
    this.#greeted = { user, client, isKnown: known !== undefined, scram }
    const reply = { version: protocolVersion, serverFirst: scram.first() }
    return { reply: answer('hello', frame.id, reply), user: undefined, client }
  }
}

function fieldsOf<T>(frame: Frame, message: { number: number; request: Codec<T> }): T {
  requireNumber(frame, message.number)
  return decode(message.request, frame.reader.rest())
}

function requireNumber(frame: Frame, number: number): void {
  if (frame.kind === number) return
  throw new DfsError('protocol', `message ${frame.kind} before authentication`)
}
