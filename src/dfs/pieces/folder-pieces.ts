/**
 * Pieces as files of the local disk, raw bytes and nothing else: `pieces/ab/<segment>.<n>`, where ab
 * are the first two digits of the segment's id. What is still being written is in `uploads/`, which
 * is emptied when the store opens, and is renamed when whole. What no index knows is moved to `strays/`.
 */
import assert from 'node:assert/strict'
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { open, readdir, stat, statfs } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { LRUCache } from 'lru-cache'
import { Semaphore } from '../../async/semaphore.js'
import { exists, makeFolder } from '../../durable.js'
import { asDfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import type { PageMemory } from '../../memory/page-memory.js'
import { bootId } from '../disk/boot.js'
import { FileWriter } from './file-writer.js'
import type {
  DiskSpace,
  LentBytes,
  PieceName,
  PieceStore,
  PieceWriter,
  StoredPiece,
} from './piece-store.js'
import { readAt } from './read-at.js'

/** Size of the largest piece in bytes. */
const pieceBytesMax = limits.segmentBytesMax / limits.pieceCount

export class FolderPieces implements PieceStore {
  readonly #pieces: string
  readonly #uploads: string
  readonly #strays: string
  readonly #folders = new Set<string>()
  readonly #memory: PageMemory | undefined
  /**
   * Files and parts of files that are read through the kernel's cache, because they were written or read once
   * already.
   */
  readonly #cached = new LRUCache<string, true>({ max: limits.cachedPartsMax })
  /** Syncs of all requests together: each takes a thread, and a descriptor. */
  readonly #syncs = new Semaphore(limits.syncsInFlightMax)
  #uploadCount = 0
  #asideBytes: number

  /** `folder` is the account's; it must exist. Without `memory` everything goes through the cache. */
  constructor(folder: string, memory?: PageMemory) {
    this.#memory = memory
    this.#pieces = join(folder, 'pieces')
    this.#uploads = join(folder, 'uploads')
    this.#strays = join(folder, 'strays')
    rmSync(this.#uploads, { recursive: true, force: true })
    mkdirSync(this.#uploads, { mode: 0o700 })
    mkdirSync(this.#pieces, { recursive: true, mode: 0o700 })
    this.#asideBytes = bytesIn(this.#strays)
  }

  get asideBytes(): number {
    return this.#asideBytes
  }

  /**
   * Stores a piece in its place, without a rename, which would cost more than the rest together: a crash in the
   * middle leaves a stump that no index knows and that the next put of the piece replaces.
   */
  put(name: PieceName, bytes: Uint8Array): void {
    if (bytes.length === 0) return
    const file = this.#place(name)
    this.#cached.set(file, true)
    try {
      writeNew(file, bytes)
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw asDfsError(thrown)
      this.#replace(file, bytes)
    }
  }

  writer(name: PieceName): PieceWriter {
    const place = this.#place(name)
    const isCached = (): void => void this.#cached.set(place, true)
    return new FileWriter(this.#upload(), place, this.#memory, isCached)
  }

  /**
   * Reads a part of a piece, the first time past the kernel's cache, which is for what is wanted more often: the
   * clients have caches of their own, and a file that is read once would drive out all else. Not so a piece that
   * was written through the cache just now: the disk may not have it yet.
   */
  read(name: PieceName, offset: number, length: number): Promise<LentBytes> {
    const file = this.#file(name)
    const part = `${file} ${offset}`
    const isDirect = !this.#cached.has(file) && !this.#cached.has(part)
    if (isDirect) this.#cached.set(part, true)
    return readAt(file, offset, length, { memory: this.#memory, isDirect })
  }

  holds(name: PieceName): boolean {
    return exists(this.#file(name))
  }

  remove(name: PieceName): void {
    rmSync(this.#file(name), { force: true })
  }

  moveAside(name: PieceName): void {
    if (!this.holds(name)) return
    makeFolder(this.#strays)
    const file = this.#file(name)
    const aside = join(this.#strays, basename(file))
    // Its time of change becomes that of the move.
    this.#asideBytes += bytesOf(file) - bytesOf(aside)
    renameSync(file, aside)
  }

  async bringBack(name: PieceName): Promise<number | undefined> {
    const aside = join(this.#strays, basename(this.#file(name)))
    if (!this.holds(name) && exists(aside)) {
      this.#asideBytes -= bytesOf(aside)
      renameSync(aside, this.#place(name))
    }
    return this.holds(name) ? (await stat(this.#file(name))).size : undefined
  }

  async forgetAside(beforeMs: number): Promise<void> {
    if (!exists(this.#strays)) return
    for (const name of await readdir(this.#strays)) {
      const path = join(this.#strays, name)
      if ((await stat(path)).ctimeMs >= beforeMs) continue
      this.#asideBytes -= bytesOf(path)
      rmSync(path)
    }
  }

  async sync(names: readonly PieceName[]): Promise<void> {
    if (names.length === 0) return
    const folders = new Set(names.map(({ segment }) => join(this.#pieces, folderOf(segment))))
    const paths = [...names.map((name) => this.#file(name)), ...folders, this.#pieces]
    await Promise.all(paths.map((path) => this.#syncs.run(() => syncPath(path))))
  }

  async *list(): AsyncIterable<StoredPiece> {
    for (const folder of await readdir(this.#pieces)) {
      for (const file of await readdir(join(this.#pieces, folder))) {
        const [, segment, piece] = /^([0-9a-f]{32})\.([1-4])$/.exec(file) ?? []
        if (segment === undefined) continue
        const status = await stat(join(this.#pieces, folder, file)).catch(() => undefined)
        // Removed since the folder was read.
        if (status === undefined) continue
        yield { segment, piece: Number(piece), bytes: status.size, storedMs: status.mtimeMs }
      }
    }
  }

  async space(): Promise<DiskSpace> {
    const { blocks, bavail, bsize, files, ffree } = await statfs(this.#pieces)
    const { dev } = await stat(this.#pieces)
    // Each piece takes an inode. File systems that have no bound of these say that they have none.
    const filesBytes = files === 0 ? Number.POSITIVE_INFINITY : ffree * pieceBytesMax
    const freeBytes = Math.min(bavail * bsize, filesBytes)
    return { bytes: blocks * bsize, freeBytes, disk: `${bootId()} ${dev}` }
  }

  #file({ segment, piece }: PieceName): string {
    return join(this.#pieces, folderOf(segment), `${segment}.${piece}`)
  }

  /** Returns the file's path, in a folder that exists. */
  #place(name: PieceName): string {
    assert.match(name.segment, /^[0-9a-f]{32}$/)
    assert(name.piece >= 1 && name.piece <= limits.pieceCount)
    const folder = folderOf(name.segment)
    if (!this.#folders.has(folder)) {
      mkdirSync(join(this.#pieces, folder), { recursive: true, mode: 0o700 })
      this.#folders.add(folder)
    }
    return this.#file(name)
  }

  #upload(): string {
    this.#uploadCount += 1
    return join(this.#uploads, String(this.#uploadCount))
  }

  #replace(file: string, bytes: Uint8Array): void {
    const upload = this.#upload()
    try {
      writeNew(upload, bytes)
      renameSync(upload, file)
    } catch (thrown) {
      rmSync(upload, { force: true })
      throw asDfsError(thrown)
    }
  }
}

/** Bytes of the files in a folder, which need not be there. */
function bytesIn(folder: string): number {
  if (!exists(folder)) return 0
  return readdirSync(folder).reduce((sum, name) => sum + bytesOf(join(folder, name)), 0)
}

/** The size of a file, 0 where there is none. */
function bytesOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}

function folderOf(segment: string): string {
  return segment.slice(0, 2)
}

/** Writes all of `bytes` to a file that must not exist; on failure there is none. */
function writeNew(file: string, bytes: Uint8Array): void {
  const descriptor = openSync(file, 'wx', 0o600)
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at)
  } catch (thrown) {
    rmSync(file, { force: true })
    throw thrown
  } finally {
    closeSync(descriptor)
  }
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r').catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return undefined
    throw asDfsError(thrown)
  })
  try {
    await handle?.sync()
  } catch (thrown) {
    throw asDfsError(thrown)
  } finally {
    await handle?.close()
  }
}
