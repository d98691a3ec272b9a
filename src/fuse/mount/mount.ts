/** One mount: adds it to the kernel's tree of mounts, serves it, and removes it. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { endianness } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { systemClock } from '../../clock.js'
import { asDfsError, DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { debugFuse, notice } from '../../log.js'
import * as answers from '../kernel/answers.js'
import { attach, type MountFlag } from '../kernel/attach.js'
import { FuseError, MissingFeatureError, MountError } from '../kernel/error.js'
import { canStreamDevices } from '../kernel/node-internals.js'
import { type Feature, newEpochMinor, notices } from '../kernel/protocol.js'
import { Session } from '../kernel/session.js'
import type { Filesystem } from '../vfs/filesystem.js'
import type { KernelNotices } from '../vfs/kernel-view.js'
import type { Activity } from './activity.js'
import { DeadMountWatch } from './dead-mount-watch.js'
import type { MountWords } from './mount-options.js'
import { mountedAt, mountsOf } from './mount-table.js'
import { prepareMountpoint, unmount } from './mountpoint.js'
import { operationsOf } from './operations.js'
import { forRootAlone, isForRootAlone } from './root-alone.js'

export interface MountOptions {
  readonly mountpoint: string
  readonly filesystem: Filesystem
  readonly words: MountWords
  /** Source that df(1) shows. */
  readonly fsname: string
  readonly activity: Activity
  /** Called when the mount was removed from outside. */
  readonly onEnd: () => void
}

/** Features of the protocol that this file system uses if the kernel has them. */
const wants: readonly Feature[] = [
  'atomicTruncate',
  'exportSupport',
  'readdirplus',
  'readdirplusAuto',
  'cacheSymlinks',
  'killPrivileges',
  'directMmap',
]
const aclNeeds: readonly Feature[] = ['dontMask', 'posixAcl', 'setxattrExtended']
const readAheadKiB = 2048
const detachTimeoutMs = 30_000
/** Wait in ms for the kernel's report of the end. A mount that has not ended after it is in use elsewhere. */
const endMs = 1_000

export class Mount {
  readonly #mountpoint: string
  readonly #session: Session
  readonly #watch: DeadMountWatch
  /** Device number as in the kernel's table of mounts. Known once the mount is usable. */
  #device: string | undefined
  readonly #gone = Promise.withResolvers<boolean>()
  #ended = false

