/**
 * Time and chance as the program sees them. Real code gets the system's; the simulation passes its
 * own, so that one seed decides every delay and every random number.
 */
import { randomFillSync } from 'node:crypto'
import { uptime } from 'node:os'

/** A timer that has not fired yet; `cancel` is harmless afterwards. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall time in milliseconds since 1970 (may jump). */
  now(): number
  /** Wall time as a file system stores it. */
  time(): Time
  /** Milliseconds from an arbitrary origin, never going back; the time of a suspend counts as well. */
  monotonic(): number
  /** Runs `action` once after `delayMs`; until then it keeps the process alive. */
  after(delayMs: number, action: () => void): Timer
}

/** A point in time as in struct timespec: seconds since 1970 (may be negative), 0..999,999,999 ns. */
export interface Time {
  readonly seconds: number
  readonly nanoseconds: number
}

export interface Random {
  /** `length` unpredictable bytes. */
  bytes(length: number): Buffer
}

/**
 * Date.now() counts only milliseconds and the high-resolution clock drifts away from it, so the fine
 * clock supplies the fraction and is set anew whenever the two differ by a millisecond.
 */
let fineOffsetMs = Date.now() - performance.now()
let saidMs = 0

function preciseNow(): number {
  const coarse = Date.now()
  const fine = performance.now() + fineOffsetMs
  const isNear = fine >= coarse && fine < coarse + 1
  if (!isNear) fineOffsetMs = coarse - performance.now()
  const now = isNear ? fine : coarse
  // Set anew it is behind what was said of the same millisecond: a file would be older after a change than before.
  if (now > saidMs || saidMs - now >= 1) saidMs = now
  return saidMs
}

/** What the system shows of time, in ms. */
export interface SystemTimes {
  readonly wall: () => number
  /** Does not go on while the machine is suspended. */
  readonly running: () => number
  /** Goes on then; asking for it costs a system call, and it counts hundredths of a second. */
  readonly sinceBoot: () => number
}

/** Below it the clocks only drift, or are read one after the other. */
const suspendMsMin = 50

/**
 * A monotonic clock that goes on while the machine is suspended, as CLOCK_BOOTTIME does: who had a lease
 * before may not rely on it afterwards. A suspend shows in that the wall time has gone on and the
 * running time has not; only then, or when the wall time was set, is the system asked what it was.
 */
export function bootClock({ wall, running, sinceBoot }: SystemTimes): () => number {
  const beginMs = sinceBoot() - running()
  let wallOffsetMs = wall() - running()
  let suspendedMs = 0
  return () => {
    const nowMs = running()
    const offsetMs = wall() - nowMs
    if (Math.abs(offsetMs - wallOffsetMs) >= suspendMsMin) {
      wallOffsetMs = offsetMs
      const awayMs = sinceBoot() - nowMs - beginMs
      if (awayMs - suspendedMs >= suspendMsMin / 2) suspendedMs = awayMs
    }
    return nowMs + suspendedMs
  }
}

const monotonic = bootClock({
  wall: () => Date.now(),
  running: () => performance.now(),
  sinceBoot: () => uptime() * 1000,
})

export const systemClock: Clock = {
  now: () => Date.now(),
  time: () => timeOfMs(preciseNow()),
  monotonic,
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}

/** Asking the system for a few bytes costs as much as asking for a pool of them. */
let pool = Buffer.alloc(0)
const poolBytes = 4096

export const systemRandom: Random = {
  bytes(length) {
    if (length > poolBytes) return randomFillSync(Buffer.alloc(length))
    if (pool.length < length) pool = randomFillSync(Buffer.alloc(poolBytes))
    const bytes = pool.subarray(0, length)
    pool = pool.subarray(length)
    return Buffer.from(bytes)
  },
}

/** A time from milliseconds since 1970, which may have a fraction. */
export function timeOfMs(ms: number): Time {
  const seconds = Math.floor(ms / 1000)
  return { seconds, nanoseconds: Math.min(999_999_999, Math.round((ms - seconds * 1000) * 1e6)) }
}

/** The whole milliseconds since 1970 of a time, rounded down. */
export function msOfTime({ seconds, nanoseconds }: Time): number {
  return seconds * 1000 + Math.floor(nanoseconds / 1_000_000)
}

/** Negative, zero or positive as `a` is before, at or after `b`. */
export function compareTimes(a: Time, b: Time): number {
  return a.seconds - b.seconds || a.nanoseconds - b.nanoseconds
}

/** Resolves after `delayMs` of `clock`. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve)
  })
}

/** A whole number in 0 .. limit-1, with `limit` at most 2^48. */
export function randomBelow(random: Random, limit: number): number {
  return random.bytes(6).readUIntBE(0, 6) % limit
}
