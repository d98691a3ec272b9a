/**
 * Time and randomness as the program sees them. Real code gets the system's; the simulation passes its own, so that
 * one seed decides every delay and every random number.
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
  /** Milliseconds from an arbitrary origin. Never goes back, and counts the time of a suspend as well. */
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
 * Offset in ms of the fine clock: Date.now() counts only milliseconds and performance.now() drifts away from it, so
 * performance.now() supplies the fraction and is set anew whenever the two differ by a millisecond.
 */
let fineOffsetMs = Date.now() - performance.now()
let saidMs = 0

function preciseNow(): number {
  const coarse = Date.now()
  const fine = performance.now() + fineOffsetMs
  const isNear = fine >= coarse && fine < coarse + 1
  if (!isNear) fineOffsetMs = coarse - performance.now()
  const now = isNear ? fine : coarse
  // After the fine clock was set anew it may be behind a time returned in the same millisecond: a file would be older
  // after a change than before.
  if (now > saidMs || saidMs - now >= 1) saidMs = now
  return saidMs
}

/** The clocks of the system, in ms. */
export interface SystemTimes {
  readonly wall: () => number
  /** Stops while the machine is suspended. */
  readonly running: () => number
  /** Goes on while the machine is suspended. Reading it costs a system call, and it counts hundredths of a second. */
  readonly sinceBoot: () => number
}

/** Differences below this are drift, or due to reading the clocks one after the other. */
const suspendMsMin = 50

/**
 * Makes a monotonic clock that goes on while the machine is suspended, as CLOCK_BOOTTIME does: a lease from before a
 * suspend may not be relied on afterwards. A suspend shows in that the wall time has gone on and the running time has
 * not. Only then, or when the wall time was set, is `sinceBoot` read.
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

/** Random bytes drawn in advance: a system call for a few costs as much as one for a whole pool. */
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

/** Converts milliseconds since 1970, which may have a fraction, to a time. */
export function timeOfMs(ms: number): Time {
  const seconds = Math.floor(ms / 1000)
  return { seconds, nanoseconds: Math.min(999_999_999, Math.round((ms - seconds * 1000) * 1e6)) }
}

/** Converts a time to whole milliseconds since 1970, rounded down. */
export function msOfTime({ seconds, nanoseconds }: Time): number {
  return seconds * 1000 + Math.floor(nanoseconds / 1_000_000)
}

/** Compares two times: negative, zero or positive as `a` is before, at or after `b`. */
export function compareTimes(a: Time, b: Time): number {
  return a.seconds - b.seconds || a.nanoseconds - b.nanoseconds
}

/** Resolves after `delayMs` of `clock`. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve)
  })
}

/** A random whole number in 0 .. limit-1, with `limit` at most 2^48. */
export function randomBelow(random: Random, limit: number): number {
  return random.bytes(6).readUIntBE(0, 6) % limit
}
