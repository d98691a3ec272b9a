/**
 * The interface of the npm package fuse-native, without its binding of libfuse: a file system by paths, with
 * callbacks. Programs written for that package run on it unchanged; docs/fuse.md lists the differences.
 */
import { mkdir, stat } from 'node:fs/promises'
import { constants } from 'node:os'
import { dirname, resolve } from 'node:path'
import { detach, Mount, MountError, type MountFlag, type MountOptions } from '../kernel/index.js'
import { Calls, type Timeout } from './calls.js'
import { type ErrorName, errors } from './errno.js'
import type { Operations } from './operations.js'
import { pathFileSystem } from './path-file-system.js'

export interface FuseOptions {
  /** Prints a line for each operation to standard error. */
  readonly debug?: boolean
  /** Removes a dead mount from the mountpoint first. */
  readonly force?: boolean
  /** Creates the mountpoint if it is missing. */
  readonly mkdir?: boolean
  /** How long an operation may take, in ms, before the program gets ETIMEDOUT. Defaults to 15 s. */
  readonly timeout?: Timeout
  /** Mounts even if the folder is a mountpoint already, or is not empty. */
  readonly nonEmpty?: boolean
  /** Other users may enter. */
  readonly allowOther?: boolean
  /** Root may enter, and no other user. */
  readonly allowRoot?: boolean
  /** The mount is removed when this process ends, in whatever way. */
  readonly autoUnmount?: boolean
  /** The kernel checks permissions by mode, uid and gid. */
  readonly defaultPermissions?: boolean
  /** Source that df(1) shows. */
  readonly fsname?: string
  /** Type of the file system: the kernel's table of mounts shows "fuse." and this. */
  readonly subtype?: string
  /** The kernel's pages of a file stay valid when it is opened again. */
  readonly kernelCache?: boolean
  /** The kernel keeps no pages of files. */
  readonly directIo?: boolean
  /** Open files are unlinked at once, rather than when they are closed. */
  readonly hardRemove?: boolean
  /** Permissions removed from every file, in octal if it is a string. */
  readonly umask?: number | string
  readonly uid?: number
  readonly gid?: number
  /** How long the kernel may answer names, attributes and missing names by itself, in seconds. */
  readonly entryTimeout?: number
  readonly attrTimeout?: number
  readonly negativeTimeout?: number
  readonly readOnly?: boolean
  /** Accepted without effect on Linux: macOS shows the folder under this name. */
  readonly displayFolder?: boolean | string
  readonly name?: string
  /** Accepted without effect: this implementation has no use for it. */
  readonly autoCache?: boolean
  readonly acAttrTimeout?: number
  readonly blksize?: number
  readonly maxRead?: number
  readonly noforget?: boolean
  readonly remember?: number
  readonly userId?: number
}

type Done = (error?: Error | null) => void

/** An error number for each name, such as Fuse.ENOENT, as static properties. */
type ErrorNumbers = { readonly [Name in ErrorName]: number }

class FuseMount {
  /** The absolute path of the mountpoint. */
  readonly mnt: string
  readonly ops: Operations
  readonly opts: FuseOptions
  #mounting: Promise<void> | undefined
  #unmounting: Promise<void> | undefined
  #mount: Mount | undefined

  constructor(mnt: string, ops: Operations = {}, opts: FuseOptions = {}) {
    this.mnt = resolve(mnt)
    this.ops = ops
    this.opts = opts
  }

  /** Unmounts a folder, whether it is in use or not. */
  static unmount(mnt: string, cb: Done): void {
    settle(detach(resolve(mnt), { lazy: true }), cb)
  }

  /** Reports whether FUSE can be used on this machine: on Linux, whether /dev/fuse exists. */
  static isConfigured(cb: (error: Error | null, isConfigured?: boolean) => void): void {
    stat('/dev/fuse').then(
      () => process.nextTick(cb, null, true),
      () => process.nextTick(cb, null, false),
    )
  }

  /** Does nothing on Linux, where the kernel loads FUSE by itself. */
  static configure(cb: Done): void {
    process.nextTick(cb, null)
  }

  static unconfigure(cb: Done): void {
    process.nextTick(cb, null)
  }

  static beforeMount(cb: Done): void {
    process.nextTick(cb, null)
  }

  static beforeUnmount(cb: Done): void {
    process.nextTick(cb, null)
  }

