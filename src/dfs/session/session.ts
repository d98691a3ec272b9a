/**
 * One connection, from its first byte to its last: the handshake with little memory and little time,
 * then the requests of a user. Whatever the peer does wrong ends this connection and no other.
 */
import { AssertionError } from 'node:assert'
import assert from 'node:assert/strict'
import type { Clock, Random, Timer } from '../../clock.js'
import { asDfsError, DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfs, notice } from '../../log.js'
import { type PageMemory, pageBufferBytes } from '../../memory/page-memory.js'
import type { Connection, ConnectionEvents } from '../../network.js'
import { type Frame, type FrameMemory, FrameParser, recallFrame } from '../../wire/frame.js'
import { messages } from '../../wire/messages.js'
import type { Account } from '../account/account.js'
import type { Accounts } from '../account/accounts.js'
import type { Lessee } from '../account/lease.js'
import type { Identity } from '../disk/identity.js'
import type { Users } from '../users/users.js'
import { failure, type Parts } from './call.js'
import { Handshake, type Login, type PlainFrom } from './handshake.js'
import { Requests } from './requests.js'
import type { FrameReceiver, FrameShares, UploadShares } from './shares.js'
import type { Traffic } from './traffic.js'
import type { Turns } from './turns.js'
import { Uploads } from './uploads.js'

const cutOffs = 'connections that were cut off'
const stalled = 'does not read its replies; connection closed'

/** Means that the server lends to each of its sessions. */
export interface SessionHost {
  readonly users: Users
  readonly identity: Identity
  /** For the parts of pieces that arrive. */
  readonly memory: PageMemory | undefined
  readonly accounts: Accounts
  /** Peers that may come without TLS. */
  readonly plainFrom: PlainFrom
  readonly turns: Turns
  readonly frames: FrameShares
  readonly uploads: UploadShares
  readonly traffic: Traffic
  readonly clock: Clock
  readonly random: Random
  /** Forgets the session, which has ended. */
  closed(session: Session): void
}

interface Opened {
  readonly account: Account
  readonly receiver: FrameReceiver
  readonly requests: Requests
  readonly uploads: Uploads
  readonly lessee: Lessee
}

/** A session that is logged in, and waits for another client that counts on being alone. */
interface Entering {
  readonly account: Account
  readonly lessee: Lessee
}

export class Session implements ConnectionEvents {
  readonly #connection: Connection
  readonly #host: SessionHost
  readonly #handshake: Handshake
  #parser = this.#newParser(limits.handshakeFrameBytesMax)
  #frames: Frame[] = []
  #entering: Entering | undefined
  #opened: Opened | undefined
  #login: Login | undefined
  /** The last frame of the handshake is still being answered. */
  #isStepping = false
  #phase: 'handshake' | 'entering' | 'open' | 'draining' | 'closing' | 'closed' = 'handshake'
  #deadline: Timer | undefined
  /** Ends a session that was opened with an old password. */
  #revoking: Timer | undefined
  /** Bytes of memory for the frame that is arriving. */
  #arriving = 0
  readonly #arrived = { bytes: 0, frames: 0, wasHeldBack: false }
  #stalling: Timer | undefined
  /** Why the peer is not read from. */
  readonly #heldBackBy = new Set<'requests' | 'memory'>()
  /** Ends the connection when the account cannot go on. */
  readonly #end = (): void => this.#connection.destroy()

  constructor(connection: Connection, host: SessionHost) {
    this.#connection = connection
    this.#host = host
    this.#handshake = new Handshake(host, connection)
    this.#limit(limits.handshakeTimeoutMs, 'no authentication in time')
  }

  get isAuthenticated(): boolean {
    return this.#opened !== undefined
  }

  buffer(): Buffer {
    return this.#parser.buffer()
  }

