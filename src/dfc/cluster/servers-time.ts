/**
 * The servers' time: the median of their clocks. Between their answers it goes on with this machine's monotonic
 * clock, so that setting the machine's clock changes nothing. While the machine's clock agrees with the servers', it
 * is used instead: stored times are then those that other programs of the machine see.
 *
 * A server reads its clock at an unknown moment within the round trip, so its answer may be wrong by half of that. The
 * most precise answer of each server counts, as in the clock filter of NTP (RFC 5905, section 10): one that took long
 * is imprecise, and so is an old one, since clocks drift.
 *
 *        asked                  heard             errorMs
 *     1    |--|                                      1      counts, until it is so old that
 *     2         |------------------|                 9      another one is as precise
 *     3                                |---|         2
 *
 * An answer that cannot be true together with the one that counts shows that a clock was set.
 */
import { type Clock, type Time, type Timer, timeOfMs } from '../../clock.js'
import { limits } from '../../limits.js'
import { quorum } from '../../wire/quorum.js'
import { offsetText } from './clock-skew.js'

/** One answer's information about a clock: its time less this machine's monotonic time, give or take `errorMs`. */
interface Sample {
  readonly offsetMs: number
  readonly errorMs: number
  /** When the answer arrived, on the monotonic clock. */
  readonly heardMs: number
}

/** Resolution in ms of the times that servers send. */
const unitMs = 1

export class ServersTime implements Clock {
  readonly #clock: Clock
  readonly #notice: (line: string) => void
  /** The most precise sample of each server, by name. */
  readonly #samples = new Map<string, Sample>()
  readonly #told = new Set<string>()
  /** The time of the servers less this machine's monotonic time, in ms. */
  #median: number | undefined
  #errorMs = 0
  #usesOwn = true

  /** `notice` is called once for each clock that is off. */
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

  /** Notes the time `timeMs`, in ms since 1970, that a server sent in answer to a request of `askedMs`. */
  heard(server: string, timeMs: number, askedMs: number): void {
    const heardMs = this.#clock.monotonic()
    const sample: Sample = {
      offsetMs: timeMs - (askedMs + heardMs) / 2,
      errorMs: (heardMs - askedMs) / 2 + unitMs,
      heardMs,
    }
    const known = this.#samples.get(server)
    if (known === undefined || !saysMore(known, sample)) this.#samples.set(server, sample)
    const samples = [...this.#samples.values()]
    const errorOf = (one: Sample): number => errorAt(one, heardMs)
    this.#median = medianOf(samples.map(({ offsetMs }) => offsetMs))
    // The true median is between those of the least and of the greatest possible offsets.
    const least = medianOf(samples.map((one) => one.offsetMs - errorOf(one)))
    const most = medianOf(samples.map((one) => one.offsetMs + errorOf(one)))
    this.#errorMs = Math.max(most - this.#median, this.#median - least)
    this.#remarkAll()
  }

  /** How far a server's clock is ahead of the others', at least; undefined when it is not known. */
  offsetOf(server: string): number | undefined {
    const sample = this.#samples.get(server)
    if (sample === undefined || this.#median === undefined) return undefined
    if (this.#samples.size < quorum.clocks) return undefined
    return surePart(sample.offsetMs - this.#median, sample.errorMs + this.#errorMs)
  }

  /** How far this machine's clock seems to be ahead of the servers'. */
  get #ownOffsetMs(): number {
    return this.#median === undefined
      ? 0
      : this.#clock.now() - this.#clock.monotonic() - this.#median
  }

  /** Logs each clock that is off, once until it is right again. */
  #remarkAll(): void {
    if (this.#samples.size < quorum.clocks) return
    for (const server of this.#samples.keys()) {
      const offset = this.offsetOf(server)
      if (offset === undefined) continue
      this.#remark(server, offset, (text) => `${server}'s clock is ${text} the others`)
    }
    this.#remark('', surePart(this.#ownOffsetMs, this.#errorMs), (text) => {
      return `the clock of this machine is ${text} those of the servers; using their time`
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

  /**
   * Returns the time of the servers; undefined while the machine's own clock agrees with it. An uncertain difference
   * is no reason to change from one to the other, nor is one about as large as its error a reason to change back.
   */
  #fromServers(): number | undefined {
    if (this.#median === undefined) return undefined
    const offMs = Math.abs(this.#ownOffsetMs)
    if (this.#usesOwn) this.#usesOwn = offMs <= limits.clockAgreesMs + this.#errorMs
    else this.#usesOwn = offMs <= limits.clockAgreesMs / 2
    return this.#usesOwn ? undefined : this.#median + this.#clock.monotonic()
  }
}

/** Returns the error of a sample in ms at a later time: clocks drift. */
function errorAt({ errorMs, heardMs }: Sample, nowMs: number): number {
  return errorMs + (nowMs - heardMs) * limits.clockDriftMax
}

/** Whether the earlier of two samples of a clock is still the better one. */
function saysMore(earlier: Sample, later: Sample): boolean {
  const errorMs = errorAt(earlier, later.heardMs)
  const canBothBe = Math.abs(earlier.offsetMs - later.offsetMs) <= errorMs + later.errorMs
  return canBothBe && errorMs < later.errorMs
}

/** The mean of the middle two of an even number. */
function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const [low = 0, high = 0] = [Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2)].map(
    (at) => sorted[at],
  )
  return (low + high) / 2
}

/** The part of an offset that is there whatever the error is. */
function surePart(offsetMs: number, errorMs: number): number {
  return offsetMs > 0 ? Math.max(0, offsetMs - errorMs) : Math.min(0, offsetMs + errorMs)
}
