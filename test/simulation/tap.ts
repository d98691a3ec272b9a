/**
 * Listens on every simulated connection and keeps what the servers and clients agree on: the body of
 * each transaction, the votes and acceptances that reached a client, and every decision. From this
 * the checker knows what was committed, without touching the program's code.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { Reader } from '../../src/wire/codec.js'
import { type Frame, FrameParser, frameKind } from '../../src/wire/frame.js'
import { failureCodec, messages, type Verb, verbOfNumber } from '../../src/wire/messages.js'
import type { Key, Transaction } from '../../src/wire/records.js'
import { type Version, versionCodec } from '../../src/wire/version.js'
import type { Operation } from './history.js'
import type { Listening } from './network.js'

/** The operation that the running code belongs to. */
export const currentOperation = new AsyncLocalStorage<Operation>()

/** One transaction, as the messages about it tell. */
export interface Seen {
  readonly id: Version
  body: Transaction | undefined
  readonly firstSentMs: number
  /** The client that sent it first. */
  client: string
  /** Absent: nobody knows yet. */
  isCommitted?: boolean
  /** When the first client could know the decision. */
  decidedMs: number
  readonly yes: Set<string>
  /** By ballot and value: who accepted. */
  readonly accepted: Map<string, Set<string>>
}

export interface TapOptions {
  readonly nowMs: () => number
  readonly violation: (text: string) => void
  /** A client begins to send a transaction; `isAgain`: not for the first time. */
  readonly onCommit: (client: string, isAgain: boolean, id: Version, body: Transaction) => void
  /** A repair is about to send a server what it lacks. */
  readonly onInstall: (client: string, server: string, keys: readonly Key[]) => void
  /** One line for every message, when somebody wants to read it. */
  readonly trace: ((line: string) => void) | undefined
}

const quorum = 3
const logins: ReadonlySet<number> = new Set([messages.hello.number, messages.authenticate.number])

/** The subject of a reply that is awaited. */
interface Asked {
  readonly verb: 'commit' | 'accept'
  readonly id: Version
  readonly ballot: number
  readonly isCommit: boolean
}

export class Tap {
  readonly transactions = new Map<Version, Seen>()
  messageCount = 0
  readonly #options: TapOptions

  constructor(options: TapOptions) {
    this.#options = options
  }

  /** For one connection. On a detour a client must get no further than to a refused login. */
  listen(client: string, server: string, isDetour = false): Listening {
    const asked = new Map<number, Asked>()
    const verbs = new Map<number, Verb>()
    const { trace } = this.#options
    const requests = new FrameParser((frame) => {
      this.messageCount += 1
      if (trace) trace(`${client} > ${server} ${describeRequest(frame, verbs)}`)
      if (isDetour && !logins.has(frame.kind)) {
        this.#options.violation(`${client} takes ${server} for another server`)
      }
      const about = this.#request(frame, client, server)
      if (about !== undefined) asked.set(frame.id, about)
    })
    const replies = new FrameParser((frame) => {
      this.messageCount += 1
      if (trace) trace(`${client} < ${server} ${describeReply(frame, verbs)}`)
      const about = asked.get(frame.id)
      if (about === undefined) return
      asked.delete(frame.id)
      if (frame.kind !== frameKind.failure) this.#reply(server, about, frame)
    })
    return {
      request: (bytes) => requests.feed(bytes),
      reply: (bytes) => replies.feed(bytes),
    }
  }