  data(bytes: Buffer): void {
    this.#host.traffic.receivedBytes += bytes.length
    if (this.#phase === 'entering') {
      this.#refuse(0, new DfsError('protocol', 'a message out of order'))
      return
    }
    if (this.#phase !== 'handshake' && this.#phase !== 'open') return
    let error: DfsError | undefined
    try {
      this.#parser.feed(bytes)
    } catch (thrown) {
      error = asDfsError(thrown)
    }
    const frames = this.#frames
    this.#frames = []
    if (this.#opened === undefined) void this.#authenticate(frames, error)
    else {
      this.#noteArrival(this.#opened.receiver, bytes.length, frames.length)
      this.#opened.account.lease.heard(this.#opened.lessee)
      this.#opened.requests.add(frames, error)
    }
  }

  drained(): void {
    this.#opened?.requests.drained()
  }

  closed(reason: Error | undefined): void {
    this.#phase = 'closed'
    this.#deadline?.cancel()
    this.#revoking?.cancel()
    debugDfs('%s: closed %s', this.#connection.remote, reason?.message ?? '')
    this.#parser.close()
    this.#stalling?.cancel()
    this.#leaveEntrance()
    if (this.#opened !== undefined) this.#host.frames.end(this.#opened.receiver)
    this.#opened?.account.lease.leave(this.#opened.lessee)
    if (isError(reason, 'timedOut') && this.#opened !== undefined) {
      this.#tellCutOff(this.#opened.account.user, stalled)
    }
    this.#opened?.requests.stop()
    this.#opened?.uploads.abandon()
    this.#leaveIfIdle()
  }

  /** Ends a session that has not logged in, at once. */
  cutOff(why: string): void {
    debugDfs('%s: cut off: %s', this.#connection.remote, why)
    this.#connection.destroy()
  }

  /**
   * Ends the session when its user is gone or has another password by now: at once, but where only the time of an old
   * password is over, one server after another.
   */
  endIfRevoked(): void {
    if (this.#login === undefined || this.#phase === 'closed') return
    const { users, clock } = this.#host
    const { user, keys } = this.#login
    if (users.isCurrent(user, keys)) return
    const position = this.#opened?.account.membership.position ?? 0
    if (position === 0 || !users.hasEnded(user, keys)) {
      this.#revoke(user)
      return
    }
    const delayMs = position * limits.oldPasswordStepMs
    this.#revoking ??= clock.after(delayMs, () => this.#revoke(user))
  }

  #revoke(user: string): void {
    notice(
      `${user} at ${this.#connection.remote}: the user was removed or has another password: cut off`,
      'warning',
    )
    this.#connection.destroy()
  }

  /** Takes no more requests, answers those in progress, and closes. */
  drain(): void {
    if (this.#phase === 'handshake' || this.#phase === 'entering') this.#connection.destroy()
    if (this.#phase !== 'open') return
    this.#phase = 'draining'
    this.#leaveIfIdle()
  }

  #newParser(bytesMax: number, memory?: FrameMemory): FrameParser {
    return new FrameParser((frame) => this.#frames.push(frame), bytesMax, memory)
  }

  /**
   * The peer has to wait for every answer, so that more than one frame at once is out of order. Never
   * rejects.
   */
  async #authenticate(frames: readonly Frame[], error: DfsError | undefined): Promise<void> {
    const [frame, second] = frames
    const isEarly = second !== undefined || (frame !== undefined && this.#isStepping)
    if (error !== undefined || isEarly) {
      this.#refuse(0, error ?? new DfsError('protocol', 'a message out of order'))
      return
    }
    if (frame === undefined) return
    this.#isStepping = true
    try {
      const { reply, login } = await this.#handshake.step(frame)
      // It may have been closed or refused meanwhile.
      if (this.#phase !== 'handshake') return
      if (login === undefined) this.#connection.send(reply)
      else this.#enter(login, reply)
    } catch (thrown) {
      if (thrown instanceof AssertionError) throw thrown
      if (this.#phase === 'handshake') this.#refuse(frame.id, asDfsError(thrown))
    } finally {
      this.#isStepping = false
    }
  }

  /** Another client of the user may have to be told first; `welcome` is sent when it was. */
  #enter(login: Login, welcome: Parts): void {
    assert.equal(this.#phase, 'handshake')
    const { user, client, scope, version } = login
    this.#login = login
    const account = this.#host.accounts.acquire(user, this.#end)
    try {
      account.membership.assertIs(scope)
    } catch (thrown) {
      this.#host.accounts.release(account, this.#end)
      throw thrown
    }
    const recall = (): void => this.#connection.send(recallFrame())
    const lessee: Lessee = { client, recall }
    this.#entering = { account, lessee }
    this.#phase = 'entering'
    account.lease.admit(lessee, () => {
      this.#entering = undefined
      this.#open(account, lessee, version)
      this.#connection.send(welcome)
    })
  }

  #leaveEntrance(): void {
    if (this.#entering === undefined) return
    this.#entering.account.lease.leave(this.#entering.lessee)
    this.#host.accounts.release(this.#entering.account, this.#end)
    this.#entering = undefined
  }

  #open(account: Account, lessee: Lessee, version: number): void {
    assert.equal(this.#phase, 'entering')
    assert.equal(this.#opened, undefined)
    const { accounts, clock, turns } = this.#host
    const { user } = account
    const uploads = new Uploads(account, clock, this.#host.uploads)
    const { traffic } = this.#host
    const context = { account, version, uploads, lessee, traffic }
    const share = (all: number): number =>
      all * Math.min(1, limits.fullShareConnections / accounts.connections)
    const requests = new Requests(this.#connection, context, clock, share, turns, {
      broken: (id, error) => this.#refuse(id, error),
      stalled: () => {
        this.#tellCutOff(user, stalled)
        this.#connection.destroy()
      },
      holdBack: (isHeldBack) => this.#holdBack('requests', isHeldBack),
      idle: () => this.#leaveIfIdle(),
    })
    const receiver = {
      user,
      holdBack: (isHeldBack: boolean) => this.#holdBack('memory', isHeldBack),
    }
    this.#opened = { account, receiver, requests, uploads, lessee }
    this.#phase = 'open'
    const { memory } = this.#host
    this.#parser = this.#newParser(limits.frameBytesMax, memory && forPieces(memory))
    this.#parser.version = version
    this.#deadline?.cancel()
    debugDfs('%s: %s logged in, version %d', this.#connection.remote, user, version)
  }

  /** Notes how much of a large frame is arriving, and begins to watch whether it gets on. */
  #noteArrival(receiver: FrameReceiver, bytes: number, frames: number): void {
    this.#arrived.bytes += bytes
    this.#arrived.frames += frames
    const { heldBytes } = this.#parser
    if (heldBytes === this.#arriving && frames === 0) return
    if (this.#arriving > 0) this.#host.frames.end(receiver)
    this.#arriving = heldBytes
    if (heldBytes === 0) return
    this.#host.frames.begin(receiver, heldBytes)
    this.#stalling ??= this.#watchArrival()
  }

  /** Ends the connection when what is arriving got on too little for `frameStallMs`, in which it was read from. */
  #watchArrival(): Timer {
    const before = { ...this.#arrived }
    return this.#host.clock.after(limits.frameStallMs, () => {
      this.#stalling = undefined
      if (this.#arriving === 0) return
      const gotOn =
        this.#heldBackBy.size > 0 ||
        this.#arrived.wasHeldBack ||
        this.#arrived.frames > before.frames ||
        this.#arrived.bytes - before.bytes >= limits.frameProgressBytes
      this.#arrived.wasHeldBack = false
      if (gotOn) {
        this.#stalling = this.#watchArrival()
        return
      }
      const why = 'cut off: a message does not come to its end'
      const { user = '' } = this.#opened?.account ?? {}
      this.#tellCutOff(user, why)
      this.#connection.destroy()
    })
  }

  #holdBack(why: 'requests' | 'memory', isHeldBack: boolean): void {
    const wasHeldBack = this.#heldBackBy.size > 0
    if (isHeldBack) this.#heldBackBy.add(why)
    else this.#heldBackBy.delete(why)
    const isNow = this.#heldBackBy.size > 0
    this.#arrived.wasHeldBack ||= wasHeldBack
    if (isNow !== wasHeldBack) this.#connection.pause(isNow)
  }

  #tellCutOff(user: string, why: string): void {
    notice(`${user} at ${this.#connection.remote} ${why}`, 'warning', `${user}: ${cutOffs}`)
  }

  /** Says why, and closes; a wrong name or password learns it late, so that guessing takes long. */
  #refuse(id: number, error: DfsError): void {
    this.#phase = 'closing'
    this.#leaveEntrance()
    this.#opened?.requests.stop()
    const user = this.#opened?.account.user ?? this.#handshake.claimedUser
    // A disk that does not work was told of, and everybody comes again until it does.
    if (error.code !== 'disk') {
      // One client that has a wrong password for days hides no others. Names that nobody has are of one kind.
      const whose = this.#host.users.knows(user) ? `${user}: ` : ''
      notice(
        `${JSON.stringify(user)} at ${this.#connection.remote} refused: ${error.message}`,
        'warning',
        `${whose}connections that were refused`,
      )
    }
    const close = (): void => {
      this.#connection.send(failure(id, error))
      this.#close()
    }
    const delayMs = error.code === 'authentication' ? limits.authenticationFailureDelayMs : 0
    this.#deadline?.cancel()
    if (delayMs === 0) close()
    else this.#deadline = this.#host.clock.after(delayMs, close)
  }

  #close(): void {
    this.#phase = 'closing'
    // A peer that is not read from is not heard to close either.
    if (this.#heldBackBy.size > 0) this.#connection.pause(false)
    this.#heldBackBy.clear()
    this.#connection.end()
    this.#limit(limits.connectionCloseMs, 'the last replies were not taken')
  }

  #limit(delayMs: number, why: string): void {
    this.#deadline?.cancel()
    this.#deadline = this.#host.clock.after(delayMs, () => {
      debugDfs('%s: cut off: %s', this.#connection.remote, why)
      this.#connection.destroy()
    })
  }

  /**
   * Lets go of the account and ends the session, unless something is in progress, which keeps the account open,
   * also when the connection is gone.
   */
  #leaveIfIdle(): void {
    if (this.#opened?.requests.isIdle === false) return
    if (this.#phase === 'draining') this.#close()
    if (this.#phase !== 'closed') return
    if (this.#opened !== undefined) this.#host.accounts.release(this.#opened.account, this.#end)
    this.#opened = undefined
    this.#host.closed(this)
  }
}

/** Only what is done with when it was answered may come in memory that is used again. */
function forPieces(memory: PageMemory): FrameMemory {
  return {
    take: (kind, length) => {
      const isPart = kind === messages.putPiece.number
      const isBig = length > limits.blockBytes && length <= pageBufferBytes
      return isPart && isBig ? memory.take() : undefined
    },
    give: (buffer) => memory.give(buffer),
  }
}
