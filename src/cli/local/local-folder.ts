/**
 * An open folder of this machine. Its names are reached through /proc/self/fd, which is what openat(2) is for: they
 * are those of this very folder, also when another process renames it meanwhile or puts a symbolic link in its place.
 */
import { type BigIntStats, constants as flags } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, unlink } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { localPath } from '../../byte-text.js'
import { DfsError } from '../../errors.js'
import { systemCalls } from './system-calls.js'
import { isSystemError } from './system-errors.js'

/** O_PATH of open(2), which Node does not name: for folders that may be entered and not be read. */
const pathOnly = 0o10000000
const attemptsMax = 8
/** Looks whether the folder can be locked beside others, and the pause between them in ms. */
const lockAttemptsMax = 20
const lockPauseMs = 25

/** Whether a symbolic link at the end of a path is followed. */
export type AtLink = 'follow' | 'refuse'

/** A name in an open folder. */
export interface LocalPlace {
  readonly folder: LocalFolder
  readonly name: string
  /** Removes the folder that has the name. It is called when what takes its place is complete. */
  readonly makeRoom?: () => Promise<void>
}

export class LocalFolder {
  /** The path by which users know the folder, for messages; empty for the working folder. */
  readonly path: string
  readonly #handle: FileHandle
  #lock: Promise<FileHandle | undefined> | undefined

  private constructor(path: string, handle: FileHandle) {
    this.path = path
    this.#handle = handle
  }

  /** Opens the folder at `path`. Links before the end of the path are followed. */
  static async open(path: string, atLink: AtLink): Promise<LocalFolder> {
    return new LocalFolder(path, await openFolder(path, atLink))
  }

  /** A path of the folder itself that leads nowhere else. */
  get self(): string {
    return `/proc/self/fd/${this.#handle.fd}`
  }

  /** The folder's attributes, as by fstat(2). */
  stat(): Promise<BigIntStats> {
    return this.#handle.stat({ bigint: true })
  }

  /** A path of `name` in this folder. What it names may be a link. Throws `illegalName` for what leads elsewhere. */
  at(name: string): string {
    if (!isOneName(name)) throw new DfsError('illegalName')
    return `${this.self}/${name}`
  }

  /** The path of `name` as users know it. */
  pathOf(name: string): string {
    return this.path === '' ? name : `${this.path.replace(/\/+$/, '')}/${name}`
  }

  /** Opens a folder in this one. Fails where `name` is a link. */
  async open(name: string): Promise<LocalFolder> {
    return new LocalFolder(this.pathOf(name), await openFolder(this.at(name), 'refuse'))
  }

  /**
   * Opens a folder in this one, and makes it where there is none. A symbolic link that has the name is replaced.
   * Throws `notDirectory` for anything else that has it.
   */
  async enter(name: string, mode: number): Promise<LocalFolder> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      try {
        return await this.open(name)
      } catch (error) {
        if (isSystemError(error, 'ENOTDIR', 'ELOOP')) await this.#removeLink(name)
        else if (!isSystemError(error, 'ENOENT')) throw error
      }
      await mkdir(localPath(this.at(name)), mode).catch((error: unknown) => {
        if (!isSystemError(error, 'EEXIST')) throw error
      })
    }
    throw new DfsError('busy', `${this.pathOf(name)}: another process keeps replacing it`)
  }

  /**
   * Locks the folder until it is closed, beside others that do the same. Before, `whenAlone` is called if nobody has it
   * locked. A folder that cannot be read, or that another program has for itself, is not locked.
   */
  async lock(whenAlone: () => Promise<void>): Promise<void> {
    this.#lock ??= this.#locked(whenAlone)
    await this.#lock
  }

  async close(): Promise<void> {
    await (await this.#lock)?.close()
    await this.#handle.close()
  }

  async #locked(whenAlone: () => Promise<void>): Promise<FileHandle | undefined> {
    const handle = await open(`${this.self}/.`, flags.O_RDONLY | flags.O_DIRECTORY).catch(
      () => undefined,
    )
    if (handle === undefined) return undefined
    const { lock } = await systemCalls()
    if (lock(handle.fd, 'exclusive') === 'locked') await whenAlone()
    // Another transfer has the folder for itself for a moment.
    for (let attempt = 0; attempt < lockAttemptsMax; attempt += 1) {
      if (lock(handle.fd, 'shared') !== 'taken') break
      await sleep(lockPauseMs)
    }
    return handle
  }

  async #removeLink(name: string): Promise<void> {
    const path = localPath(this.at(name))
    const existing = await lstat(path).catch(() => undefined)
    if (existing === undefined || existing.isDirectory()) return
    if (!existing.isSymbolicLink()) {
      throw new DfsError('notDirectory', `${this.pathOf(name)}: Not a directory`)
    }
    await unlink(path).catch((error: unknown) => {
      if (!isSystemError(error, 'ENOENT', 'EISDIR', 'EPERM')) throw error
    })
  }
}

/** Splits a path before its last name. The folder is empty where the path is that name alone. */
export function splitPath(path: string): readonly [folder: string, name: string] {
  const whole = path.replace(/\/+$/, '')
  const end = whole.lastIndexOf('/') + 1
  return [whole.slice(0, end), whole.slice(end)]
}

/** Whether a path that ends with `name` leads to something in the folder before it. */
function isOneName(name: string): boolean {
  return !['', '.', '..'].includes(name) && !/[/\0]/.test(name)
}

function openFolder(path: string, atLink: AtLink): Promise<FileHandle> {
  const noFollow = atLink === 'refuse' ? flags.O_NOFOLLOW : 0
  return open(localPath(path || '.'), pathOnly | flags.O_DIRECTORY | noFollow)
}
