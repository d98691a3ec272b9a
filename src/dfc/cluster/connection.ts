/**
 * One authenticated connection to one server: requests are multiplexed by id and answered in any order. It is closed
 * when the server breaks the protocol, or owes an answer and is silent for the time-out; every open request then
 * fails with `down`.
 */
import type { Clock, Random, Timer } from '../../clock.js'
import { codeOfWireNumber, DfsError, type ErrorCode } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugWire } from '../../log.js'
import { type PageMemory, pageBufferBytes } from '../../memory/page-memory.js'
import type { Connection, Network, Target } from '../../network.js'
import { type Frame, type FrameMemory, FrameParser, frame, frameKind } from '../../wire/frame.js'
import { encodeLoginScope } from '../../wire/login-scope.js'
import { failureCodec, messages, type Reply, type Request, type Verb } from '../../wire/messages.js'
import { isInRange, protocolVersions } from '../../wire/protocol-versions.js'
import { ScramClient, type ScramCredentials, saltOfServerFirst } from '../../wire/scram.js'

export interface ServerConnectionOptions {
  /** The name of the server in messages. */
  readonly name: string
  readonly address: Target
  /** Returns the user and password for the next login. */
  readonly credentials: () => ScramCredentials
  /** Time in ms after which a silent server that owes an answer counts as down. */
  readonly timeoutMs: number
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  /** Memory that whole parts of pieces are received into. The receiver of an answer gives it back by `release`. */
  readonly memory?: PageMemory | undefined
  /** Id of the client in the versions that it writes, the same on all its connections. */
  readonly client: string
  /** Called when the server recalls its lease. */
  readonly onRecall: () => void
  /** Position of the server in the config, 0 .. 3. */
  readonly index: number
  /** The cluster that the login is meant for, as far as it is known: 16 bytes, hexadecimal. */
  readonly cluster: () => string | undefined
  /** Called before anything is sent over TLS, with the name of the server's key; throws when nothing must be. */
  readonly keyShown: (key: string) => void
  /** Called before anything is proved to a server; rejects when nothing must be. */
  readonly greeted: (greeting: Greeting) => Promise<void>
  /** Called once, when the connection is closed. `isSilent`: the server has not answered for the whole time-out. */
  readonly onClosed: (reason: DfsError, isSilent: boolean) => void
  /** Called with the time in ms that each answer took, and whether it is a failure. */
  readonly onAnswer?: (tookMs: number, isFailure: boolean) => void
}

/** The part of a server's identity that it shows before either side has proved anything. */
export interface Greeting {
  /** 16 bytes, hexadecimal. */
  readonly server: string
  /** The salt of this user's password there, in base64. */
  readonly salt: string
}

export interface Answer<V extends Verb> {
  readonly reply: Reply<V>
  /** Raw bytes behind the reply's fields; empty for most verbs. */
  readonly payload: Buffer
  /** Gives back the memory of the payload, if that is lent. The payload must not be read afterwards. */
  readonly release: (() => void) | undefined
}

interface Pending {
  readonly verb: Verb
  readonly sentMs: number
  resolve(answer: Answer<never>): void
  reject(error: DfsError): void
}

/** Converts a server's failure to an error. That of a full disk names the server. */
function failureOf(server: string, code: ErrorCode, message: string): DfsError {
  if (code === 'noSpace') return new DfsError(code, `No space left on ${server}`)
  if (code === 'version') return new DfsError(code, `${message} (docs/operating.md: Upgrade)`)
  return new DfsError(code, message)
}

const noPayload: readonly Uint8Array[] = []
const checksPerTimeout = 8
/**
 * Time in ms in which a server lets a client in: it waits until the lease of another client was returned or has run
 * out.
 */
const entryMs = limits.leaseMs + limits.leaseSlackMs + 500

export class ServerConnection {
  readonly #options: ServerConnectionOptions
  readonly #pending = new Map<number, Pending>()
  readonly #parser: FrameParser
  #connection: Connection | undefined
  #closedBy: DfsError | undefined
  #nextId = 1
  #isEntering = false
  #isAuthenticated = false
  #answeredMs = Number.NEGATIVE_INFINITY
  #heardMs = 0
  #watch: Timer | undefined
  /** Whether a ping was sent since the last bytes from the server. */
  #isAsked = false

