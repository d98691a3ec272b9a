/**
 * Asks several servers without waiting for the slowest: three answers of four are enough, and where two are asked, a
 * third server is asked when one of them is late. A late server is reported, so that it is asked last until it is as
 * quick as the others.
 */
import type { Clock, Timer } from '../../clock.js'
import { limits } from '../../limits.js'

/** An answer is late after this multiple of the usual time. */
const typicalTimes = 3
/** Weight of one answer in the moving average. */
const typicalWeight = 0.1

/** The moving average of the time that answers take: on a slow network, slow answers are no reason to ask twice. */
export class HedgeDelay {
  #typicalMs = 0

  note(tookMs: number): void {
    this.#typicalMs += (tookMs - this.#typicalMs) * typicalWeight
  }

  get ms(): number {
    return Math.max(limits.hedgeMs, this.#typicalMs * typicalTimes)
  }
}

/** Whether a server has been awaited for so long that others could have answered several times. */
export function isLate(waitedMs: number, hedgeDelayMs: number, quickestMs: number): boolean {
  return waitedMs >= Math.max(hedgeDelayMs, quickestMs * typicalTimes)
}

export interface Hedge<Outcome> {
  readonly clock: Clock
  readonly hedgeDelay: Pick<HedgeDelay, 'ms' | 'note'>
  readonly isGood: (outcome: Outcome) => boolean
  /** Whether a server is known to be slow: its answer is not awaited. */
  readonly isSlow: (at: number) => boolean
  /** Called with a server when others had answered long before. */
  readonly onLate: (at: number) => void
}

/**
 * Resolves when every outcome is there, or when `enough` are good and the rest is slow or does not come within the
 * hedge delay. Missing outcomes are undefined.
 */
export function untilEnough<Outcome>(
  asked: readonly Promise<Outcome>[],
  enough: number,
  { clock, hedgeDelay, isGood, isSlow, onLate }: Hedge<Outcome>,
): Promise<(Outcome | undefined)[]> {
  return new Promise((resolve) => {
    const begin = clock.monotonic()
    const outcomes: (Outcome | undefined)[] = asked.map(() => undefined)
    let open = new Set(asked.keys())
    let good = 0
    let timer: Timer | undefined
    const finish = (): void => {
      open = new Set()
      timer?.cancel()
      resolve([...outcomes])
    }
    const finishLate = (): void => {
      for (const at of open) onLate(at)
      finish()
    }
    if (asked.length === 0) finish()
    for (const [at, one] of asked.entries()) {
      void one.then((outcome) => {
        if (!open.delete(at)) return
        outcomes[at] = outcome
        if (isGood(outcome)) good += 1
        if (open.size === 0) return finish()
        if (good < enough) return
        const elapsedMs = clock.monotonic() - begin
        if (good === enough) hedgeDelay.note(elapsedMs)
        if ([...open].every(isSlow)) return finish()
        timer ??= clock.after(Math.max(hedgeDelay.ms, elapsedMs * (typicalTimes - 1)), finishLate)
      })
    }
  })
}

/**
 * Asks the first `count` of `choices`, and the next one whenever one of them fails or does not answer within the
 * hedge delay. Resolves with the good outcomes: fewer than `count` when there are no more choices.
 */
export function inTurn<Outcome>(
  choices: number,
  count: number,
  ask: (at: number) => Promise<Outcome>,
  { clock, hedgeDelay, isGood, onLate }: Omit<Hedge<Outcome>, 'isSlow'>,
): Promise<Outcome[]> {
  return new Promise((resolve) => {
    const good: Outcome[] = []
    /** When each choice without an answer was asked. */
    const open = new Map<number, number>()
    let asked = 0
    let quickestMs = Number.POSITIVE_INFINITY
    let isDone = false
    let timer: Timer | undefined
    const finish = (): void => {
      isDone = true
      timer?.cancel()
      const now = clock.monotonic()
      for (const [at, askedMs] of open) {
        if (isLate(now - askedMs, hedgeDelay.ms, quickestMs)) onLate(at)
      }
      if (good.length > 0) hedgeDelay.note(quickestMs)
      resolve(good)
    }
    const askNext = (): void => {
      const at = asked
      if (isDone || at >= choices) return
      asked += 1
      const askedMs = clock.monotonic()
      open.set(at, askedMs)
      timer?.cancel()
      timer = clock.after(hedgeDelay.ms, askNext)
      void ask(at).then((outcome) => {
        open.delete(at)
        if (isDone) return
        const isOfUse = isGood(outcome)
        if (isOfUse) {
          quickestMs = Math.min(quickestMs, clock.monotonic() - askedMs)
          good.push(outcome)
        }
        if (good.length >= count || (open.size === 0 && asked >= choices)) finish()
        else if (!isOfUse) askNext()
      })
    }
    for (let first = 0; first < count; first += 1) askNext()
    if (choices === 0) finish()
  })
}
