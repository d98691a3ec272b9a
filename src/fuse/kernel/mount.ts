/** Mounts a FileSystem, and takes it off again. */
import { endianness } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import * as answers from './answers.js'
import { attach, detach, type MountFlag } from './attach.js'
import { MountError } from './error.js'
import type { FileSystem } from './file-system.js'
import { operationsOf } from './inode-operations.js'
import { canStreamDevices } from './node-internals.js'
import { type Feature, newEpochMinor, notices } from './protocol.js'
import type { MonotonicClock } from './request.js'
import { Session } from './session.js'
import type { Trace } from './trace.js'

export interface MountOptions {
  /** An absolute path of a folder. */
  readonly mountpoint: string
  /** The source that df(1) shows. By default "node". */
  readonly fsname?: string
  /** The kernel's table of mounts says "fuse." and this. By default "node". */
  readonly subtype?: string
  /** Other users than the one that mounts may enter. By default not. */
  readonly allowOther?: boolean
  /** The kernel checks permissions by mode, owner and group. By default it does. */
  readonly defaultPermissions?: boolean
  /** The mount is taken off when this process ends, however that comes. By default only an orderly end does it. */
  readonly autoUnmount?: boolean
  /** By default "nodev" and "nosuid". */
  readonly flags?: readonly MountFlag[]
  /** How long the kernel may answer by itself what a name stands for. By default 1000 ms. */
  readonly namesValidMs?: number
  /** How long the kernel may answer attributes by itself. By default 1000 ms. */
  readonly attributesValidMs?: number
  /** How long the kernel may answer by itself that a name does not exist. By default 0. */
  readonly missingValidMs?: number
  /** Features of the protocol that are used where the kernel has them. By default "readdirplus". */
  readonly wants?: readonly Feature[]
  /** Features of the protocol without which there is no mount. */
  readonly needs?: readonly Feature[]
  /** Requests that are worked on at once; the others wait in the kernel. By default 64. */
  readonly requestsMax?: number
  /** A request that takes longer is answered with ETIMEDOUT. By default 150 s. */
  readonly timeoutMs?: number
  readonly clock?: MonotonicClock
  /** One line for each request. */
  readonly trace?: Trace
  /** What a person should know. By default a warning of the process. */
  readonly warn?: (line: string) => void
}

/** The kernel tells of the end at once; what it does not tell of in this time is mounted elsewhere as well. */
const endMs = 1_000

/** A file system that is mounted, until somebody takes it off. */
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
   * Mounts a file system, and resolves when it can be used. Throws MountError, which says what to do. The process
   * that serves it must not use it with functions that block, such as those of node:fs that end with Sync:
   * they would wait for their own answer.
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

  /** Resolves when the mount is gone, whoever took it off. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  /** Takes the mount off. Throws EBUSY while a program uses it; nothing has changed then. */
  async unmount(): Promise<void> {
    if (this.#isGone) return
    await detach(this.mountpoint, { lazy: false })
    await Promise.race([this.ended, sleep(endMs, undefined, { ref: false })])
  }

  /** Takes the mount off whether it is in use or not: programs that use it get errors. */
  async detach(): Promise<void> {
    // Something else may be mounted there by now.
    if (this.#isGone) return
    await detach(this.mountpoint, { lazy: true }).catch(() => undefined)
    this.#session.close()
    await this.ended
  }

  /** Makes the kernel ask for the attributes of an inode again. Its pages stay. */
  attributesChanged(ino: number): void {
    this.#session.notify(notices.invalidateInode, answers.attributesAreOld(ino))
  }

  /** Makes the kernel look up all names again. Returns false where the kernel cannot be told (before Linux 6.16). */
  namesChanged(): boolean {
    if (this.#minor < newEpochMinor) return false
    this.#session.notify(notices.newEpoch, answers.done())
    return true
  }
}