  /** Mounts. An instance that was unmounted cannot be mounted again. */
  mount(cb?: Done): void {
    if (this.#unmounting !== undefined) {
      settle(Promise.reject(new Error('was unmounted: make another instance')), cb)
      return
    }
    this.#mounting ??= this.#start()
    settle(this.#mounting, cb)
  }

  /** Unmounts, whether programs use the mount or not. */
  unmount(cb?: Done): void {
    this.#unmounting ??= this.#end()
    settle(this.#unmounting, cb)
  }

  open(cb?: Done): void {
    this.mount(cb)
  }

  close(cb?: Done): void {
    this.unmount(cb)
  }

  /** The number of an error by its name, such as "ENOENT"; that of EPERM for an unknown name. */
  errno(code?: string): number {
    const name = code?.toUpperCase()
    return (
      (name !== undefined && (errors as Readonly<Record<string, number>>)[name]) || errors.EPERM
    )
  }

  async #start(): Promise<void> {
    const { opts, ops } = this
    assertSupported(opts)
    if (opts.force) await this.#removeDead()
    await this.#prepare()
    const trace = opts.debug ? (line: string) => console.error(`fuse: ${line}`) : undefined
    const calls = new Calls(ops, opts.timeout, trace)
    if (calls.has('init')) await calls.call('init')
    const fileSystem = pathFileSystem(calls, {
      ...{ uid: opts.uid, gid: opts.gid, umask: umaskOf(opts.umask) },
      kernelCache: opts.kernelCache ?? false,
      directIo: opts.directIo ?? false,
      hardRemove: opts.hardRemove ?? false,
      onlyUser: opts.allowRoot ? process.getuid?.() : undefined,
    })
    this.#mount = await Mount.start(fileSystem, mountOptionsOf(this.mnt, opts))
  }

  async #end(): Promise<void> {
    await this.#mounting?.catch(() => undefined)
    await this.#mount?.detach()
  }

  /** Removes a dead mount, whose stat(2) fails in a way of its own. */
  async #removeDead(): Promise<void> {
    const { ENOTCONN, ENXIO, ECONNABORTED } = constants.errno
    try {
      await stat(this.mnt)
    } catch (error) {
      const { errno = 0 } = error as NodeJS.ErrnoException
      if (![ENOTCONN, ENXIO, ECONNABORTED].includes(-errno)) return
      await detach(this.mnt, { lazy: true })
    }
  }

  async #prepare(): Promise<void> {
    if (this.opts.mkdir) await mkdir(this.mnt, { recursive: true })
    const found = await stat(this.mnt).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') throw new Error('Mountpoint does not exist')
      throw error
    })
    if (!found.isDirectory()) throw new Error('Mountpoint is not a directory')
    if (this.opts.nonEmpty) return
    const above = await stat(dirname(this.mnt))
    if (above.dev !== found.dev) throw new Error('Mountpoint in use')
  }
}

/** Throws for options of libfuse that change what a mount is and that are not supported here. */
function assertSupported(opts: FuseOptions): void {
  for (const name of ['blkdev', 'fd', 'modules']) {
    if ((opts as Readonly<Record<string, unknown>>)[name]) {
      throw new MountError(`the option ${name} is not supported`)
    }
  }
}

function mountOptionsOf(mountpoint: string, opts: FuseOptions): MountOptions {
  const { entryTimeout = 1, attrTimeout = 1, negativeTimeout = 0 } = opts
  const isRoot = process.getuid?.() === 0
  const flags: readonly MountFlag[] = [
    ...(isRoot ? [] : (['nodev', 'nosuid'] as const)),
    ...(opts.readOnly ? (['ro'] as const) : []),
  ]
  return {
    mountpoint,
    fsname: opts.fsname ?? 'fuse-native',
    subtype: opts.subtype ?? 'fuse-native',
    allowOther: Boolean(opts.allowOther || opts.allowRoot),
    autoUnmount: opts.autoUnmount ?? false,
    defaultPermissions: opts.defaultPermissions ?? false,
    flags,
    namesValidMs: entryTimeout * 1000,
    attributesValidMs: attrTimeout * 1000,
    missingValidMs: negativeTimeout * 1000,
    // Listings have no attributes here.
    wants: [],
    // Operations have timeouts of their own.
    timeoutMs: Number.POSITIVE_INFINITY,
  }
}

function umaskOf(umask: number | string | undefined): number | undefined {
  return typeof umask === 'string' ? Number.parseInt(umask, 8) : umask
}

/** Calls back with the outcome of a promise. An error thrown by the callback is the program's. */
function settle(promise: Promise<void>, cb: Done = () => undefined): void {
  promise.then(
    () => process.nextTick(cb, null),
    (error: unknown) =>
      process.nextTick(cb, error instanceof Error ? error : new Error(String(error))),
  )
}

export type Fuse = FuseMount
export const Fuse = Object.assign(FuseMount, errors) as typeof FuseMount & ErrorNumbers

export default Fuse
export type { Timeout } from './calls.js'
export type { Callback, Code, FileSystemStat, Operations, Stat } from './operations.js'
// require() of the package returns this.
export { Fuse as 'module.exports' }
