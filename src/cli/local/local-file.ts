/**
 * Reads and writes whole local files. A file appears under its name only when it is complete. Until then it has a
 * temporary name beside it, which is removed whatever happens.
 */
import { type BigIntStats, constants as flags, unlinkSync } from 'node:fs'
import { type FileHandle, lstat, open, realpath, rename, stat, unlink } from 'node:fs/promises'
import { localPath, textOf } from '../../byte-text.js'
import type { Random, Time } from '../../clock.js'
import { sentenceOf } from '../../error-message.js'
import { asDfsError, DfsError } from '../../errors.js'
import { debugDfc } from '../../log.js'
import { LocalFolder, type LocalPlace, splitPath } from './local-folder.js'
import { setModificationTime } from './local-times.js'

const readBytes = 1024 * 1024

/** Existing temporary files, so that a process that ends at once can remove them. */
export class Temporaries {
  readonly #paths = new Set<string>()
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  /**
   * Replaces what is at a place, unless that is a folder, a device or a pipe, by what `make` makes under a new name
   * beside it, which others cannot guess. On any failure what was there stays, and nothing else.
   */
  async replace(
    { folder, name }: LocalPlace,
    make: (path: string) => Promise<void>,
  ): Promise<void> {
    const path = folder.pathOf(name)
    const existing = await lstat(localPath(folder.at(name))).catch(() => undefined)
    if (existing?.isDirectory()) throw new DfsError('isDirectory', `${path}: Is a directory`)
    if (existing !== undefined && !existing.isFile() && !existing.isSymbolicLink()) {
      throw new DfsError('exists', `${path}: File exists, and is a device or a pipe`)
    }
    const temporary = folder.at(`.dfc-${this.#random.bytes(12).toString('hex')}`)
    this.#paths.add(temporary)
    try {
      await make(temporary)
      await rename(localPath(temporary), localPath(folder.at(name))).catch(failAbout(path))
    } catch (error) {
      await unlink(localPath(temporary)).catch(() => undefined)
      throw error
    } finally {
      this.#paths.delete(temporary)
    }
  }

  removeAll(): void {
    for (const path of this.#paths) {
      try {
        unlinkSync(localPath(path))
      } catch (error) {
        debugDfc('%s: %o', path, error)
      }
    }
    this.#paths.clear()
  }
}

/** Attributes that a written file is given. */
export interface FileAttributes {
  readonly mode: number
  readonly mtime: Time
}

/**
 * Writes `chunks` to `path`, following a symbolic link there as cp(1) does. A device or pipe is
 * written directly. On any failure what was at `path` stays as it was.
 */
export async function writeLocalFile(
  path: string,
  chunks: AsyncIterable<Buffer>,
  attributes: FileAttributes,
  temporaries: Temporaries,
): Promise<void> {
  const existing = await stat(localPath(path)).catch(() => undefined)
  if (existing?.isDirectory()) throw new DfsError('isDirectory', `${path}: Is a directory`)
  if (existing !== undefined && (!existing.isFile() || isOpenElsewhere(path))) {
    await writeDirectly(path, chunks)
    return
  }
  const final = existing === undefined ? path : textOf(await realpath(localPath(path), 'buffer'))
  const [before, name] = splitPath(final)
  const folder = await LocalFolder.open(before, 'follow').catch(failAbout(path))
  try {
    await replaceFile({ folder, name }, chunks, attributes, temporaries)
  } finally {
    await folder.close()
  }
}

/**
 * Writes `chunks` to a file that takes the place of the file or symbolic link which is there. On any failure that
 * stays as it was.
 */
export async function replaceFile(
  place: LocalPlace,
  chunks: AsyncIterable<Buffer>,
  { mode, mtime }: FileAttributes,
  temporaries: Temporaries,
): Promise<void> {
  await temporaries.replace(place, async (temporary) => {
    const path = place.folder.pathOf(place.name)
    const file = await open(localPath(temporary), 'wx', 0o600).catch(failAbout(path))
    await writeAndClose(file, path, chunks, mode)
  })
  await setModificationTime(place.folder.at(place.name), mtime)
}

const openFileName = /^\/dev\/(stdin|stdout|stderr|fd\/\d+)$|^\/proc\/.*\/fd\/\d+$/

/** Whether `path` is a name such as /dev/stdout for a file that the caller has open, which must not be replaced. */
function isOpenElsewhere(path: string): boolean {
  return openFileName.test(path)
}

async function writeDirectly(path: string, chunks: AsyncIterable<Buffer>): Promise<void> {
  if (path === '/dev/stdout') {
    // The open descriptor shares its offset with the caller; the file opened anew would not.
    for await (const chunk of chunks) await writeOut(chunk)
    return
  }
  const file = await open(localPath(path), flags.O_WRONLY | flags.O_APPEND).catch(failAbout(path))
  await writeAndClose(file, path, chunks)
}

async function writeAndClose(
  file: FileHandle,
  path: string,
  chunks: AsyncIterable<Buffer>,
  mode?: number,
): Promise<void> {
  try {
    for await (const chunk of chunks) await file.writeFile(chunk).catch(failAbout(path))
    if (mode !== undefined) await file.chmod(mode).catch(failAbout(path))
  } finally {
    await file.close()
  }
}

function writeOut(chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()))
  })
}

/**
 * Reads an open file. Throws `stale` when it turns out, by the end, that the file is no longer what it was `before`:
 * changed, removed, or replaced.
 */
export async function* readLocalFile(
  file: FileHandle,
  before: BigIntStats,
): AsyncGenerator<Buffer> {
  const size = Number(before.size)
  for (let at = 0; at < size; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, size - at))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) throw changed('got shorter')
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
  // A file of /proc has a size of 0, whatever there is to read.
  const { bytesRead } = await file.read(Buffer.alloc(1), 0, 1, size)
  const after = await file.stat({ bigint: true })
  if (bytesRead > 0 && after.size === before.size) {
    throw new DfsError('unsupported', 'there is more in it than its size says; nothing was stored')
  }
  if (after.size !== before.size) throw changed(after.size > before.size ? 'grew' : 'got shorter')
  if (after.nlink === 0n) throw changed('was removed or replaced')
  if (after.mtimeNs !== before.mtimeNs) throw changed('was changed')
}

function changed(how: string): DfsError {
  return new DfsError('stale', `the file ${how} while it was being read; nothing was stored`)
}

function failAbout(path: string): (error: unknown) => never {
  return (error) => {
    throw new DfsError(asDfsError(error).code, `${path}: ${sentenceOf(error)}`, { cause: error })
  }
}
