/** A client: its clock, what it has learned from servers, and the rounds of messages that its steps are made of. */
import { serverIndexes } from '../../src/wire/placement.js'
import type { Context } from './context.js'
import type { Message, Replies, Reply } from './messages.js'
import type { Network } from './network.js'
import type { Server } from './server.js'
import {
  aheadMax,
  ballotAt,
  ballotMax,
  believedEpoch,
  clockError,
  countedFence,
  roundOf,
  roundTimeout,
  serverCount,
  type Transaction,
  timeOf,
  type Version,
  versionAt,
} from './vocabulary.js'

/** A wait of a step, which goes on when `resume` is called the first time. */
type Wait = (resume: () => void) => void

/** A step of a client. It can end for ever at each wait: then the client has crashed. */
export type Step<Result = void> = Generator<Wait, Result, void>

export class Client {
  readonly index: number
  readonly context: Context
  readonly network: Network
  pausedUntil = 0
  /** Committed transactions whose decision can ride on the next commit. */
  readonly decided: Transaction[] = []
  readonly #skew: number
  /** The epoch that each server has told of last. */
  readonly #epochs = serverIndexes.map(() => 0)
  /** The fence that each server has told of last. */
  readonly #fences = serverIndexes.map(() => 0)
  /** The time of the last version that was made or followed. */
  #time = 0
  /** Times just above a version from the future, each for one transaction alone. */
  readonly #farTimes = new Set<number>()
  #ballotRound = 0
  /** Counts crashes: what was begun before the last one does not go on. */
  #life = 0

  constructor(index: number, network: Network, context: Context) {
    this.index = index
    this.network = network
    this.context = context
    const { skew, clocks } = context.options
    const drawn = context.chance.below(2 * skew) - skew
    this.#skew = clocks ? this.#errorOfClock() : drawn
  }

  /** With `clocks=1`, client 0 believes its own clock, and so do all without the servers' time. */
  #errorOfClock(): number {
    return this.#believesItsClock() ? clockError : 0
  }

  #believesItsClock(): boolean {
    return this.index === 0 || !this.context.rules.serversTime
  }

  /** The median of what the clocks of the servers show, or else this client's own clock. */
  get time(): number {
    const { options, events } = this.context
    if (!options.clocks || this.#believesItsClock()) return events.now + this.#skew
    const offsets = this.network.servers.map(({ clockOffset }) => clockOffset).sort((a, b) => a - b)
    return events.now + ((offsets[1] ?? 0) + (offsets[2] ?? 0)) / 2
  }

  /** The id of a new transaction, above `replaced`. */
  nextId(replaced: Version): Version {
    return this.#areIdsBounded ? this.#boundedId(replaced) : this.#idAbove(replaced)
  }

  get #areIdsBounded(): boolean {
    return this.context.isTimeBounded && this.context.rules.boundedIds
  }

  #idAbove(replaced: Version): Version {
    const now = this.context.events.now + this.#skew
    this.#time = Math.max(this.#time + 1, now, timeOf(replaced) + 1)
    return versionAt(this.#time, this.index)
  }

  /** An id of this time or, to replace something from the future, just above that (0023). */
  #boundedId(replaced: Version): Version {
    this.#time = Math.max(this.#time + 1, this.time)
    const below = timeOf(Math.max(replaced, countedFence(this.#fences)))
    if (this.#time > below) return versionAt(this.#time, this.index)
    let far = below + 1
    while (this.#farTimes.has(far)) far += 1
    this.#farTimes.add(far)
    return versionAt(far, this.index)
  }

  /** The epochs of now: a transaction goes to each server with that which the server has told itself. */
  get epochs(): readonly number[] {
    if (this.context.rules.ownEpochs) return [...this.#epochs]
    return this.#epochs.map(() => Math.max(...this.#epochs))
  }

  /** An epoch above all that are believed. */
  nextEpoch(): number {
    const { rules } = this.context
    const believed = rules.ownEpochs ? believedEpoch(this.#epochs) : Math.max(...this.#epochs)
    return versionAt(timeOf(believed) + 1, this.index)
  }

  /** Takes note of the epoch of a fill that goes on already. */
  seeEpoch(server: number, epoch: number): void {
    this.#epochs[server] = Math.max(this.#epochs[server] ?? 0, epoch)
  }

  nextBallot(): number {
    this.#ballotRound += 1
    return ballotAt(this.#ballotRound, this.index)
  }

  /** Makes the next ballot higher than those which servers have promised to. */
  exceedBallots(replies: readonly Reply[]): void {
    for (const { promisedTo } of replies) {
      if (promisedTo && promisedTo < ballotMax)
        this.#ballotRound = Math.max(this.#ballotRound, roundOf(promisedTo))
    }
  }

  /** Does nothing more of what was begun, and forgets what was to ride along. */
  crash(): void {
    this.abandon()
    this.decided.length = 0
  }

  /** Does nothing more of what was begun. */
  abandon(): void {
    this.#life += 1
  }

  /** Runs a step to its end, with a wait wherever it yields; `done` gets its result. */
  run<Result>(step: Step<Result>, done?: (result: Result) => void): void {
    const life = this.#life
    const { events } = this.context
    const resume = () => {
      if (this.#life !== life) return
      if (this.pausedUntil > events.now) {
        events.at(this.pausedUntil, resume)
        return
      }
      const next = step.next()
      if (next.done) done?.(next.value)
      else next.value(once(resume))
    }
    resume()
  }

  *sleep(delay: number): Step {
    yield (resume) => this.context.events.after(delay, resume)
  }

  /** Sends a message to all four servers, as `ask` does. */
  *askAll(message: Message): Step<Replies> {
    return yield* this.ask(serverIndexes, () => message)
  }

  /** Sends a message to some servers and waits until all have answered, or for the time-out. */
  *ask(servers: readonly number[], messageFor: (server: number) => Message): Step<Replies> {
    const replies: (Reply | undefined)[] = Array.from({ length: serverCount }, () => undefined)
    let answers = 0
    yield (resume) => {
      for (const index of servers) {
        this.network.send(this.index, this.#server(index), messageFor(index), (reply) => {
          replies[index] = reply
          answers += 1
          this.#learn(index, reply)
          if (answers === servers.length) resume()
        })
      }
      this.context.events.after(roundTimeout, resume)
    }
    return replies
  }

  *askOne(server: number, message: Message): Step<Reply | undefined> {
    const replies = yield* this.ask([server], () => message)
    return replies[server]
  }

  #server(index: number): Server {
    const server = this.network.servers[index]
    if (!server) throw new RangeError(`there is no server ${index}`)
    return server
  }

  #learn(server: number, { epoch, above, fence, refusal, version }: Reply): void {
    this.seeEpoch(server, epoch)
    for (const seen of [above, fence, version]) if (seen) this.#follow(seen)
    const told = refusal === 'fence' ? above : fence
    if (told !== undefined) this.#fences[server] = told
  }

  /** Makes the next version higher than one that was seen, unless that is from the future (0023). */
  #follow(version: Version): void {
    if (this.#areIdsBounded && timeOf(version) > this.time + aheadMax / 2) return
    this.#time = Math.max(this.#time, timeOf(version) + 1)
  }
}

function once(action: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    action()
  }
}
