/**
 * Small files that a user names: configurations and passwords. What is named may be something else, and must then
 * neither hang the program nor fill its memory: opening a pipe waits until a program writes into it, and a device may
 * have no end. The pipe of a shell's <(...) is fine where one is expected: it is read while signals still end the program.
 */

import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DfsError } from './errors.js'
import { limits } from './limits.js'

/** Texts of pipes, by path: a pipe gives its text once, and configurations are read again and again. */
const readFromPipes = new Map<string, string>()

/** Whether `file` is a pipe. False where that cannot be told. */
export function isPipe(file: string): boolean {
  try {
    return statSync(file).isFIFO()
  } catch {
    return false
  }
}

/**
 * Reads a file, or gives what `readPipe` has read from this pipe. Throws `invalid` or `isDirectory` for what is no file,
 * `tooLarge`, and what the system says.
 */
export function readNamedFile(file: string): string {
  const known = readFromPipes.get(resolve(file))
  if (known !== undefined) return known
  const descriptor = openNamed(file)
  try {
    if (fstatSync(descriptor).isFIFO()) {
      throw new DfsError('invalid', 'it is a pipe, and this has to be a file')
    }
    const bytes = new Bytes()
    let count: number | undefined
    do count = bytes.readFrom(descriptor)
    while (count)
    return bytes.text
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Reads what a program writes into the pipe `file`, up to its end, for `readNamedFile` to give. Does nothing with
 * anything else. Throws `timedOut` when no program writes into it, or none ends.
 */
export async function readPipe(file: string): Promise<void> {
  if (!isPipe(file) || readFromPipes.has(resolve(file))) return
  const descriptor = openNamed(file)
  try {
    readFromPipes.set(resolve(file), await textOfPipe(descriptor))
  } finally {
    closeSync(descriptor)
  }
}

/** A pipe that no program has opened for writing reads like one at its end. */
async function textOfPipe(descriptor: number): Promise<string> {
  const bytes = new Bytes()
  const beginMs = performance.now()
  let hasWriter = false
  for (;;) {
    const count = bytes.readFrom(descriptor)
    if (count === 0 && hasWriter) return bytes.text
    hasWriter ||= count !== 0
    if (count !== undefined && count > 0) continue
    const waitMs = hasWriter ? limits.pipeReadMs : limits.pipeWriterMs
    if (performance.now() - beginMs >= waitMs) {
      const what = hasWriter
        ? 'the program that writes into it does not end'
        : 'no program writes into it'
      throw new DfsError('timedOut', `it is a pipe, and ${what}`)
    }
    await sleep(limits.pipePollMs)
  }
}

/** Opens a file or a pipe without waiting. Throws for anything else. */
function openNamed(file: string): number {
  // A socket cannot be opened, and opening a device may do something.
  assertReadable(statSync(file))
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    assertReadable(fstatSync(descriptor))
    return descriptor
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

function assertReadable(status: Stats): void {
  if (status.isFile() || status.isFIFO()) return
  if (status.isDirectory()) throw new DfsError('isDirectory')
  throw new DfsError('invalid', `it is a ${status.isSocket() ? 'socket' : 'device'}, and no file`)
}

/** Bytes of a file as they are read, up to a bound. */
class Bytes {
  readonly #parts: Buffer[] = []
  #count = 0

  get text(): string {
    return Buffer.concat(this.#parts).toString()
  }

  /** Reads some. Returns how many, 0 at the end, and undefined where there are none yet. Throws `tooLarge`. */
  readFrom(descriptor: number): number | undefined {
    const part = Buffer.alloc(limits.namedFileReadBytes)
    const count = readOrWait(descriptor, part)
    if (count === undefined || count === 0) return count
    this.#count += count
    if (this.#count > limits.namedFileBytesMax) {
      throw new DfsError('tooLarge', 'it is far too large for a configuration or a password')
    }
    this.#parts.push(part.subarray(0, count))
    return count
  }
}

function readOrWait(descriptor: number, part: Buffer): number | undefined {
  try {
    return readSync(descriptor, part)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EAGAIN') return undefined
    throw thrown
  }
}
