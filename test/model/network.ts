/** Messages between clients and servers: late, lost, or cut off for a while. */
import { serverIndexes } from '../../src/wire/placement.js'
import type { Context } from './context.js'
import type { Message, Reply } from './messages.js'
import type { Server } from './server.js'

/** One message in fifty is late, by up to this many ticks. */
const lateShare = 0.02
const lateMin = 100
const lateMore = 2500
/** One in seven is slow. */
const slowShare = 0.15
const slowMin = 10
const slowMore = 60
const ordinaryMore = 8
const quietMore = 3

export class Network {
  readonly servers: readonly Server[]
  readonly #context: Context
  /** By client and server: until when nothing passes between them. */
  readonly #cutUntil: readonly number[][]

  constructor(context: Context, servers: readonly Server[], clientCount: number) {
    this.#context = context
    this.servers = servers
    this.#cutUntil = Array.from({ length: clientCount }, () => serverIndexes.map(() => 0))
  }

  cut(client: number, server: number, until: number): void {
    const cuts = this.#cutUntil[client]
    if (cuts) cuts[server] = until
  }

  /** Sends a message; `receive` gets the reply, unless one of the two is lost. */
  send(client: number, server: Server, message: Message, receive: (reply: Reply) => void): void {
    const { counts, events } = this.#context
    counts.messages += 1
    if (this.#isLost(client, server.index)) {
      counts.lost += 1
      return
    }
    const deliver = () => {
      if (!server.isUp) return
      if (server.pausedUntil > events.now) {
        events.at(server.pausedUntil + this.#context.chance.below(5), deliver)
        return
      }
      const reply = server.handle(message)
      this.#context.trace?.(`s${server.index} <- c${client} ${asText(message)} => ${asText(reply)}`)
      this.#sendBack(client, server.index, message, () => receive(reply))
    }
    events.after(this.#delay(), deliver)
  }

  #sendBack(client: number, server: number, message: Message, receive: () => void): void {
    if (this.#isLost(client, server) || this.#isUnheard(message)) this.#context.counts.lost += 1
    else this.#context.events.after(this.#delay(), receive)
  }

  #isLost(client: number, server: number): boolean {
    const { events, isQuiet, chance, options } = this.#context
    if (isQuiet) return false
    const cutUntil = this.#cutUntil[client]?.[server] ?? 0
    return cutUntil > events.now || chance.happens(options.loss)
  }

  #isUnheard(message: Message): boolean {
    const { isQuiet, chance, options } = this.#context
    if (options.deafness === 0 || isQuiet) return false
    return message.kind === 'commit' && message.isFirstRound && chance.happens(options.deafness)
  }

  #delay(): number {
    const { isQuiet, chance, counts } = this.#context
    if (isQuiet) return 1 + chance.below(quietMore)
    const drawn = chance.fraction()
    if (drawn < lateShare) {
      counts.late += 1
      return lateMin + chance.below(lateMore)
    }
    return drawn < slowShare ? slowMin + chance.below(slowMore) : 1 + chance.below(ordinaryMore)
  }
}

/** A message or a body for the trace: registers and records only by their number. */
export function asText(traced: unknown): string {
  return JSON.stringify(traced, (field, value: unknown) => {
    if (field === 'epoch' || field === 'incarnation') return undefined
    if (field === 'records' && Array.isArray(value)) return `#${value.length}`
    if (field === 'registers' && value instanceof Map) return `#${value.size}`
    return value instanceof Map ? Object.fromEntries(value) : value
  })
}