  private constructor(options: ServerConnectionOptions) {
    this.#options = options
    const memory = options.memory && forPieces(options.memory)
    const onFrame = (received: Frame): void => this.#onFrame(received)
    this.#parser = new FrameParser(onFrame, limits.frameBytesMax, memory)
  }

  /**
   * Connects and authenticates. Throws `down`, `version`, or `authentication`; also on a server that
   * cannot show that it knows the password.
   */
  static async open(options: ServerConnectionOptions): Promise<ServerConnection> {
    const connection = new ServerConnection(options)
    connection.#connection = await options.network.connect(options.address, options.timeoutMs, {
      buffer: () => connection.#parser.buffer(),
      data: (bytes) => connection.#onData(bytes),
      closed: (cause) => {
        // From now on nothing is received into the memory of an incomplete frame.
        connection.#parser.close()
        connection.#close(new DfsError('down', 'connection closed', { cause }))
      },
      drained: () => {},
    })
    try {
      const { exporter, serverKey } = connection.#connection
      if (options.address.tls === true) options.keyShown(serverKey ?? 'none')
      await connection.#logIn(exporter)
      return connection
    } catch (error) {
      connection.close()
      // It may have been closed by what arrived before it was known.
      connection.#connection.destroy()
      throw error
    }
  }

  async #logIn(exporter: Buffer | undefined): Promise<void> {
    const { credentials, random, client, index: position, cluster, greeted } = this.#options
    const scram = new ScramClient(credentials(), random.bytes(18), exporter)
    const clientFirst = scram.first()
    const hello = await this.request('hello', {
      ...protocolVersions,
      client,
      position,
      clientFirst,
    })
    const { version, server, serverFirst } = hello.reply
    if (!isInRange(protocolVersions, version)) {
      throw new DfsError(
        'version',
        `The server has chosen version ${version}, which was not offered`,
      )
    }
    this.#parser.version = version
    await greeted({ server, salt: saltOfServerFirst(serverFirst) })
    const scope = encodeLoginScope({
      server,
      position,
      cluster: cluster() ?? null,
      speaks: protocolVersions,
      version,
    })
    const clientFinal = await scram.final(serverFirst, scope)
    this.#isEntering = true
    const { reply } = await this.request('authenticate', { clientFinal })
    this.#isEntering = false
    scram.verify(reply.serverFinal)
    this.#isAuthenticated = true
  }

  /** The version of the protocol that both sides speak, once the server has answered `hello`. */
  get version(): number | undefined {
    return this.#parser.version
  }

  /** Over TLS: the name of the server's key. */
  get serverKey(): string | undefined {
    return this.#connection?.serverKey
  }

  get isOpen(): boolean {
    return this.#closedBy === undefined
  }

  /** When the latest request was sent that the server has answered, on the monotonic clock. */
  get answeredMs(): number {
    return this.#answeredMs
  }

  get pendingCount(): number {
    return this.#pending.size
  }

  /** Bytes queued towards the server. */
  get queuedBytes(): number {
    return this.#connection?.queuedBytes ?? 0
  }

  /** Sends a request; resolves with the answer, rejects with the server's failure or `down`. */
  request<V extends Verb>(
    verb: V,
    fields: Request<V>,
    payload: readonly Uint8Array[] = noPayload,
  ): Promise<Answer<V>> {
    const connection = this.#connection
    if (this.#closedBy !== undefined || connection === undefined) {
      return Promise.reject(this.#closedBy ?? new DfsError('down'))
    }
    const id = this.#nextId
    this.#nextId = (id % 0xffff_ffff) + 1
    const { number, request } = messages[verb]
    const parts = frame(number, id, request as never, fields, payload, this.version)
    return new Promise((resolve, reject) => {
      const sentMs = this.#options.clock.monotonic()
      if (this.#pending.size === 0) this.#heardMs = sentMs
      this.#pending.set(id, { verb, sentMs, resolve: resolve as Pending['resolve'], reject })
      connection.send(parts)
      this.#startWatch()
    })
  }

  close(): void {
    this.#close(new DfsError('down', 'closed by this client'))
  }

  #onData(bytes: Buffer): void {
    this.#heardMs = this.#options.clock.monotonic()
    try {
      this.#parser.feed(bytes)
    } catch (cause) {
      this.#close(new DfsError('down', 'the server violated the protocol', { cause }))
    }
  }

  #onFrame({ kind, id, reader, release }: Frame): void {
    if (kind === frameKind.recall) {
      // Whoever answers at the address would make this client drop what it knows.
      if (!this.#isAuthenticated) throw new DfsError('protocol', 'a recall before the login')
      this.#options.onRecall()
      return
    }
    const pending = this.#pending.get(id)
    if (pending === undefined) throw new DfsError('protocol', `answer to no request: ${id}`)
    if (pending.sentMs > this.#answeredMs) this.#answeredMs = pending.sentMs
    // The bytes of this answer have just come, and have set it.
    this.#options.onAnswer?.(this.#heardMs - pending.sentMs, kind === frameKind.failure)
    if (kind === frameKind.failure) {
      const { code, message } = failureCodec.read(reader)
      this.#pending.delete(id)
      pending.reject(failureOf(this.#options.name, codeOfWireNumber(code), message))
      return
    }
    const expected = messages[pending.verb]
    if (kind !== expected.number + frameKind.reply) throw new DfsError('protocol', 'wrong reply')
    const reply = expected.reply.read(reader) as never
    if (expected.payload !== 'reply' && reader.remaining > 0) {
      throw new DfsError('protocol', `${reader.remaining} bytes too many in ${pending.verb}`)
    }
    this.#pending.delete(id)
    pending.resolve({ reply, payload: reader.rest(), release })
  }

  /**
   * Watches a server that owes answers: pings it after half the time-out, and closes the connection after all of it.
   * When this process was stopped or stalled, the check comes late and proves nothing about the server: then the time
   * begins anew. No ping is sent before the server has let this client in, because until then it accepts one message
   * at a time.
   */
  #startWatch(): void {
    if (this.#watch !== undefined) return
    const { clock } = this.#options
    const timeoutMs = this.#isEntering
      ? Math.max(this.#options.timeoutMs, entryMs)
      : this.#options.timeoutMs
    const every = timeoutMs / checksPerTimeout
    const due = clock.monotonic() + every
    this.#watch = clock.after(every, () => {
      this.#watch = undefined
      if (this.#pending.size === 0 || !this.isOpen) return
      const now = clock.monotonic()
      if (now > due + every) this.#heardMs = now
      const silentMs = now - this.#heardMs
      if (silentMs >= timeoutMs) {
        this.#close(new DfsError('down', `no answer for ${Math.round(silentMs)} ms`), true)
        return
      }
      const isDue = silentMs >= timeoutMs / 2
      if (isDue && !this.#isAsked && this.#isAuthenticated) {
        this.request('ping', {}).catch((error: unknown) => debugWire('ping: %o', error))
      }
      this.#isAsked = isDue
      this.#startWatch()
    })
  }

  #close(reason: DfsError, isSilent = false): void {
    if (this.#closedBy !== undefined) return
    this.#closedBy = reason
    this.#watch?.cancel()
    this.#connection?.destroy()
    for (const pending of this.#pending.values()) pending.reject(reason)
    this.#pending.clear()
    this.#options.onClosed(reason, isSilent)
  }
}

/** A part that fills the memory: smaller ones would keep a cache from holding what it counts. */
function forPieces(memory: PageMemory): FrameMemory {
  return {
    take: (kind, length) => {
      const isPart = kind === messages.getPiece.number + frameKind.reply
      const isWhole = length > limits.framePayloadBytesMax && length <= pageBufferBytes
      return isPart && isWhole ? memory.take() : undefined
    },
    give: (buffer) => memory.give(buffer),
  }
}
