/**
 * Time and chance as the program sees them. Real code gets the system's; the simulation passes its
 * own, so that one seed decides every delay and every random number.
 */
import { randomFillSync } from 'node:crypto'

/** A timer that has not fired yet; `cancel` is harmless afterwards. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Wall time in milliseconds since 1970 (may jump). */
  now(): number
  /** Wall time as a file system stores it. */
  time(): Time
  /** Milliseconds from an arbitrary origin, never going back. */
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

export const systemClock: Clock = {
  now: () => Date.now(),
  time: () => timeOfMs(preciseNow()),
  monotonic: () => performance.now(),
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
