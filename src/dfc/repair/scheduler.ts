/**
 * Keeps the servers in agreement without being asked: repairs soon after a server comes back, looks
 * again from time to time, when its client is not busy, and puts right what readers found rotten. One
 * line when a repair that has something to do begins to matter, and one when it ends.
 */
import { SingleFlight } from '../../async/single-flight.js'
import { randomBelow, sleep, type Timer } from '../../clock.js'
import { asDfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc, notice } from '../../log.js'
import type { Segment } from '../../wire/records.js'
import type { Decisions } from '../quorum/decisions.js'
import type { Recovery } from '../quorum/recovery.js'
import type { Damage, LostPiece } from './damage.js'
import { type Healer, type HealOptions, type HealReport, heal } from './heal.js'
import { replacePiece } from './pieces.js'

interface BadCopy {
  readonly server: number
  readonly segment: Segment
  readonly piece: number
}

export class RepairScheduler {
  readonly #mover: Healer
  readonly #recovery: Recovery
  readonly #decisions: Pick<Decisions, 'settled' | 'quietMs'>
  readonly #changed: () => void
  readonly #renew: () => Promise<void>
  readonly #damageOf: (lost: readonly LostPiece[]) => AsyncIterable<Damage>
  /** Pieces that are lost for good, as the last repair has found: no news for the next. */
  #lost: ReadonlySet<string> = new Set()
  readonly #badCopies = new Map<string, BadCopy>()
  readonly #healing = new SingleFlight<HealReport>()
  #timer: Timer | undefined
  /** The report that was logged last. */
  #told: HealReport | undefined
  /** When the next repair begins at the latest, on the monotonic clock. */
  #latestMs = Number.POSITIVE_INFINITY
  #unsubscribe: (() => void) | undefined

  /**
   * `settlement` knows what this client itself has decided; `changed` hears of repairs that changed
   * what servers hold; `renew` writes again what would be taken for abandoned; `damageOf` names the
   * files that lost pieces belong to.
   */
  constructor(
    mover: Healer,
    recovery: Recovery,
    decisions: Pick<Decisions, 'settled' | 'quietMs'>,
    changed: () => void,
    renew: () => Promise<void>,
    damageOf: (lost: readonly LostPiece[]) => AsyncIterable<Damage>,
  ) {
    this.#mover = mover
    this.#recovery = recovery
    this.#decisions = decisions
    this.#changed = changed
    this.#renew = renew
    this.#damageOf = damageOf
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
    await this.#healing.running?.catch(() => undefined)
  }

  /** A reader found that a server's copy is rotten or gone. Where all of them are, it is known. */
  noteBadCopy(server: number, segment: Segment, piece: number): void {
    if (this.#badCopies.size >= limits.badCopiesMax || this.#isLost(segment, piece)) return
    this.#badCopies.set(`${server} ${segment.id} ${piece}`, { server, segment, piece })
    // What a repair comes across itself, and cannot put right, it need not try again at once.
    this.#schedule(
      this.#healing.running === undefined ? limits.repairDelayMs : limits.repairRetryMs,
    )
  }

  #isLost({ id }: Segment, piece: number): boolean {
    return this.#lost.has(`${id} ${piece}`)
  }

  /** Something happened that repair may have to put right. */
  soon(): void {
    this.#schedule(limits.repairDelayMs)
  }

  /** Repairs now; one repair at a time, a second call joins the one that runs. */
  heal(options: Partial<HealOptions> = {}): Promise<HealReport> {
    return this.#healing.run(() => this.#heal(options))
  }

  async #heal(options: Partial<HealOptions>): Promise<HealReport> {
    await this.#decisions.settled()
    await this.#mover.cluster.refreshBlank()
    const suspects = await this.#replaceBadCopies()
    const report = await heal(this.#mover, this.#recovery, {
      patienceMs: limits.undecidedPatienceMs,
      sweepAgeMs: limits.sweepAgeMs,
      orphanAgeMs: limits.orphanAgeMs,
      thorough: false,
      suspects,
      ...options,
    })
    this.#lost = new Set(report.lost.map(({ segment, piece }) => `${segment.id} ${piece}`))
    for (const [key, { segment, piece }] of this.#badCopies) {
      if (this.#isLost(segment, piece)) this.#badCopies.delete(key)
    }
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
      // Another round may have joined the same repair.
      if (report !== this.#told) await this.#tell(report)
      // A server that is away says so itself when it comes back.
      const isWhole = this.#mover.cluster.voters.length === limits.serverCount
      // What is lost is looked at again from time to time, as everything is.
      if (report.left > report.lost.length && isWhole) this.#schedule(limits.repairRetryMs)
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
    return this.#decisions.quietMs < limits.repairQuietMs
  }

  async #tell(report: HealReport): Promise<void> {
    this.#told = report
    const { cluster } = this.#mover
    for (const server of report.filledServers) notice(`${cluster.link(server).name} was filled`)
    const { registersCopied, registersRestored, piecesCopied, left } = report
    if (registersRestored > 0) notice(`repair: ${registersRestored} corrupt registers replaced`)
    if (registersCopied > 0 || piecesCopied > 0) {
      notice(`repair: ${registersCopied} registers and ${piecesCopied} pieces copied, ${left} left`)
    }
    await this.#tellLost(report.newlyLost)
  }

  /** Once for each file; what has no name is nobody's loss. */
  async #tellLost(lost: readonly LostPiece[]): Promise<void> {
    if (lost.length === 0) return
    const told = new Set<string>()
    try {
      for await (const { path, from, to } of this.#damageOf(lost)) {
        if (told.has(path)) continue
        told.add(path)
        if (told.size > limits.lostFileLinesMax) continue
        notice(
          `${JSON.stringify(path)} has lost data for good, no server has bytes ${from} to ${to - 1}`,
        )
      }
    } catch (thrown) {
      const why = asDfsError(thrown).message
      notice(
        `${lost.length} pieces are lost for good; not all of their files could be named: ${why}`,
      )
    }
    const others = told.size - limits.lostFileLinesMax
    if (others > 0) notice(`${others} more files have lost data for good: dfc verify names them`)
  }

  /** Returns the pieces of which there may be no good copy at all. */
  async #replaceBadCopies(): Promise<LostPiece[]> {
    const suspects: LostPiece[] = []
    for (const [key, { server, segment, piece }] of [...this.#badCopies]) {
      try {
        const isReplaced = await replacePiece(this.#mover, segment, piece, server)
        if (isReplaced) {
          const { name } = this.#mover.cluster.link(server)
          notice(
            `repair: piece ${piece} of ${segment.id} was missing or corrupt on ${name}: written again`,
          )
        }
      } catch (thrown) {
        debugDfc('bad copy %s: %s', key, asDfsError(thrown).message)
        if (isError(thrown, 'corrupt', 'dataLost')) suspects.push({ segment, piece })
      }
      this.#badCopies.delete(key)
    }
    return suspects
  }
}
