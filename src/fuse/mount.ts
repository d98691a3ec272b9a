/** The mount itself: puts it into the kernel's tree, serves it, and takes it off again. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { endianness } from 'node:os'
import { promisify } from 'node:util'
import { systemClock } from '../clock.js'
import { DfsError } from '../errors.js'
import { debugFuse } from '../log.js'
import { DeadMountWatch } from './dead-mount-watch.js'
import type { Filesystem } from './filesystem.js'
import * as answers from './kernel/answers.js'
import { attach } from './kernel/attach.js'
import { newEpochMinor, notices } from './kernel/protocol.js'
import { Session } from './kernel/session.js'
import { mountedAt } from './mount-table.js'
import { prepareMountpoint } from './mountpoint.js'
import { operationsOf } from './operations.js'

export interface MountOptions {
  readonly mountpoint: string
  readonly filesystem: Filesystem
  /** Other users than the one that mounts may enter. */
  readonly allowOther: boolean
  /** Device nodes and set-user-ID bits work, which only root can have; undefined: if root mounts. */
  readonly dev: boolean | undefined
  readonly suid: boolean | undefined
  /** The source that df(1) shows. */
  readonly fsname: string
  /** The mount was taken off by somebody else. */
  readonly onEnd: () => void
}

const readAheadKiB = 2048
const detachTimeoutMs = 30_000

export class Mount {
  readonly #mountpoint: string
  readonly #session: Session
  readonly #watch: DeadMountWatch
  /** As in the kernel's table of mounts; known when it is usable. */
  #device: string | undefined
  #ended = false

  private constructor(fd: number, options: MountOptions) {
    const { mountpoint, filesystem, onEnd } = options
    this.#mountpoint = mountpoint
    this.#session = new Session(fd, {
      operations: operationsOf(filesystem),
      acl: filesystem.metadata.acl,
      clock: systemClock,
      onEnd: () => {
        if (!this.#ended) onEnd()
        this.#ended = true
      },
    })
    filesystem.kernel.takeAttributes = (ino) =>
      this.#session.notify(notices.invalidateInode, answers.attributesAreOld(ino))
    this.#watch = new DeadMountWatch(mountpoint)
  }

  /** Resolves when the mount is usable. Throws `configuration` with a sentence that says what to do. */
  static async start(options: MountOptions): Promise<Mount> {
    const { mountpoint, allowOther, fsname } = options
    if (endianness() !== 'LE') {
      throw new DfsError('configuration', 'mounting needs a little-endian machine')
    }
    await prepareMountpoint(mountpoint)
    const isRoot = process.getuid?.() === 0
    const [dev, suid] = [options.dev ?? isRoot, options.suid ?? isRoot]
    const fd = await attach({ mountpoint, allowOther, dev, suid, fsname, subtype: 'dfs' })
    const mount = new Mount(fd, options)
    try {
      const minor = await mount.#session.begun
      if (minor >= newEpochMinor) {
        options.filesystem.kernel.takeNames = () =>
          mount.#session.notify(notices.newEpoch, answers.done())
      }
    } catch (error) {
      await mount.detach()
      throw error
    }
    mount.#device = (await mountedAt(mountpoint))?.device
    if (isRoot) await mount.#readAhead()
    return mount
  }

  /** Takes the mount off whether it is in use or not: what is still running there gets errors. */
  async detach(): Promise<void> {
    this.#ended = true
    const mounted = await mountedAt(this.#mountpoint)
    // Somebody may have taken ours off already, and mounted something else.
    if (mounted !== undefined && (this.#device ?? mounted.device) === mounted.device) {
      await promisify(execFile)('fusermount3', ['-u', '-z', '--', this.#mountpoint], {
        timeout: detachTimeoutMs,
      }).catch((error: unknown) => debugFuse('detach: %o', error))
    }
    this.#session.close()
    this.#watch.end()
  }

  /** More than the kernel begins with, which only root can set. */
  async #readAhead(): Promise<void> {
    try {
      await writeFile(`/sys/class/bdi/${this.#device}/read_ahead_kb`, String(readAheadKiB))
    } catch (error) {
      debugFuse('read-ahead stays as it is: %o', error)
    }
  }
}
