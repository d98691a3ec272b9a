/**
 * Reads a part of a file. Small parts are read at once: from the page cache that takes microseconds,
 * a hand-over to the thread pool and back some 150. Big ones go through the pool, several at a time.
 */
import { closeSync, openSync, read, readSync } from 'node:fs'
import { asDfsError, DfsError } from '../errors.js'
import { limits } from '../limits.js'

/** Exactly `length` bytes; `noPiece` when there is no file, `corrupt` when it ends before. */
export async function readAt(file: string, offset: number, length: number): Promise<Buffer> {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw asDfsError(thrown)
    throw new DfsError('noPiece', undefined, { cause: thrown })
  }
  try {
    const bytes = Buffer.allocUnsafe(length)
    const readSome = length <= limits.blockBytes ? readNow : readSoon
    for (let at = 0; at < length; ) {
      const count = await readSome(descriptor, bytes, at, offset + at)
      if (count === 0) throw new DfsError('corrupt', 'The piece is shorter than it was')
      at += count
    }
    return bytes
  } catch (thrown) {
    throw asDfsError(thrown)
  } finally {
    closeSync(descriptor)
  }
}

function readNow(descriptor: number, bytes: Buffer, at: number, position: number): number {
  return readSync(descriptor, bytes, at, bytes.length - at, position)
}

function readSoon(
  descriptor: number,
  bytes: Buffer,
  at: number,
  position: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    read(descriptor, bytes, at, bytes.length - at, position, (error, count) => {
      if (error === null) resolve(count)
      else reject(error)
    })
  })
}
