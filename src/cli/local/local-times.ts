/**
 * Times of local files to the nanosecond. Node takes times as floating-point seconds, which near today
 * are exact to 240 ns only and may round up into the next second, so utimensat(2) is called itself.
 */
import { lstat, lutimes } from 'node:fs/promises'
import { bytesOf, localPath } from '../../byte-text.js'
import type { Time } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { systemCalls } from './system-calls.js'

/** UTIME_OMIT: this one of the two times stays as it is. */
const omitted = 0x3fff_fffen

/** Converts nanoseconds since 1970, as in `BigIntStats.mtimeNs`, to a time. */
export function timeOfNanoseconds(nanoseconds: bigint): Time {
  const fraction = BigInt.asIntN(64, nanoseconds) % 1_000_000_000n
  const positive = fraction < 0n ? fraction + 1_000_000_000n : fraction
  return {
    seconds: Number((nanoseconds - positive) / 1_000_000_000n),
    nanoseconds: Number(positive),
  }
}

/** Converts a time to nanoseconds since 1970; negative for an earlier time. */
export function nanosecondsOf(time: Time): bigint {
  return BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds)
}

/**
 * Sets the modification time of `path` itself, not of what a symbolic link leads to; its access time stays. Throws
 * what the system calls throw, and `io` when the file system cannot keep the time to the nanosecond.
 */
export async function setModificationTime(path: string, time: Time): Promise<void> {
  const { mtimeNs, atime } = await lstat(localPath(path), { bigint: true })
  if (mtimeNs === nanosecondsOf(time)) return
  const { setTimes } = await systemCalls()
  const times = BigInt64Array.of(0n, omitted, BigInt(time.seconds), BigInt(time.nanoseconds))
  if (await setTimes(bytesOf(`${path}\0`), times)) return
  // Node tries once more, and its error tells why.
  await lutimes(localPath(path), atime, time.seconds)
  throw new DfsError('io', 'its modification time cannot be set')
}
