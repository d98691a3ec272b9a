/**
 * Reads a part of a file. Small parts are read at once: that takes microseconds from the kernel's
 * cache and a fraction of a millisecond from a disk without moving parts, where a hand-over to the
 * thread pool and back takes some 150 microseconds. Big ones go through the pool, several at a time,
 * into memory that is lent. What is read directly, past the kernel's cache, always is.
 */
import assert from 'node:assert/strict'
import { closeSync, constants, openSync, read, readSync } from 'node:fs'
import { asDfsError, DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { type PageMemory, pageBytes } from '../../memory/page-memory.js'
import type { LentBytes } from './piece-store.js'

const { O_RDONLY, O_DIRECT } = constants

/** The memory for what is read, and the way to it. */
export interface ReadOptions {
  readonly memory: PageMemory | undefined
  /** Past the kernel's cache, if that is possible. */
  readonly isDirect: boolean
}

/** One call of read(2) or the like: the bytes that it got. */
type ReadSome = (
  descriptor: number,
  into: Buffer,
  at: number,
  length: number,
  position: number,
) => number | Promise<number>

/**
 * Reads exactly `length` bytes. Rejects with `noPiece` when there is no file, and with `corrupt` when it ends
 * before.
 */
export async function readAt(
  file: string,
  offset: number,
  length: number,
  { memory, isDirect }: ReadOptions,
): Promise<LentBytes> {
  const isSmall = length <= limits.blockBytes
  const readSome = isSmall ? readNow : readSoon
  const lent = isDirect || !isSmall ? memory?.take() : undefined
  const release = (): void => {
    if (lent !== undefined) memory?.give(lent)
  }
  try {
    const bytes = lent ?? Buffer.allocUnsafe(length)
    const canBeDirect = isDirect && lent !== undefined && offset % pageBytes === 0
    const isRead = canBeDirect && (await readDirectly(file, offset, length, bytes, readSome))
    if (!isRead) await readCached(file, offset, length, bytes, readSome)
    return { bytes: bytes.subarray(0, length), release }
  } catch (thrown) {
    release()
    throw thrown
  }
}

/** Reads past the kernel's cache. False when the file system cannot, or has not all of it. */
async function readDirectly(
  file: string,
  offset: number,
  length: number,
  into: Buffer,
  readSome: ReadSome,
): Promise<boolean> {
  const descriptor = open(file, O_RDONLY | O_DIRECT)
  if (descriptor === undefined) return false
  try {
    const whole = Math.ceil(length / pageBytes) * pageBytes
    return (await readSome(descriptor, into, 0, whole, offset)) >= length
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EINVAL') return false
    throw asDfsError(thrown)
  } finally {
    closeSync(descriptor)
  }
}

async function readCached(
  file: string,
  offset: number,
  length: number,
  into: Buffer,
  readSome: ReadSome,
): Promise<void> {
  const descriptor = open(file, O_RDONLY)
  if (descriptor === undefined) throw new DfsError('io', 'a file that cannot be opened')
  try {
    for (let at = 0; at < length; ) {
      const count = await readSome(descriptor, into, at, length - at, offset + at)
      assert(count <= length - at, 'more is read than there is room for')
      if (count === 0) throw new DfsError('corrupt', 'The piece is shorter than it was')
      at += count
    }
  } catch (thrown) {
    throw asDfsError(thrown)
  } finally {
    closeSync(descriptor)
  }
}

/** Opens a file. Throws `noPiece` when there is none; undefined when it cannot be opened in this way. */
function open(file: string, flags: number): number | undefined {
  try {
    return openSync(file, flags)
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException
    if (code === 'EINVAL') return undefined
    if (code !== 'ENOENT') throw asDfsError(thrown)
    throw new DfsError('noPiece', undefined, { cause: thrown })
  }
}

const readNow: ReadSome = (...call) => readSync(...call)

const readSoon: ReadSome = (...call) =>
  new Promise((resolve, reject) => {
    read(...call, (error, count) => {
      if (error === null) resolve(count)
      else reject(error)
    })
  })
