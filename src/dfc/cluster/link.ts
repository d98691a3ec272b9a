/**
 * The link to one of the four servers: connects, reconnects when the connection is lost, and knows whether the server
 * is up. A dead server is awaited here, in the background, once: a request to a server that is down fails at once.
 */
import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { Timer } from '../../clock.js'
import { type ClientConfig, type ServerAddress, usesTls } from '../../config.js'
import { asDfsError, DfsError, type ErrorCode } from '../../errors.js'
import { Latencies } from '../../latencies.js'
import { limits } from '../../limits.js'
import { debugDfc, notice } from '../../log.js'
import type { Request, Verb } from '../../wire/messages.js'
import { type Answer, ServerConnection, type ServerConnectionOptions } from './connection.js'
import type { CurrentConfig } from './current-config.js'

export interface LinkOptions
  extends Omit<ServerConnectionOptions, 'name' | 'address' | 'onClosed' | 'onRecall' | 'onAnswer'> {
  readonly config: CurrentConfig
  /** Position of the server in the config, 0 .. 3. */
  readonly index: number
  /** Returns the key that the server has to show over TLS, if one is known. Throws `configuration`. */
  readonly expectedKey: () => string | undefined
  /** Throws unless a server that has just authenticated may be used. */
  readonly admit: (link: Link, connection: ServerConnection) => Promise<void>
  /** Called when the server cannot be used now: it is down, or refuses, or is refused. */
  readonly onFailed: (link: Link) => void
  /** Called when the server went up or down, or is no longer slow. */
  readonly onChange: (link: Link) => void
  /** Called when the server recalls its lease. */
  readonly onRecall: (link: Link) => void
}

export class Link {
  readonly index: number
  /** True while the account on that server is blank: it stores pieces but neither votes nor counts. */
  blank = false
  /** How long each answer took, and how many of them were failures. */
  readonly latencies = new Latencies()
  failures = 0
  readonly #options: LinkOptions
  #connection: ServerConnection | undefined
  #failure: DfsError | undefined
  #retry: Timer | undefined
  #attempts = 0
  /** Refusals one after the other. */
  #refusals = 0
  /** The knowledge of the latest attempt. */
  #triedWith: Knowledge | undefined
  #closed = false
  #slow: 'perhaps' | 'surely' | undefined
  #probe: Timer | undefined
  #settled: Promise<void> | undefined
  #reconnecting: PromiseWithResolvers<void> | undefined
  #patience: Timer | undefined
  /** Whether no attempt has ended yet: the caller then reports a wrong password. */
  #isFirst = true

  constructor(options: LinkOptions) {
    this.#options = options
    this.index = options.index
  }

  /** The server as the configuration has it now. */
  get server(): ServerAddress {
    const server = this.#options.config.now.servers[this.index]
    assert(server !== undefined, 'a configuration has four servers')
    return server
  }

  get name(): string {
    return this.server.name
  }

  /** Makes the first attempt; resolves when the server is up or known to be down. */
  start(): Promise<void> {
    this.#settled ??= this.#connect()
    return this.#settled
  }