  /** Takes note that somebody knows how the transaction was decided. */
  #decided(id: Version, isCommitted: boolean, how: string, body?: Transaction | null): void {
    const seen = this.#seen(id)
    seen.body ??= body ?? undefined
    if (seen.isCommitted === undefined) {
      seen.isCommitted = isCommitted
      seen.decidedMs = this.#options.nowMs()
      this.#options.trace?.(`== ${id} ${isCommitted ? 'committed' : 'aborted'} ${how}`)
    } else if (seen.isCommitted !== isCommitted) {
      this.#options.violation(`split decision: ${id} is also ${isCommitted} ${how}`)
    }
  }

  #seen(id: Version): Seen {
    const known = this.transactions.get(id)
    if (known !== undefined) return known
    const fresh: Seen = {
      id,
      body: undefined,
      firstSentMs: this.#options.nowMs(),
      client: '',
      decidedMs: Number.POSITIVE_INFINITY,
      yes: new Set(),
      accepted: new Map(),
    }
    this.transactions.set(id, fresh)
    return fresh
  }

  #request({ kind, reader }: Frame, client: string, server: string): Asked | undefined {
    switch (kind) {
      case messages.commit.number:
      case messages.commitSynced.number: {
        const id = versionCodec.read(again(reader))
        const known = this.transactions.get(id)
        if (known?.body !== undefined) {
          const isAgain = known.firstSentMs < this.#options.nowMs()
          this.#options.onCommit(client, isAgain, id, known.body)
        } else {
          const { body, settles } = messages.commit.request.read(reader)
          for (const settle of settles) {
            this.#decided(settle.id, settle.commit, 'settled', settle.body)
          }
          const seen = this.#seen(id)
          seen.body = body
          seen.client = client
          currentOperation.getStore()?.transactions.push(id)
          this.#options.onCommit(client, false, id, body)
        }
        return { verb: 'commit', id, ballot: 0, isCommit: true }
      }
      case messages.accept.number: {
        const { id, ballot, commit } = messages.accept.request.read(reader)
        return { verb: 'accept', id, ballot, isCommit: commit }
      }
      case messages.decide.number: {
        for (const { id, commit, body } of messages.decide.request.read(reader).decisions) {
          this.#decided(id, commit, 'decide', body)
        }
        return undefined
      }
      case messages.mark.number: {
        for (const { id, commit } of messages.mark.request.read(reader).decisions) {
          this.#decided(id, commit, 'mark')
        }
        return undefined
      }
      case messages.install.number: {
        const { registers } = messages.install.request.read(reader)
        const keys = registers.filter(({ value }) => value !== null).map(({ key }) => key)
        this.#options.onInstall(client, server, keys)
        return undefined
      }
      case messages.fill.number: {
        for (const { id, commit } of messages.fill.request.read(reader).decisions) {
          this.#decided(id, commit, 'fill')
        }
        return undefined
      }
      default:
        return undefined
    }
  }

  #reply(server: string, { verb, id, ballot, isCommit }: Asked, { reader }: Frame): void {
    const seen = this.#seen(id)
    const { outcome } =
      verb === 'commit' ? messages.commit.reply.read(reader) : messages.accept.reply.read(reader)
    if (outcome === 'committed' || outcome === 'aborted') {
      this.#decided(id, outcome === 'committed', `says ${server}`)
    } else if (outcome === 'yes') {
      seen.yes.add(server)
      if (seen.yes.size === quorum) this.#decided(id, true, 'by votes')
    } else if (outcome === 'accepted') {
      const ballotKey = `${ballot} ${isCommit}`
      const accepted = seen.accepted.get(ballotKey) ?? new Set()
      seen.accepted.set(ballotKey, accepted.add(server))
      if (accepted.size === quorum) this.#decided(id, isCommit, 'by ballot')
    }
  }
}

function describeRequest(frame: Frame, verbs: Map<number, Verb>): string {
  const verb = verbOfNumber(frame.kind)
  if (verb === undefined) return `? ${frame.kind}`
  verbs.set(frame.id, verb)
  return `#${frame.id} ${verb} ${describe(messages[verb].request.read(again(frame.reader)))}`
}

function describeReply(frame: Frame, verbs: Map<number, Verb>): string {
  const verb = verbs.get(frame.id)
  verbs.delete(frame.id)
  if (verb === undefined) return `#${frame.id} ?`
  if (frame.kind === frameKind.failure) {
    return `#${frame.id} ${verb} FAILED ${describe(failureCodec.read(again(frame.reader)))}`
  }
  return `#${frame.id} ${verb} ${describe(messages[verb].reply.read(again(frame.reader)))}`
}

/** Returns a second reader of the same fields. */
function again(reader: Reader): Reader {
  return new Reader(reader.bytes, reader.bytes.length - reader.remaining)
}

const dull = new Set(['stamp', 'checksums', 'atime', 'btime', 'incarnation'])

/** Fields as text, without what never matters. */
function describe(fields: unknown): string {
  return JSON.stringify(fields, (key, value: unknown) => {
    if (dull.has(key)) return undefined
    const data = (value as { type?: unknown; data?: unknown } | null)?.data
    if (Array.isArray(data))
      return `<${Buffer.from(data as number[])
        .toString('hex')
        .slice(0, 24)}>`
    return value
  })
}