  private constructor(fd: number, readInThreads: boolean, options: MountOptions) {
    const { mountpoint, filesystem, activity, words, onEnd } = options
    this.#mountpoint = mountpoint
    const operations = operationsOf(filesystem, activity)
    this.#session = new Session(fd, {
      operations: isForRootAlone(words)
        ? forRootAlone(operations, filesystem.metadata)
        : operations,
      wants,
      needs: filesystem.metadata.acl ? aclNeeds : [],
      errnoOf,
      onFailure: (operation, ino, thrown) =>
        filesystem.failures.failed(operation, ino, withSentence(thrown)),
      requestsMax: limits.mountRequestsMax,
      timeoutMs: limits.mountOperationTimeoutMs,
      clock: systemClock,
      trace: debugFuse,
      warn: (line) => notice(line, 'warning'),
      readInThreads,
      answered: (request, tookMs, errno) => activity.answered(request, tookMs, errno),
      onEnd: () => {
        if (!this.#ended) onEnd()
        this.#ended = true
        this.#gone.resolve(true)
      },
    })
    this.#watch = new DeadMountWatch(mountpoint)
  }

  /** Mounts, and resolves when the mount is usable. Throws `configuration` with a sentence that says what to do. */
  static async start(options: MountOptions): Promise<Mount> {
    const { mountpoint, words, fsname } = options
    if (endianness() !== 'LE') {
      throw new DfsError('configuration', 'mounting needs a little-endian machine')
    }
    await prepareMountpoint(mountpoint, words.nonEmpty)
    const isRoot = process.getuid?.() === 0
    const { allowOther } = words
    const flags = flagsOf(words)
    const readInThreads = !(await canStreamDevices())
    const how = {
      mountpoint,
      allowOther,
      flags,
      fsname,
      defaultPermissions: !isForRootAlone(words),
    }
    const fd = await attach({ ...how, subtype: 'dfs' }).catch(throwConfiguration)
    const mount = new Mount(fd, readInThreads, options)
    try {
      const minor = await mount.#session.begun.catch(throwConfiguration)
      options.filesystem.kernel.connect(noticesOf(mount.#session, minor))
    } catch (error) {
      await mount.detach()
      throw error
    }
    mount.#device = (await mountedAt(mountpoint))?.device
    if (isRoot) await mount.#readAhead()
    return mount
  }

  /** Device number "major:minor" of the mount; undefined until it is usable. */
  get device(): string | undefined {
    return this.#device
  }

  /**
   * Unmounts. Throws `busy` when the mount is in use. Returns false when the file system is mounted elsewhere as
   * well, such as by a bind mount: it goes on until the last mount is gone.
   */
  async unmount(): Promise<boolean> {
    const device = this.#device
    if (device === undefined || (await mountedAt(this.#mountpoint))?.device !== device) {
      throw new DfsError('configuration', `${this.#mountpoint} is not mounted`)
    }
    await unmount(this.#mountpoint)
    if ((await mountsOf(device)).length > 0) return false
    return Promise.race([this.#gone.promise, sleep(endMs, false)])
  }

  /** Unmounts whether the mount is in use or not: programs that use it get errors. */
  async detach(): Promise<void> {
    this.#ended = true
    const mounted = await mountedAt(this.#mountpoint)
    // The mount may have been removed already, and another file system mounted there.
    if (mounted !== undefined && (this.#device ?? mounted.device) === mounted.device) {
      await promisify(execFile)('fusermount3', ['-u', '-z', '--', this.#mountpoint], {
        timeout: detachTimeoutMs,
      }).catch((error: unknown) => debugFuse('detach: %o', error))
    }
    this.#session.close()
    this.#watch.end()
  }

  /** Raises the kernel's read-ahead above its default, which only root can do. */
  async #readAhead(): Promise<void> {
    try {
      await writeFile(`/sys/class/bdi/${this.#device}/read_ahead_kb`, String(readAheadKiB))
    } catch (error) {
      debugFuse('read-ahead stays as it is: %o', error)
    }
  }
}

/** The notices that the kernel of this session understands, whose protocol is 7.`minor`. */
function noticesOf(session: Session, minor: number): KernelNotices {
  const invalidateEntries = (): void => session.notify(notices.newEpoch, answers.done())
  return {
    invalidateAttributes: (ino) =>
      session.notify(notices.invalidateInode, answers.attributesAreOld(ino)),
    invalidateEntries: minor >= newEpochMinor ? invalidateEntries : undefined,
  }
}

/** Converts a thrown value to an errno. Anything but a DfsError is a bug, or an error of this machine. */
function errnoOf(thrown: unknown): number {
  if (!(thrown instanceof DfsError)) debugFuse('a bug? %o', thrown)
  return asDfsError(thrown).errno
}

/** The kernel's layer ends what takes too long, and has no sentence for it. */
function withSentence(thrown: unknown): unknown {
  const isLate = thrown instanceof FuseError && thrown.code === 'ETIMEDOUT'
  return isLate ? new DfsError('timedOut', 'it took too long') : thrown
}

/** Throws a `configuration` error that says what to do about a mount that could not be made. */
function throwConfiguration(cause: unknown): never {
  if (cause instanceof MissingFeatureError) {
    throw new DfsError('configuration', '-o acl needs Linux 5.13 or later', { cause })
  }
  if (cause instanceof MountError) throw new DfsError('configuration', cause.message, { cause })
  throw cause
}

/**
 * Device nodes and set-user-ID bits work only where they are asked for: anyone with the password of the account
 * could otherwise make, from any machine, programs that run as root on this one.
 */
function flagsOf(words: MountWords): readonly MountFlag[] {
  const { readOnly = false, exec = true, sync = false, dirSync } = words
  const { dev = false, suid = false, noAtime = false } = words
  const isSet: Readonly<Record<MountFlag, boolean>> = {
    ro: readOnly,
    noexec: !exec,
    nodev: !dev,
    nosuid: !suid,
    sync,
    dirsync: dirSync,
    noatime: noAtime,
  }
  return (Object.keys(isSet) as MountFlag[]).filter((flag) => isSet[flag])
}
