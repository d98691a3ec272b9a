/**
 * The requests of one authenticated connection: run in the order of their arrival when it is its user's turn, those
 * that are synchronous many to a transaction, and answered with one send. Reading stops while too much is in
 * progress or too many replies are not taken, and a peer that takes none for long is cut off.
 */
import assert from 'node:assert/strict'
import type { Clock, Timer } from '../../clock.js'
import { asDfsError, DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { Connection } from '../../network.js'
import type { Frame } from '../../wire/frame.js'
import {
  failedCall,
  type LaterCall,
  logCall,
  type NowCall,
  type Parts,
  parseCalls,
  runLater,
  runNow,
} from './call.js'
import type { Context } from './handlers.js'
import type { Turns, TurnTaker } from './turns.js'

export interface RequestEvents {
  /** The peer sent what cannot be understood, in frame `id`. Nothing behind it will be run. */
  broken(id: number, error: DfsError): void
  /** The peer has not read its replies for `replyStallMs`. */
  stalled(): void
  /** The peer must (true) or need not wait until there is room for what it sends. */
  holdBack(isHeldBack: boolean): void
  /** Nothing is waiting or in progress any more. */
  idle(): void
}

interface Broken {
  readonly id: number
  readonly error: DfsError
}

export class Requests implements TurnTaker {
  readonly user: string
  readonly #connection: Connection
  readonly #context: Context
  readonly #clock: Clock
  readonly #share: (all: number) => number
  readonly #events: RequestEvents
  readonly #turns: Turns
  #waiting: (NowCall | LaterCall)[] = []
  #broken: Broken | undefined
  #inProgress = 0
  #bytesInProgress = 0
  #paused = false
  #stopped = false
  #stall: Timer | undefined

  /** `share`: what this connection may have of a bound, among all that there are. */
  constructor(
    connection: Connection,
    context: Context,
    clock: Clock,
    share: (all: number) => number,
    turns: Turns,
    events: RequestEvents,
  ) {
    this.#connection = connection
    this.user = context.account.user
    this.#context = context
    this.#clock = clock
    this.#share = share
    this.#turns = turns
    this.#events = events
  }

  get isIdle(): boolean {
    return this.#inProgress === 0 && this.#waiting.length === 0
  }

  /** Takes the frames of one data event, and the error that ended it, if one did. */
  add(frames: readonly Frame[], error: DfsError | undefined): void {
    if (this.#broken !== undefined || this.#stopped) {
      for (const { release } of frames) release?.()
      return
    }
    let id = 0
    let parsed = 0
    const nowMs = performance.now()
    try {
      for (const frame of frames) {
        id = frame.id
        this.#waiting.push(...parseCalls(frame, nowMs))
        parsed += 1
      }
      if (error !== undefined) this.#broken = { id: 0, error }
    } catch (thrown) {
      this.#broken = { id, error: asDfsError(thrown) }
      for (const { release } of frames.slice(parsed)) release?.()
    }
    this.#ask()
  }

  /** The connection's send queue has room again. */
  drained(): void {
    this.#ask()
  }

  /** Runs nothing more; what is in progress goes on. */
  stop(): void {
    this.#stopped = true
    this.#turns.forget(this)
    for (const call of this.#waiting) if (call.kind === 'later') call.release?.()
    this.#waiting = []
    this.#stall?.cancel()
  }

  takeTurn(endMs: number): boolean {
    do {
      const first = this.#waiting[0]
      if (first === undefined || !this.#canRun) break
      if (first.kind === 'now') this.#runTogether(endMs)
      else this.#start(first)
    } while (this.#clock.monotonic() < endMs)
    this.#holdBack()
    if (this.isIdle) this.#events.idle()
    return this.#canRun
  }

  /** Asks for a turn if there is something to run, and holds back the peer until it was given. */
  #ask(): void {
    if (this.#canRun) this.#turns.ask(this)
    this.#holdBack()
  }

  /** Whether the first request can be run now. */
  get #canRun(): boolean {
    const first = this.#waiting[0]
    if (first === undefined || this.#stopped || this.#repliesPileUp) return false
    return first.kind === 'now' || this.#hasRoomFor(first)
  }

  /**
   * Runs the synchronous requests at the head of the queue in one transaction and sends their
   * replies when it is committed. If it cannot be, each gets one of its own, so that only those
   * fail that must.
   */
  #runTogether(endMs: number): void {
    const calls: NowCall[] = []
    let replies: Parts[] = []
    try {
      this.#context.account.index.group(() => {
        let bytes = this.#connection.queuedBytes
        const bytesMax = this.#share(limits.connectionReplyBytesMax)
        for (const call of this.#waiting) {
          const isOver = calls.length > 0 && this.#clock.monotonic() >= endMs
          if (call.kind !== 'now' || bytes > bytesMax || isOver) break
          calls.push(call)
          const reply = this.#runInGroup(call)
          replies.push(reply)
          for (const part of reply) bytes += part.length
        }
      })
    } catch {
      replies = calls.map((call) => this.#runAlone(call))
    }
    this.#waiting.splice(0, calls.length)
    const parts = replies.flat()
    this.#connection.send(parts)
    this.#context.traffic.answered(calls, parts)
  }

  /** A failure that has a name is an answer; any other may have left half a change behind. */
  #runInGroup(call: NowCall): Parts {
    try {
      const reply = runNow(this.#context, call)
      logCall(this.#context, call, 'ok')
      return reply
    } catch (thrown) {
      if (!(thrown instanceof DfsError)) throw thrown
      return failedCall(this.#context, call, thrown)
    }
  }

  #runAlone(call: NowCall): Parts {
    try {
      return this.#context.account.index.group(() => runNow(this.#context, call))
    } catch (thrown) {
      return failedCall(this.#context, call, thrown)
    }
  }

  #start(call: LaterCall): void {
    this.#waiting.shift()
    if (call.isOfPiece) this.#turns.beginDiskWork(this)
    this.#inProgress += 1
    this.#bytesInProgress += call.bytes
    void this.#finish(call)
  }

  /** Never rejects, but for a failed assertion, which is to stop the program. */
  async #finish(call: LaterCall): Promise<void> {
    const { parts, sent } = await runLater(this.#context, call)
    call.release?.()
    this.#inProgress -= 1
    this.#bytesInProgress -= call.bytes
    assert.ok(this.#inProgress >= 0)
    assert.ok(this.#bytesInProgress >= 0)
    this.#connection.send(parts, sent)
    this.#context.traffic.answered([call], parts)
    if (call.isOfPiece) this.#turns.endDiskWork(this)
    this.#ask()
    if (this.isIdle) this.#events.idle()
  }

  get #repliesPileUp(): boolean {
    return this.#connection.queuedBytes > this.#share(limits.connectionReplyBytesMax)
  }

  #hasRoomFor(call: LaterCall): boolean {
    if (call.isOfPiece && !this.#turns.mayBeginDiskWork(this)) return false
    if (this.#inProgress === 0) return true
    const bytes = this.#bytesInProgress + call.bytes
    const bytesMax = this.#share(limits.connectionBytesMax)
    return this.#inProgress < limits.connectionRequestsMax && bytes <= bytesMax
  }

  /**
   * Stops reading while something waits, and counts the time while replies pile up. Says that what cannot be
   * understood is next.
   */
  #holdBack(): void {
    if (this.#stopped) return
    if (this.#broken !== undefined && this.#waiting.length === 0) {
      this.stop()
      this.#events.broken(this.#broken.id, this.#broken.error)
      return
    }
    const pileUp = this.#repliesPileUp
    const pause = pileUp || this.#waiting.length > 0
    if (pause !== this.#paused) this.#events.holdBack(pause)
    this.#paused = pause
    if (pileUp) {
      this.#stall ??= this.#clock.after(limits.replyStallMs, () => this.#events.stalled())
    } else {
      this.#stall?.cancel()
      this.#stall = undefined
    }
  }
}
