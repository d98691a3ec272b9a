/** The mount itself, and all that is particular to the FUSE binding: nothing else imports it. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import Fuse from 'fuse-native'
import { systemClock } from '../clock.js'
import { DfsError } from '../errors.js'
import { limits } from '../limits.js'
import { debugFuse, notice } from '../log.js'
import { isInRename } from './caller-syscall.js'
import { DeadMountWatch } from './dead-mount-watch.js'
import type { Filesystem } from './filesystem.js'
import { KernelNotices } from './kernel-notices.js'
import { KernelNumbers } from './kernel-numbers.js'
import { mountedAt } from './mount-table.js'
import { prepareMountpoint } from './mountpoint.js'
import { operationsOf } from './operations.js'
import { OtherNames } from './other-names.js'
import type { Paths } from './paths.js'

export interface MountOptions {
  readonly mountpoint: string
  readonly filesystem: Filesystem
  readonly paths: Paths
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

const mountTimeoutMs = 20_000
const readAheadKiB = 2048

/** FUSE_CAP_AUTO_INVAL_DATA: we say at each open whether pages are still right; the mtime does not. */
const dropPagesByTime = 1 << 12
/** FUSE_CAP_PARALLEL_DIROPS: look-ups in one folder need not come one after the other. */
const parallelFolders = 1 << 18

export class Mount {
  readonly #fuse: Fuse
  readonly #mountpoint: string
  /** The binding does not keep the process alive. */
  readonly #alive = setInterval(() => undefined, 2 ** 30)
  readonly #numbers: KernelNumbers
  #notices: KernelNotices | undefined
  #watch: DeadMountWatch | undefined
  #ended = false

  private constructor(options: MountOptions) {
    this.#mountpoint = options.mountpoint
    this.#numbers = new KernelNumbers(options.mountpoint)
    const names = new OtherNames(systemClock, async (path, what) => {
      await this.#notices?.forget(path, what)
    })
    const context = () => this.#fuse.context()
    const operations: Fuse.OPERATIONS = {
      ...operationsOf({
        ...options,
        names,
        context,
        isRenaming: ({ pid }) => isInRename(pid),
      }),
      initWithConfig: (connection, callback) => callback(0, { want: wantOf(connection) }),
    }
    this.#fuse = new Fuse(options.mountpoint, operations, {
      fsname: options.fsname,
      subtype: 'dfs',
      allowOther: options.allowOther,
      defaultPermissions: true,
      nullPathOk: true,
      maxConcurrency: limits.mountRequestsMax,
      timeout: { default: limits.mountOperationTimeoutMs, init: mountTimeoutMs },
      attrTimeout: limits.kernelCacheMs / 1000,
      entryTimeout: limits.kernelCacheMs / 1000,
      onError: (error, operation) => {
        debugFuse('%s: %o', operation, error)
        if (codeOf(error) === 'EFUSELOOPEXIT') this.#end(options.onEnd)
        else notice(`unexpected error in ${operation}: ${String(error)}`)
      },
    })
  }

  /** Resolves when the mount is usable. Throws `configuration` with a sentence that says what to do. */
  static async start(options: MountOptions): Promise<Mount> {
    await prepareMountpoint(options.mountpoint)
    const mount = new Mount(options)
    try {
      await new Promise<void>((resolve, reject) => {
        mount.#fuse.mount((error) => (error ? reject(error) : resolve()))
      })
    } catch (thrown) {
      clearInterval(mount.#alive)
      throw complaintOf(thrown)
    }
    mount.#notices = new KernelNotices(mount.#numbers)
    mount.#watch = new DeadMountWatch(options.mountpoint)
    if (process.getuid?.() === 0) await mount.#asRoot(options)
    return mount
  }

  /** Takes the mount off whether it is in use or not: what is still running there gets errors. */
  async detach(): Promise<void> {
    this.#ended = true
    await new Promise<void>((resolve) => {
      this.#fuse.unmount((error) => {
        if (error) debugFuse('unmount: %o', error)
        resolve()
      })
    })
    clearInterval(this.#alive)
    this.#numbers.end()
    this.#watch?.end()
  }

  #end(onEnd: () => void): void {
    if (this.#ended) return
    this.#ended = true
    onEnd()
  }

  /** What only root can set: the rights that mount(8) gives to root, and more read-ahead. */
  async #asRoot({ dev, suid }: MountOptions): Promise<void> {
    const words = [dev === false ? 'nodev' : 'dev', suid === false ? 'nosuid' : 'suid', 'noatime']
    try {
      const flags = ['remount', 'bind', ...words].join(',')
      await promisify(execFile)('mount', ['-i', '-n', '-o', flags, '--', this.#mountpoint])
    } catch (error) {
      debugFuse('stays nodev and nosuid: %o', error)
    }
    try {
      const mounted = await mountedAt(this.#mountpoint)
      if (mounted === undefined) return
      await writeFile(`/sys/class/bdi/${mounted.device}/read_ahead_kb`, String(readAheadKiB))
    } catch (error) {
      debugFuse('read-ahead stays as it is: %o', error)
    }
  }
}

function wantOf({ want, capable }: Fuse.ConnectionInfo): number {
  return ((want & ~dropPagesByTime) | (capable & parallelFolders)) >>> 0
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code
}

const advice: Readonly<Record<string, string>> = {
  EFUSEHELPER: 'fusermount3 is missing: install FUSE 3 (Debian: apt-get install fuse3)',
  EFUSEDEVICE:
    '/dev/fuse is missing or not accessible: load the kernel module (modprobe fuse), or give the container the device',
  EFUSEALLOWOTHER:
    'allow_other needs a line "user_allow_other" in /etc/fuse.conf, for root as well',
}

function complaintOf(thrown: unknown): DfsError {
  const code = codeOf(thrown)
  const known = typeof code === 'string' ? advice[code] : undefined
  const message = known ?? (thrown instanceof Error ? thrown.message : String(thrown))
  return new DfsError('configuration', `cannot mount: ${message}`, { cause: thrown })
}
