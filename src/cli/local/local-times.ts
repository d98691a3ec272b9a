/**
 * Sets modification times of local files to the nanosecond. Node passes times as floating-point
 * seconds, which near today are exact to 240 ns only and may round up into the next second; so what
 * did not come out exact is handed to touch(1), all files of a transfer through one xargs(1).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { lstat, lutimes } from 'node:fs/promises'
import { bytesOf, localPath } from '../../byte-text.js'
import type { Time } from '../../clock.js'
import { debugDfc } from '../../log.js'

/** Nanoseconds since 1970, as in `BigIntStats.mtimeNs`. */
export function timeOfNanoseconds(nanoseconds: bigint): Time {
  const fraction = BigInt.asIntN(64, nanoseconds) % 1_000_000_000n
  const positive = fraction < 0n ? fraction + 1_000_000_000n : fraction
  return {
    seconds: Number((nanoseconds - positive) / 1_000_000_000n),
    nanoseconds: Number(positive),
  }
}

export function nanosecondsOf(time: Time): bigint {
  return BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds)
}

export class LocalTimes {
  #touch: ChildProcess | undefined

  /** Sets the time of `path` itself, not of what a symbolic link leads to. */
  async set(path: string, time: Time): Promise<void> {
    const { mtimeNs, atimeNs } = await lstat(localPath(path), { bigint: true })
    const exact = nanosecondsOf(time)
    if (mtimeNs === exact) return
    // Node takes a negative number for "now", but accepts a date.
    const modified = new Date(time.seconds * 1000 + time.nanoseconds / 1e6)
    const seconds = time.seconds + time.nanoseconds / 1e9
    await lutimes(localPath(path), Number(atimeNs) / 1e9, time.seconds < 0 ? modified : seconds)
    const after = await lstat(localPath(path), { bigint: true })
    if (after.mtimeNs !== exact) this.#correct(path.startsWith('/') ? path : `./${path}`, exact)
  }

  /** Resolves when all times are set. Where there is no touch, they stay as near as Node gets. */
  async finish(): Promise<void> {
    const touch = this.#touch
    this.#touch = undefined
    if (touch === undefined || touch.exitCode !== null) return
    touch.stdin?.end()
    await once(touch, 'close').catch((error: unknown) => debugDfc('touch: %o', error))
  }

  #correct(path: string, exact: bigint): void {
    this.#touch ??= startTouch()
    this.#touch.stdin?.write(bytesOf(`@${decimal(exact)}\0${path}\0`))
  }
}

function startTouch(): ChildProcess {
  const child = spawn('xargs', ['-0', '-n', '2', 'touch', '-c', '-h', '-m', '-d'], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  child.on('error', (error) => debugDfc('touch: %o', error))
  child.stdin.on('error', (error) => debugDfc('touch: %o', error))
  return child
}

function decimal(nanoseconds: bigint): string {
  const sign = nanoseconds < 0n ? '-' : ''
  const digits = String(nanoseconds < 0n ? -nanoseconds : nanoseconds).padStart(10, '0')
  return `${sign}${digits.slice(0, -9)}.${digits.slice(-9)}`
}
