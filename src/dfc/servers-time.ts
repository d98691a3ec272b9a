/**
 * What time it is: the median of what the servers' clocks show. Between their answers it goes on with
 * this machine's monotonic clock, so that it changes nothing when the machine's clock is set. Where the
 * machine's clock agrees with the servers' it is taken as it is: then what is stored here has the
 * times that other programs of the machine see.
 */
import { type Clock, type Time, type Timer, timeOfMs } from '../clock.js'
import { limits } from '../limits.js'
import { offsetText } from './clock-remark.js'

/** With fewer clocks none of them can be called wrong. */
const voicesMin = 3

export class ServersTime implements Clock {
  readonly #clock: Clock
  readonly #notice: (line: string) => void
  /** For each server that has answered: its time less our monotonic time. */
  readonly #offsets = new Map<string, number>()
  readonly #told = new Set<string>()
  #median: number | undefined

  /** `notice` is told once of each clock that is off. */
  constructor(clock: Clock, notice: (line: string) => void) {
    this.#clock = clock
    this.#notice = notice
  }

  /** In ms since 1970. */
  now(): number {
    return this.#fromServers() ?? this.#clock.now()
  }

  time(): Time {
    const ms = this.#fromServers()
    return ms === undefined ? this.#clock.time() : timeOfMs(ms)
  }

  monotonic(): number {
    return this.#clock.monotonic()
  }

  after(delayMs: number, action: () => void): Timer {
    return this.#clock.after(delayMs, action)
  }

  /** A server said that it is `timeMs` since 1970, in answer to what was asked at `askedMs`. */
  heard(server: string, timeMs: number, askedMs: number): void {
    const heardMs = this.#clock.monotonic()
    this.#offsets.set(server, timeMs - (askedMs + heardMs) / 2)
    const sorted = [...this.#offsets.values()].sort((a, b) => a - b)
    const [low = 0, high = 0] = [
      Math.ceil(sorted.length / 2) - 1,
      Math.floor(sorted.length / 2),
    ].map((at) => sorted[at])
    this.#median = (low + high) / 2
    this.#remarkAll()
  }

  /** How far a server's clock is ahead of the others'; undefined when it is not known. */
  offsetOf(server: string): number | undefined {
    const offset = this.#offsets.get(server)
    if (offset === undefined || this.#median === undefined) return undefined
    return this.#offsets.size < voicesMin ? undefined : offset - this.#median
  }

  /** How far this machine's clock is ahead of the servers'. */
  get ownOffsetMs(): number {
    return this.#median === undefined
      ? 0
      : this.#clock.now() - this.#clock.monotonic() - this.#median
  }

  /** Says of each clock that is off that it is, once until it is right again. */
  #remarkAll(): void {
    if (this.#offsets.size < voicesMin) return
    for (const server of this.#offsets.keys()) {
      const offset = this.offsetOf(server)
      if (offset === undefined) continue
      this.#remark(server, offset, (text) => `${server}'s clock is ${text} the others`)
    }
    this.#remark('', this.ownOffsetMs, (text) => {
      return `the clock of this machine is ${text} those of the servers: their time is used`
    })
  }

  #remark(whose: string, offsetMs: number, lineOf: (text: string) => string): void {
    const text = offsetText(offsetMs)
    if (text === undefined) this.#told.delete(whose)
    else if (!this.#told.has(whose)) {
      this.#told.add(whose)
      this.#notice(lineOf(text))
    }
  }

  /** Undefined while the machine's own clock is as good. */
  #fromServers(): number | undefined {
    if (this.#median === undefined || Math.abs(this.ownOffsetMs) <= limits.clockAgreesMs) {
      return undefined
    }
    return this.#median + this.#clock.monotonic()
  }
}