  /** Reports a password that the server refused at once, which was for the caller until the others were heard. */
  tellFirstRefusal(): void {
    if (this.#failure?.code === 'authentication') this.#tellDown(this.#failure)
  }

  get isUp(): boolean {
    return this.#connection?.isOpen === true
  }

  /**
   * Resolves when the server is up again, or counts as down: when it refuses this client, or after the time-out. Undefined
   * unless the connection was lost a moment ago, and not because of silence, which is a time-out already.
   */
  get reconnecting(): Promise<void> | undefined {
    return this.#reconnecting?.promise
  }

  /** When the latest request was sent that this server has answered; see `ServerConnection`. */
  get answeredMs(): number {
    return this.#connection?.answeredMs ?? Number.NEGATIVE_INFINITY
  }

  /**
   * Whether the server is up but answers much later than others: operations go on without it where the others are
   * enough.
   */
  get isSlow(): boolean {
    return this.#slow !== undefined && this.isUp
  }

  /** Whether the server is slow and has so many unanswered requests that more would only queue up. */
  get isFarBehind(): boolean {
    const { pendingCount = 0, queuedBytes = 0 } = this.#connection ?? {}
    return this.isSlow && (pendingCount >= limits.slowRequestsMax || queuedBytes > 0)
  }

  /** Marks the server as slow: it is asked last until it answers a ping in time. */
  becameSlow(): void {
    if (this.#slow !== undefined || !this.isUp) return
    debugDfc('%s is slow', this.name)
    this.#slow = 'perhaps'
    this.#probeLater()
  }

  /** Why the server is not up, if it is not. */
  get failure(): DfsError | undefined {
    return this.isUp ? undefined : this.#failure
  }

  /** Sends a request. Throws `down` at once when the server is not up. */
  request<V extends Verb>(
    verb: V,
    fields: Request<V>,
    payload?: readonly Uint8Array[],
  ): Promise<Answer<V>> {
    if (this.#connection === undefined) {
      return Promise.reject(this.#failure ?? new DfsError('down', `${this.name} is down`))
    }
    return this.#connection.request(verb, fields, payload)
  }

  close(): void {
    this.#closed = true
    this.#retry?.cancel()
    this.#probe?.cancel()
    this.#connection?.close()
    this.#endReconnecting()
  }

  #probeLater(): void {
    this.#probe = this.#options.clock.after(limits.slowProbeMs, () => void this.#probeNow())
  }

  async #probeNow(): Promise<void> {
    const { clock } = this.#options
    const connection = this.#connection
    const begin = clock.monotonic()
    try {
      await connection?.request('ping', {})
    } catch (error) {
      debugDfc('%s: ping: %o', this.name, error)
    }
    if (this.#closed || connection === undefined || connection !== this.#connection) return
    if (clock.monotonic() - begin >= limits.hedgeMs) {
      if (this.#slow === 'perhaps') notice(`${this.name} is slow; continuing without it`, 'warning')
      this.#slow = 'surely'
      this.#probeLater()
      return
    }
    if (this.#slow === 'surely') notice(`${this.name} is no longer slow`)
    this.#slow = undefined
    this.#options.onChange(this)
  }

  async #connect(): Promise<void> {
    const { config } = this.#options
    // The server may have another address by now.
    if (!this.#isFirst) config.refresh()
    this.#triedWith = this.#knowledge()
    const address = { ...this.server.address, tls: usesTls(config.now, this.server) }
    try {
      const connection = await ServerConnection.open({
        ...this.#options,
        name: this.name,
        address,
        onClosed: (reason, isSilent) => this.#onLost(reason, isSilent),
        onRecall: () => this.#options.onRecall(this),
        onAnswer: (tookMs, isFailure) => this.#answered(tookMs, isFailure),
      })
      try {
        await this.#options.admit(this, connection)
      } catch (error) {
        connection.close()
        throw error
      }
      if (this.#closed) connection.close()
      if (!connection.isOpen) throw new DfsError('down', 'connection closed')
      const wasDown = this.#failure !== undefined
      this.#connection = connection
      this.#failure = undefined
      this.#attempts = 0
      this.#refusals = 0
      this.#endReconnecting()
      if (wasDown) notice(`${this.name} is up`)
      this.#options.onChange(this)
    } catch (thrown) {
      const before = this.#failure?.code
      this.#failure = asDfsError(thrown)
      const { code } = this.#failure
      // A refusal by a server that has come back is news, even if it was down before.
      const isNews = before === undefined || (isRefusal(code) && before !== code)
      if (isNews && !(this.#isFirst && code === 'authentication')) {
        this.#tellDown(this.#failure)
      }
      if (isRefusal(code)) this.#endReconnecting()
      this.#options.onFailed(this)
      this.#connectLater()
    } finally {
      this.#isFirst = false
    }
  }

  #answered(tookMs: number, isFailure: boolean): void {
    this.latencies.note(tookMs)
    if (isFailure) this.failures += 1
  }

  #beginReconnecting(): void {
    const { clock, timeoutMs } = this.#options
    this.#endReconnecting()
    this.#reconnecting = Promise.withResolvers()
    this.#patience = clock.after(timeoutMs, () => this.#endReconnecting())
  }

  #endReconnecting(): void {
    this.#patience?.cancel()
    this.#reconnecting?.resolve()
    this.#reconnecting = undefined
  }

  #onLost(reason: DfsError, isSilent: boolean): void {
    if (this.#connection === undefined || this.#closed) return
    this.#connection = undefined
    this.#slow = undefined
    this.#probe?.cancel()
    this.#failure = reason
    if (!isSilent) this.#beginReconnecting()
    this.#tellDown(reason)
    this.#options.onChange(this)
    this.#connectLater()
  }

  #tellDown({ message }: DfsError): void {
    notice(`${this.name} is down: ${message}`, 'warning')
  }

  /**
   * Connects again: soon at first, so that a restart is a short interruption, then twice a second. A refusal lasts till
   * somebody changes something, so attempts become rare, and what may change here is looked at in between.
   */
  #connectLater(): void {
    if (this.#closed) return
    this.#retry?.cancel()
    if (this.#failure !== undefined && isRefusal(this.#failure.code)) {
      this.#refusals += 1
      const { refusedDelayMs, refusedDelayMsMax } = limits
      this.#lookFor(Math.min(refusedDelayMsMax, refusedDelayMs * 2 ** (this.#refusals - 1)))
      return
    }
    this.#refusals = 0
    this.#attempts += 1
    this.#connectAfter(Math.min(limits.reconnectDelayMs, 50 * this.#attempts))
  }

  #connectAfter(delayMs: number): void {
    this.#retry = this.#options.clock.after(delayMs, () => void this.#connect())
  }

  /** Connects after `waitMs`, or as soon as this client knows something else than when it tried last. */
  #lookFor(waitMs: number): void {
    const { clock, config } = this.#options
    if (waitMs <= limits.refusedLookMs) {
      this.#connectAfter(waitMs)
      return
    }
    this.#retry = clock.after(limits.refusedLookMs, () => {
      config.refresh()
      if (isDeepStrictEqual(this.#knowledge(), this.#triedWith)) {
        this.#lookFor(waitMs - limits.refusedLookMs)
        return
      }
      this.#refusals = 0
      void this.#connect()
    })
  }

  #knowledge(): Knowledge {
    const config = this.#options.config.now
    try {
      return { config, key: this.#options.expectedKey() }
    } catch (thrown) {
      return { config, key: asDfsError(thrown).message }
    }
  }
}

/** The configuration, and the key that the server has to show: with others it may accept, or be accepted. */
interface Knowledge {
  readonly config: ClientConfig
  readonly key: string | undefined
}

/** Whether a failure means that the server is reachable, and it or this client refuses the other. */
export function isRefusal(code: ErrorCode): boolean {
  return ['authentication', 'wrongServer', 'version', 'untrusted', 'configuration'].includes(code)
}
