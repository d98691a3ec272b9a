/** Mounts a FileSystem, and unmounts it. */
import { endianness } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import * as answers from './answers.js'
import { attach, detach, type MountFlag } from './attach.js'
import { MountError } from './error.js'
import type { FileSystem } from './file-system.js'
import { operationsOf } from './inode-operations.js'
import { canStreamDevices } from './node-internals.js'
import { type Feature, newEpochMinor, notices } from './protocol.js'
import { Session, type SessionOptions } from './session.js'

export interface MountOptions
  extends Pick<SessionOptions, 'needs' | 'requestsMax' | 'timeoutMs' | 'clock' | 'trace' | 'warn'> {
  /** Absolute path of a folder. */
  readonly mountpoint: string
  /** Source that df(1) shows. Defaults to "node". */
  readonly fsname?: string
  /** Type of the file system: the kernel's table of mounts shows "fuse." and this. Defaults to "node". */
  readonly subtype?: string
  /** Users other than the mounting one may enter. Defaults to false. */
  readonly allowOther?: boolean
  /** The kernel checks permissions by mode, owner and group. Defaults to true. */
  readonly defaultPermissions?: boolean
  /**
   * The mount is removed when this process ends, in whatever way. Defaults to false: only an orderly end removes it.
   */
  readonly autoUnmount?: boolean
  /** Flags of the mount. Defaults to "nodev" and "nosuid". */
  readonly flags?: readonly MountFlag[]
  /** How long the kernel may answer by itself what a name stands for, in ms. Defaults to 1000. */
  readonly namesValidMs?: number
  /** How long the kernel may answer attributes by itself, in ms. Defaults to 1000. */
  readonly attributesValidMs?: number
  /** How long the kernel may answer by itself that a name does not exist, in ms. Defaults to 0. */
  readonly missingValidMs?: number
  /** Features of the protocol that are used if the kernel has them. Defaults to "readdirplus". */
  readonly wants?: readonly Feature[]
}

/**
 * How long to wait for the kernel's report of the end. A mount that has not ended by then is mounted elsewhere as
 * well.
 */
const endMs = 1_000

/** A mounted file system, until it is unmounted by whatever program. */
export class Mount {
  readonly mountpoint: string
  readonly #session: Session
  readonly #ended = Promise.withResolvers<void>()
  #minor = 0
  #isGone = false

  private constructor(fd: number, readInThreads: boolean, fs: FileSystem, options: MountOptions) {
    this.mountpoint = options.mountpoint
    const { namesValidMs = 1000, attributesValidMs = 1000, missingValidMs = 0 } = options
    this.#session = new Session(fd, {
      wants: ['readdirplus', 'readdirplusAuto'],
      ...options,
      operations: operationsOf(fs, {
        namesMs: namesValidMs,
        attributesMs: attributesValidMs,
        missingMs: missingValidMs,
      }),
      readInThreads,
      onEnd: () => {
        this.#isGone = true
        this.#ended.resolve()
      },
    })
  }

  /**
   * Mounts a file system, and resolves when it can be used. Throws MountError, whose message says what to do. The
   * serving process must not use the mount with functions that block, such as those of node:fs whose names end with
   * Sync: they would wait for an answer of their own process.
   */
  static async start(fileSystem: FileSystem, options: MountOptions): Promise<Mount> {
    if (endianness() !== 'LE') throw new MountError('a little-endian machine is needed')
    const readInThreads = !(await canStreamDevices())
    const fd = await attach({
      mountpoint: options.mountpoint,
      fsname: options.fsname ?? 'node',
      subtype: options.subtype ?? 'node',
      allowOther: options.allowOther ?? false,
      autoUnmount: options.autoUnmount ?? false,
      defaultPermissions: options.defaultPermissions ?? true,
      flags: options.flags ?? ['nodev', 'nosuid'],
    })
    const mount = new Mount(fd, readInThreads, fileSystem, options)
    try {
      mount.#minor = await mount.#session.begun
    } catch (error) {
      await mount.detach()
      throw error
    }
    return mount
  }

  /** Resolves when the mount is gone, whichever program unmounted it. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  /** Unmounts. Throws EBUSY while a program uses the mount; nothing has changed then. */
  async unmount(): Promise<void> {
    if (this.#isGone) return
    await detach(this.mountpoint, { lazy: false })
    await Promise.race([this.ended, sleep(endMs, undefined, { ref: false })])
  }

  /** Unmounts whether the mount is in use or not: programs that use it get errors. */
  async detach(): Promise<void> {
    // Another file system may be mounted there by now.
    if (this.#isGone) return
    await detach(this.mountpoint, { lazy: true }).catch(() => undefined)
    this.#session.close()
    await this.ended
  }

  /** Makes the kernel ask for the attributes of an inode again. Its pages stay. */
  attributesChanged(ino: number): void {
    this.#session.notify(notices.invalidateInode, answers.attributesAreOld(ino))
  }

  /**
   * Makes the kernel look up all names again. Returns false when the kernel cannot be notified (before Linux 6.16).
   */
  namesChanged(): boolean {
    if (this.#minor < newEpochMinor) return false
    this.#session.notify(notices.newEpoch, answers.done())
    return true
  }
}
