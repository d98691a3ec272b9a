/**
 * Reads and writes whole local files. A file appears under its name only when it is complete. Until then it has a
 * temporary name beside it, which is removed whatever happens.
 */
import { createHash } from 'node:crypto'
import { type BigIntStats, constants as flags, openSync, unlinkSync } from 'node:fs'
import { type FileHandle, lstat, open, realpath, rename, stat, unlink } from 'node:fs/promises'
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { bytesOf, localPath, textOf } from '../../byte-text.js'
import type { Random, Time } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugDfc } from '../../log.js'
import { LocalFolder, type LocalPlace, splitPath } from './local-folder.js'
import { dataIn } from './local-holes.js'
import { setModificationTime } from './local-times.js'
import { removeStaleTemporaries, temporaryName } from './stale-temporaries.js'
import { systemCalls } from './system-calls.js'
import { failAbout, isSystemError } from './system-errors.js'

const readBytes = 1024 * 1024
const noBytes = Buffer.alloc(64 * 1024)
/** Folders that are known to have no stale temporary files; more are looked through again. */
const knownFoldersMax = 1000
/** Pause in ms between two looks whether somebody reads a pipe. */
const pipePauseMs = 50

/** Bytes of a file, and where they begin. */
export interface Chunk {
  readonly at: number
  readonly bytes: Buffer
}

/** The content of a file to be written. What no chunk covers is a hole. */
export interface FileContent {
  readonly size: number
  /** Yields the chunks from a position on, in order. */
  readonly data: (from: number) => AsyncIterable<Chunk>
  /**
   * Where a file that was begun may be completed: how many of its bytes are right. With it, what was written stays
   * when writing fails, and the next attempt goes on with it.
   */
  readonly matching?: (begun: FileHandle, size: number) => Promise<number>
  /** Aborted when the user interrupts. */
  readonly interrupted?: AbortSignal
}

/** A temporary file that is to be made, or is there. */
export class Temporary {
  readonly path: string
  #creation: Promise<unknown> = Promise.resolve()

  constructor(path: string) {
    this.path = path
  }

  /** Makes it by `action`. */
  create<T>(action: (path: string) => Promise<T>): Promise<T> {
    const creation = action(this.path)
    this.#creation = creation
    return creation
  }

  /** Resolves when it is there, or was not made. Never rejects. */
  async settled(): Promise<void> {
    await this.#creation.catch(() => undefined)
  }
}

/** Existing temporary files, so that a process that ends at once can remove them. */
export class Temporaries {
  readonly #existing = new Set<Temporary>()
  readonly #random: Random
  /** Folders in which none is of a process that was killed, by device and number. */
  readonly #knownFolders = new Set<string>()
  #isEnding = false

  constructor(random: Random) {
    this.#random = random
  }

