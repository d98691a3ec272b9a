/**
 * Keeps the servers in agreement without being asked: repairs soon after a server comes back, looks
 * again from time to time, when its client is not busy, and puts right what readers found rotten. One
 * line when a repair that has something to do begins to matter, and one when it ends.
 */
import { randomBelow, sleep, type Timer } from '../../clock.js'
import { asDfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc, notice } from '../../log.js'
import type { Segment } from '../../wire/records.js'
import type { Recovery } from '../recovery.js'
import type { Settlement } from '../settlement.js'
import { type Healer, type HealOptions, type HealReport, heal } from './heal.js'
import { replacePiece } from './pieces.js'

interface BadCopy {
  readonly server: number
  readonly segment: Segment
  readonly piece: number
}

export class Keeper {
  readonly #mover: Healer
  readonly #recovery: Recovery
  readonly #settlement: Pick<Settlement, 'settled' | 'quietMs'>
  readonly #changed: () => void
  readonly #renew: () => Promise<void>
  readonly #badCopies = new Map<string, BadCopy>()
  #running: Promise<HealReport> | undefined
  #timer: Timer | undefined
  /** When the next repair begins at the latest, on the monotonic clock. */
  #latestMs = Number.POSITIVE_INFINITY
  #unsubscribe: (() => void) | undefined

  /**
   * `settlement` knows what this client itself has decided; `changed` hears of repairs that changed
   * what servers hold; `renew` writes again what would be taken for abandoned.
   */
  constructor(
    mover: Healer,
    recovery: Recovery,
    settlement: Pick<Settlement, 'settled' | 'quietMs'>,
    changed: () => void,
    renew: () => Promise<void>,
  ) {
    this.#mover = mover
    this.#recovery = recovery
    this.#settlement = settlement
    this.#changed = changed
    this.#renew = renew
  }

  /** Begins to watch: for programs that stay, as the mount does. */
  start(): void {
    const { cluster } = this.#mover
    this.#unsubscribe ??= cluster.onChange((link) => {
      if (link.isUp) this.soon()
    })
    this.#schedule(limits.repairDelayMs, limits.repairDeferralMs)
  }

  /** Begins nothing more. A repair that runs ends when the servers cannot be asked any more. */
  stop(): void {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    this.#cancel()
  }

  /** Resolves when no repair runs. */
  async ended(): Promise<void> {
    await this.#running?.catch(() => undefined)
  }

  /** A reader found that a server's copy is rotten or gone. */
  noteBadCopy(server: number, segment: Segment, piece: number): void {
    if (this.#badCopies.size >= limits.badCopiesMax) return
    this.#badCopies.set(`${server} ${segment.id} ${piece}`, { server, segment, piece })
    this.soon()
  }

  /** Something happened that repair may have to put right. */
  soon(): void {
    this.#schedule(limits.repairDelayMs)
  }

  /** Repairs now; one repair at a time, a second call joins the one that runs. */
  heal(options: Partial<HealOptions> = {}): Promise<HealReport> {
    this.#running ??= this.#heal(options).finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #heal(options: Partial<HealOptions>): Promise<HealReport> {
    await this.#settlement.settled()
    await this.#mover.cluster.refreshBlank()
    await this.#replaceBadCopies()
    const report = await heal(this.#mover, this.#recovery, {
      patienceMs: limits.undecidedPatienceMs,
      sweepAgeMs: limits.sweepAgeMs,
      orphanAgeMs: limits.orphanAgeMs,
      thorough: false,
      ...options,
    })
    const { registersCopied, registersRestored, orphansDeleted, filledServers } = report
    const changes = registersCopied + registersRestored + orphansDeleted + filledServers.length
    if (changes > 0) this.#changed()
    return report
  }

  /** It may be put off by up to `deferralMs` while the client is busy. Unless one is to begin sooner. */
  #schedule(delayMs: number, deferralMs = 0): void {
    // A round that was under way when it was stopped has no other after it.
    if (this.#unsubscribe === undefined) return
    const { clock, random } = this.#mover.cluster
    // Several mounts see a server come back at the same moment: they need not all begin at once.
    const jitterMs = randomBelow(random, Math.max(1, Math.floor(delayMs / 2)))
    const latestMs = clock.monotonic() + delayMs + jitterMs + deferralMs
    if (latestMs >= this.#latestMs) return
    this.#cancel()
    this.#latestMs = latestMs
    this.#timer = clock.after(delayMs + jitterMs, () => this.#begin())
  }

  #cancel(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#latestMs = Number.POSITIVE_INFINITY
  }

  #begin(): void {
    const { clock } = this.#mover.cluster
    if (this.#isBusy && clock.monotonic() < this.#latestMs) {
      this.#timer = clock.after(limits.repairQuietMs, () => this.#begin())
      return
    }
    this.#cancel()
    void this.#round()
  }

  async #round(): Promise<void> {
    try {
      await this.#renew()
      const report = await this.heal({ giveWay: (tookMs) => this.#giveWay(tookMs) })
      this.#tell(report)
      // A server that is away says so itself when it comes back.
      const isWhole = this.#mover.cluster.voters.length === limits.serverCount
      if (report.left > 0 && isWhole) this.#schedule(limits.repairRetryMs)
    } catch (error) {
      debugDfc('repair: %o', error)
      this.#schedule(limits.repairRetryMs)
    }
    this.#schedule(limits.repairIntervalMs, limits.repairDeferralMs)
  }

  /** A repair that nobody asked for takes a third of the servers' time while its client is busy. */
  async #giveWay(tookMs: number): Promise<void> {
    if (!this.#isBusy) return
    await sleep(this.#mover.cluster.clock, Math.min(2 * tookMs, limits.repairPauseMsMax))
  }

  get #isBusy(): boolean {
    return this.#settlement.quietMs < limits.repairQuietMs
  }

  #tell(report: HealReport): void {
    const { cluster } = this.#mover
    for (const server of report.filledServers) notice(`${cluster.link(server).name} was filled`)
    const { registersCopied, registersRestored, piecesCopied, lost, left } = report
    if (registersRestored > 0) notice(`repair: ${registersRestored} rotten registers were replaced`)
    if (registersCopied > 0 || piecesCopied > 0) {
      notice(`repair: ${registersCopied} registers and ${piecesCopied} pieces copied, ${left} left`)
    }
    if (lost.length > 0) notice(`repair: ${lost.length} segments have lost a piece for good`)
  }

  async #replaceBadCopies(): Promise<void> {
    for (const [key, { server, segment, piece }] of [...this.#badCopies]) {
      try {
        const isReplaced = await replacePiece(this.#mover, segment, piece, server)
        if (isReplaced)
          notice(`repair: piece ${piece} of ${segment.id} on server ${server + 1} was replaced`)
      } catch (thrown) {
        debugDfc('bad copy %s: %s', key, asDfsError(thrown).message)
      }
      this.#badCopies.delete(key)
    }
  }
}
