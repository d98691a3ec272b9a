/**
 * Schedules repairs in the background: soon after a server comes back, from time to time when the client is not busy,
 * and when a reader found a corrupt piece. Logs a line when a repair has changed or could not change something.
 */
import { SingleFlight } from '../../async/single-flight.js'
import { randomBelow, sleep, type Timer } from '../../clock.js'
import { asDfsError, type DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc, notice } from '../../log.js'
import type { Segment } from '../../wire/records.js'
import type { Decisions } from '../quorum/decisions.js'
import type { Recovery } from '../quorum/recovery.js'
import type { Damage, LostPiece } from './damage.js'
import { type Healer, type HealOptions, type HealProgress, type HealReport, heal } from './heal.js'
import { replacePiece } from './pieces.js'

export interface RepairFigures {
  readonly isRunning: boolean
  readonly runs: number
  readonly failures: number
  readonly registersCopied: number
  readonly piecesCopied: number
  readonly serversFilled: number
  /** Things that the last repair has left, and pieces that are lost for good; undefined before the first one. */
  readonly left: number | undefined
  readonly lost: number | undefined
  /** The step that a running repair is at. */
  readonly step: HealProgress | undefined
}

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
  readonly #expire: () => Promise<unknown>
  readonly #damageOf: (lost: readonly LostPiece[]) => AsyncIterable<Damage>
  /** Pieces that the last repair has found to be lost for good. They are not reported again. */
  #lost: ReadonlySet<string> = new Set()
  readonly #badCopies = new Map<string, BadCopy>()
  readonly #healing = new SingleFlight<HealReport>()
  #timer: Timer | undefined
  /** The report of the last repair that was logged. */
  #told: HealReport | undefined
  /** Reason why the last repair could not do everything. */
  #failedWith: string | undefined
  /** Reason that was logged, while repairs still fail. */
  #toldFailure: string | undefined
  /** When the next repair begins at the latest, on the monotonic clock. */
  #latestMs = Number.POSITIVE_INFINITY
  #unsubscribe: (() => void) | undefined
  readonly #counts = {
    runs: 0,
    failures: 0,
    registersCopied: 0,
    piecesCopied: 0,
    serversFilled: 0,
  }
  /** The report of the last repair, and the step that a running one is at. */
  #last: HealReport | undefined
  #step: HealProgress | undefined

  /**
   * `decisions` are those of this client's own transactions; `changed` is called after repairs that changed registers
   * or filled a server; `renew` rewrites open files without a name, which would be taken for orphans; `expire` removes
   * what the trash has kept for its time; `damageOf` finds the files that lost pieces belong to.
   */
  constructor(
    mover: Healer,
    recovery: Recovery,
    decisions: Pick<Decisions, 'settled' | 'quietMs'>,
    changed: () => void,
    renew: () => Promise<void>,
    expire: () => Promise<unknown>,
    damageOf: (lost: readonly LostPiece[]) => AsyncIterable<Damage>,
  ) {
    this.#mover = mover
    this.#recovery = recovery
    this.#decisions = decisions
    this.#changed = changed
    this.#renew = renew
    this.#expire = expire
    this.#damageOf = damageOf
  }

  /** Starts the repairs in the background, for programs that stay, as the mount does. */
  start(): void {
    const { cluster } = this.#mover
    this.#unsubscribe ??= cluster.onChange((link) => {
      if (link.isUp) this.soon()
    })
    this.#schedule(limits.repairDelayMs, limits.repairDeferralMs)
  }

  /** Starts no more repairs. A repair that runs ends when the connections are closed. */
  stop(): void {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    this.#cancel()
  }

  /** Resolves when no repair runs. */
  async ended(): Promise<void> {
    await this.#healing.running?.catch(() => undefined)
  }

  /**
   * Notes that a reader found a server's copy corrupt or gone. Copies of pieces that are known to be lost are not
   * noted.
   */
  noteBadCopy(server: number, segment: Segment, piece: number): void {
    if (this.#badCopies.size >= limits.badCopiesMax || this.#isLost(segment, piece)) return
    this.#badCopies.set(`${server} ${segment.id} ${piece}`, { server, segment, piece })
    // A bad copy that a repair itself has met, and could not replace, is not tried again at once.
    this.#schedule(
      this.#healing.running === undefined ? limits.repairDelayMs : limits.repairRetryMs,
    )
  }

  #isLost({ id }: Segment, piece: number): boolean {
    return this.#lost.has(`${id} ${piece}`)
  }

  /** Returns how much repairs have done, and how the last one has ended. */
  get figures(): RepairFigures {
    return {
      ...this.#counts,
      isRunning: this.#healing.running !== undefined,
      left: this.#last?.left,
      lost: this.#last?.lost.length,
      step: this.#step,
    }
  }

  /** Schedules a repair soon, after an event that it may be needed for. */
  soon(): void {
    this.#schedule(limits.repairDelayMs)
  }

  /** Repairs now. One repair runs at a time: a second call joins it. */
  heal(options: Partial<HealOptions> = {}): Promise<HealReport> {
    return this.#healing.run(() => this.#counted(options))
  }

  async #counted({ progress, ...options }: Partial<HealOptions>): Promise<HealReport> {
    this.#counts.runs += 1
    try {
      const report = await this.#heal({
        ...options,
        progress: (step) => {
          this.#step = step
          progress?.(step)
        },
      })
      this.#last = report
      this.#counts.registersCopied += report.registersCopied + report.registersRestored
      this.#counts.piecesCopied += report.piecesCopied
      this.#counts.serversFilled += report.filledServers.length
      return report
    } catch (error) {
      this.#counts.failures += 1
      throw error
    } finally {
      this.#step = undefined
    }
  }

  async #heal(options: Partial<HealOptions>): Promise<HealReport> {
    // What cannot be removed now can be by the next repair.
    await this.#expire().catch((error: unknown) => debugDfc('trash: %o', error))
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

  /**
   * Schedules a repair, unless one is due sooner. It may be deferred by up to `deferralMs` while the client is busy.
   */
  #schedule(delayMs: number, deferralMs = 0): void {
    // After `stop`, a round that was under way schedules no other.
    if (this.#unsubscribe === undefined) return
    const { clock, random } = this.#mover.cluster
    // Several mounts see a server come back at the same moment: the jitter spreads their repairs.
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
      this.#tellFailure(report.failure)
      // A server that is away causes a repair when it comes back.
      const isWhole = this.#mover.cluster.voters.length === limits.serverCount
      // Lost pieces alone are no reason to retry: the regular repairs check them.
      if (report.left > report.lost.length && isWhole) this.#schedule(limits.repairRetryMs)
    } catch (error) {
      debugDfc('repair: %o', error)
      this.#tellFailure(asDfsError(error))
      this.#schedule(limits.repairRetryMs)
    }
    this.#schedule(limits.repairIntervalMs, limits.repairDeferralMs)
  }

  /** Pauses a background repair while its client is busy, so that it takes a third of the servers' time. */
  async #giveWay(tookMs: number): Promise<void> {
    if (!this.#isBusy) return
    await sleep(this.#mover.cluster.clock, Math.min(2 * tookMs, limits.repairPauseMsMax))
  }

  get #isBusy(): boolean {
    return this.#decisions.quietMs < limits.repairQuietMs
  }

  /**
   * Logs why a repair could not do everything when two in a row say the same: most of it is over with the next one. While
   * a server is away that is why, and logged already.
   */
  #tellFailure(failure: DfsError | undefined): void {
    const why = failure?.message
    const isNews = why !== undefined && why === this.#failedWith && why !== this.#toldFailure
    const areAllUp = this.#mover.cluster.up.length === limits.serverCount
    if (isNews && areAllUp) {
      notice(`repair cannot do everything, and goes on trying: ${why}`, 'warning')
      this.#toldFailure = why
    }
    if (why === undefined) this.#toldFailure = undefined
    this.#failedWith = why
  }

  async #tell(report: HealReport): Promise<void> {
    this.#told = report
    const { cluster } = this.#mover
    for (const server of report.filledServers) notice(`${cluster.link(server).name} was filled`)
    const { registersCopied, registersRestored, piecesCopied, left } = report
    if (registersRestored > 0)
      notice(`repair: ${registersRestored} corrupt registers replaced`, 'warning')
    if (registersCopied > 0 || piecesCopied > 0) {
      notice(
        `repair: ${registersCopied} registers and ${piecesCopied} pieces copied, ${left} left`,
        'info',
        'repairs that have copied something',
      )
    }
    await this.#tellLost(report.newlyLost)
  }

  /** Logs each file that lost data once. Files without a name are not reported. */
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
          'error',
        )
      }
    } catch (thrown) {
      const why = asDfsError(thrown).message
      notice(
        `${lost.length} pieces are lost for good; not all of their files could be named: ${why}`,
        'error',
      )
    }
    const others = told.size - limits.lostFileLinesMax
    if (others > 0)
      notice(`${others} more files have lost data for good: dfc verify names them`, 'error')
  }

  /** Replaces the noted bad copies. Returns the pieces that may have no good copy at all. */
  async #replaceBadCopies(): Promise<LostPiece[]> {
    const suspects: LostPiece[] = []
    for (const [key, { server, segment, piece }] of [...this.#badCopies]) {
      try {
        const found = await replacePiece(this.#mover, segment, piece, server)
        if (found !== 'good') {
          const { name } = this.#mover.cluster.link(server)
          notice(
            `repair: piece ${piece} of ${segment.id} was ${found} on ${name}: written again`,
            // A server misses what was stored while it was down; what is corrupt has rotted on its disk.
            found === 'corrupt' ? 'warning' : 'info',
            `repair: pieces of ${name} that were ${found}: written again`,
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