  /**
   * Locks a folder, until it is closed, so that other processes leave the temporary files in it alone. Those of processes
   * that were killed are removed.
   */
  async claim(folder: LocalFolder): Promise<void> {
    await folder.lock(async () => {
      const { dev, ino } = await folder.stat()
      const key = `${dev} ${ino}`
      if (this.#knownFolders.has(key)) return
      if (this.#knownFolders.size >= knownFoldersMax) this.#knownFolders.clear()
      this.#knownFolders.add(key)
      await removeStaleTemporaries(folder)
    })
  }

  /**
   * Replaces what is at a place, unless that is a folder, a device or a pipe, by what `make` makes under a new name
   * beside it, which others cannot guess. On any failure what was there stays, and nothing else. `make` begins with
   * `create`.
   */
  async replace(place: LocalPlace, make: (temporary: Temporary) => Promise<void>): Promise<void> {
    const { folder, name } = place
    const path = folder.pathOf(name)
    await assertReplaceable(place)
    await this.claim(folder)
    // The program is over in a moment.
    if (this.#isEnding) return new Promise(() => {})
    const temporary = new Temporary(folder.at(temporaryName(this.#random)))
    const local = localPath(temporary.path)
    this.#existing.add(temporary)
    try {
      await make(temporary)
      await place.makeRoom?.()
      await rename(local, localPath(folder.at(name))).catch(failAbout(path))
    } catch (error) {
      await unlink(local).catch(() => undefined)
      throw error
    } finally {
      this.#existing.delete(temporary)
    }
  }

  /**
   * Replaces what is at a place by what `make` completes under the name `begun` beside it, as `replace` does. On a
   * failure, or when the program is killed, what has been made stays for the next attempt. `make` resolves to the file,
   * whose lock is kept until it has its name.
   */
  async resume(
    place: LocalPlace,
    begun: string,
    make: (path: string) => Promise<FileHandle>,
  ): Promise<void> {
    const { folder, name } = place
    await assertReplaceable(place)
    await this.claim(folder)
    const temporary = folder.at(begun)
    const file = await make(temporary)
    try {
      await place.makeRoom?.()
      await rename(localPath(temporary), localPath(folder.at(name))).catch(
        failAbout(folder.pathOf(name)),
      )
    } finally {
      await file.close()
    }
  }

  /**
   * Makes no more files, and resolves when those that are being made are there, so that `removeAll` finds them: a disk
   * that is slow would make them afterwards. It gives up one that takes long.
   */
  async settle(): Promise<void> {
    this.#isEnding = true
    const all = Promise.all([...this.#existing].map((temporary) => temporary.settled()))
    await Promise.race([all, sleep(limits.temporariesEndMs)])
  }

  removeAll(): void {
    for (const { path } of this.#existing) {
      try {
        unlinkSync(localPath(path))
      } catch (error) {
        debugDfc('%s: %o', path, error)
      }
    }
    this.#existing.clear()
  }
}

/** Throws when a folder, a device or a pipe has the name. */
async function assertReplaceable({ folder, name, makeRoom }: LocalPlace): Promise<void> {
  const path = folder.pathOf(name)
  const existing = await lstat(localPath(folder.at(name))).catch(() => undefined)
  if (existing?.isDirectory()) {
    if (makeRoom !== undefined) return
    throw new DfsError('isDirectory', `${path}: Is a directory`)
  }
  if (existing !== undefined && !existing.isFile() && !existing.isSymbolicLink()) {
    throw new DfsError('exists', `${path}: File exists, and is a device or a pipe`)
  }
}

/** Attributes that a written file is given. */
export interface FileAttributes {
  readonly mode: number
  readonly mtime: Time
  /** Called with a path of the new file, before it has its name, to give it more. */
  readonly give?: (path: string) => Promise<void>
}

/**
 * Writes `content` to `path`, following a symbolic link there as cp(1) does. A device or pipe is
 * written directly. On any failure what was at `path` stays as it was.
 */
export async function writeLocalFile(
  path: string,
  content: FileContent,
  attributes: FileAttributes,
  temporaries: Temporaries,
): Promise<void> {
  const existing = await stat(localPath(path)).catch(() => undefined)
  if (existing?.isDirectory()) throw new DfsError('isDirectory', `${path}: Is a directory`)
  if (existing !== undefined && (!existing.isFile() || isOpenElsewhere(path))) {
    if (existing.isFIFO() && !isOpenElsewhere(path)) return writeToPipe(path, content)
    return writeDirectly(path, content)
  }
  const final = existing === undefined ? path : textOf(await realpath(localPath(path), 'buffer'))
  const [before, name] = splitPath(final)
  const folder = await LocalFolder.open(before, 'follow').catch(failAbout(path))
  try {
    await replaceFile({ folder, name }, content, attributes, temporaries)
  } finally {
    await folder.close()
  }
}

/**
 * Writes `content` to a file that takes the place of the file or symbolic link which is there. On any failure that
 * stays as it was.
 */
export async function replaceFile(
  place: LocalPlace,
  content: FileContent,
  { mode, mtime, give }: FileAttributes,
  temporaries: Temporaries,
): Promise<void> {
  const path = place.folder.pathOf(place.name)
  const complete = async (file: FileHandle, temporary: string, from: number): Promise<void> => {
    await writeFrom(file, content, from).catch(failAbout(path))
    await file.chmod(mode).catch(failAbout(path))
    await give?.(temporary)
  }
  const { matching } = content
  const begun = `.dfc-part-${createHash('sha256').update(bytesOf(place.name)).digest('hex').slice(0, 24)}`
  if (matching === undefined) {
    await temporaries.replace(place, async (temporary) => {
      const file = await temporary
        .create((made) => open(localPath(made), 'wx', 0o600))
        .catch(failAbout(path))
      try {
        await complete(file, temporary.path, 0)
      } finally {
        await file.close()
      }
    })
    await discardBegun(place.folder.at(begun))
  } else {
    await temporaries.resume(place, begun, async (temporary) => {
      const file = await openBegun(temporary, path).catch(failAbout(path))
      try {
        const { size } = await file.stat()
        const right = size === 0 ? 0 : await matching(file, size)
        await file.truncate(right)
        await complete(file, temporary, right)
        return file
      } catch (error) {
        await file.close()
        throw error
      }
    })
  }
  await setModificationTime(place.folder.at(place.name), mtime)
}

/**
 * Opens a file that an attempt before has begun, or begins it, and locks it. One that somebody else has made is refused,
 * and one that another process is completing. Errors name the `target` that it is to become.
 */
async function openBegun(path: string, target: string): Promise<FileHandle> {
  const how = flags.O_RDWR | flags.O_CREAT | flags.O_NOFOLLOW | flags.O_NONBLOCK
  for (;;) {
    const file = await open(localPath(path), how, 0o600).catch((error: unknown) => {
      if (isSystemError(error, 'ELOOP', 'EISDIR', 'ENXIO')) throw inTheWay(path, target)
      throw error
    })
    try {
      if (await isLockedUnder(path, file, target)) return file
    } catch (error) {
      await file.close()
      throw error
    }
    await file.close()
  }
}

/** Locks a begun file. Resolves to false when it was completed meanwhile, and the name is free or another file's. */
async function isLockedUnder(path: string, file: FileHandle, target: string): Promise<boolean> {
  const info = await file.stat({ bigint: true })
  if (!info.isFile() || info.nlink > 1n || Number(info.uid) !== process.geteuid?.()) {
    throw inTheWay(path, target)
  }
  if ((await systemCalls()).lock(file.fd, 'exclusive') === 'taken') {
    const what = `${target}: another process is fetching it with --resume`
    throw new DfsError('busy', `${what}: wait for that, or fetch it without --resume`)
  }
  const named = await lstat(localPath(path), { bigint: true }).catch(() => undefined)
  return named?.dev === info.dev && named.ino === info.ino
}

/** Removes what an attempt with --resume began of a file that is complete now, unless another process works on it. */
async function discardBegun(path: string): Promise<void> {
  try {
    const how = flags.O_RDWR | flags.O_NOFOLLOW | flags.O_NONBLOCK
    const file = await open(localPath(path), how)
    try {
      if (await isLockedUnder(path, file, path)) await unlink(localPath(path))
    } finally {
      await file.close()
    }
  } catch (error) {
    debugDfc('%s: %o', path, error)
  }
}

/** The error about something that has the name of a begun file and is none. */
function inTheWay(path: string, target: string): DfsError {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const what = 'beside it is in the way, and not a file that was begun here'
  return new DfsError('exists', `${target}: ${name} ${what}`)
}

async function writeFrom(file: FileHandle, content: FileContent, from: number): Promise<void> {
  for await (const { at, bytes } of content.data(from)) {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done)
      done += bytesWritten
    }
  }
  // The end may be a hole.
  await file.truncate(content.size)
}

const openFileName = /^\/dev\/(stdin|stdout|stderr|fd\/\d+)$|^\/proc\/.*\/fd\/\d+$/

/** Whether `path` is a name such as /dev/stdout for a file that the caller has open, which must not be replaced. */
function isOpenElsewhere(path: string): boolean {
  return openFileName.test(path)
}

async function writeDirectly(path: string, content: FileContent): Promise<void> {
  if (path === '/dev/stdout') return writeToStdout(content)
  const file = await open(localPath(path), flags.O_WRONLY | flags.O_APPEND).catch(failAbout(path))
  try {
    for await (const bytes of withZeros(content)) {
      await file.writeFile(bytes).catch(failAbout(path))
    }
  } finally {
    await file.close()
  }
}

/**
 * Writes to standard output. The open descriptor shares its offset with the caller; the file opened anew would not.
 */
export async function writeToStdout(content: FileContent): Promise<void> {
  for await (const bytes of withZeros(content)) await writeOut(bytes)
}

/**
 * Writes to a pipe that has a name once somebody reads it. Opening and writing it the usual way would block a thread for
 * as long as the reader likes, and the program could not end.
 */
async function writeToPipe(path: string, content: FileContent): Promise<void> {
  const file = await openPipe(path, content.interrupted)
  const { fd } = file
  const socket = new Socket({ fd, readable: false, writable: true })
  // A reader that does not read lets a write wait for ever.
  const stop = (): void => void socket.destroy(new DfsError('timedOut', 'interrupted'))
  content.interrupted?.addEventListener('abort', stop)
  // A failure is that of the write that met it.
  socket.on('error', (error) => debugDfc('%s: %o', path, error))
  const write = (bytes: Buffer): Promise<void> =>
    new Promise((resolve, reject) => {
      socket.write(bytes, (error) => (error ? reject(error) : resolve()))
    })
  try {
    for await (const bytes of withZeros(content)) await write(bytes).catch(failAbout(path))
    await new Promise<void>((resolve) => socket.end(resolve))
  } finally {
    content.interrupted?.removeEventListener('abort', stop)
    socket.destroy()
  }
}

/** Opens a pipe for writing when it has a reader. The descriptor belongs to the caller. */
async function openPipe(
  path: string,
  interrupted: AbortSignal | undefined,
): Promise<{ readonly fd: number }> {
  for (;;) {
    interrupted?.throwIfAborted()
    try {
      return { fd: openSync(localPath(path), flags.O_WRONLY | flags.O_NONBLOCK) }
    } catch (error) {
      if (!isSystemError(error, 'ENXIO')) failAbout(path)(error)
    }
    await sleep(pipePauseMs)
  }
}

/** The whole content, with the zeros of its holes. */
async function* withZeros({ size, data }: FileContent): AsyncGenerator<Buffer> {
  let end = 0
  for await (const { at, bytes } of data(0)) {
    yield* zeros(at - end)
    yield bytes
    end = at + bytes.length
  }
  yield* zeros(size - end)
}

function* zeros(length: number): Iterable<Buffer> {
  for (let left = length; left > 0; left -= noBytes.length) yield noBytes.subarray(0, left)
}

function writeOut(chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(chunk, (error) => (error ? reject(error) : resolve()))
  })
}

/**
 * Reads an open file, without its holes. Throws `stale` when it turns out, by the end, that the file is no longer what
 * it was `before`: changed, removed, or replaced.
 */
export async function* readLocalFile(file: FileHandle, before: BigIntStats): AsyncGenerator<Chunk> {
  const size = Number(before.size)
  for await (const { at, length } of dataIn(file, before)) {
    let end = at
    for await (const bytes of readRange(file, at, length)) {
      yield { at: end, bytes }
      end += bytes.length
    }
    if (end < at + length) throw changed('got shorter')
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

/** Yields the bytes of a range of an open file, fewer where the file ends. */
export async function* readRange(
  file: FileHandle,
  at: number,
  length: number,
): AsyncGenerator<Buffer> {
  const end = at + length
  for (let from = at; from < end; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, end - from))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, from)
    if (bytesRead === 0) return
    from += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

/** Yields the bytes of a range of an open file that are not in its holes. */
export async function* readDataRange(
  file: FileHandle,
  at: number,
  length: number,
): AsyncGenerator<Buffer> {
  const info = await file.stat({ bigint: true })
  for await (const data of dataIn(file, info, { at, length })) {
    yield* readRange(file, data.at, data.length)
  }
}

function changed(how: string): DfsError {
  return new DfsError('stale', `the file ${how} while it was being read; nothing was stored`)
}
