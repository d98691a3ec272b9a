/**
 * Adds a mount to the kernel's tree of mounts. fusermount3 does it, as ordinary users may only so, and sends the open
 * device through a socket, as libfuse's fuse_session_mount expects it.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import { promisify } from 'node:util'
import { FuseError, MountError } from './error.js'
import { payloadBytesMax } from './protocol.js'
import { receiveDescriptor, socketPair } from './system-calls.js'

export interface AttachOptions {
  readonly mountpoint: string
  /** Users other than the mounting one may enter. */
  readonly allowOther: boolean
  /** The kernel checks permissions by the attributes of files, as for other file systems. */
  readonly defaultPermissions: boolean
  /** fusermount3 stays, and unmounts when this process ends in whatever way. */
  readonly autoUnmount?: boolean
  /** Flags for mount(2). */
  readonly flags: readonly MountFlag[]
  /** The source that df(1) shows. */
  readonly fsname: string
  /** Type of the file system: the kernel's table of mounts shows "fuse." and this. */
  readonly subtype: string
}

/** Flags that fusermount3 takes from every user. For all but root it sets nodev and nosuid by itself. */
export type MountFlag = 'ro' | 'noexec' | 'nodev' | 'nosuid' | 'sync' | 'dirsync' | 'noatime'

const device = '/dev/fuse'
const helper = 'fusermount3'
const fuseConf = '/etc/fuse.conf'
const helperTimeoutMs = 20_000
/** The helper's descriptor of its end of the socket, the one behind standard error. */
const helperSocket = 3

/** Mounts, and resolves with the open device of the new mount. Throws MountError, whose message says what to do. */
export async function attach(options: AttachOptions): Promise<number> {
  await assertPossible(options)
  const [ours, theirs] = socketPair()
  const helping = startHelper(options, theirs)
  // A helper that stays ends with the socket, which is closed by the end of this process.
  if (options.autoUnmount === true) {
    const received = receiveDescriptor(ours)
    if (received !== undefined) return received
  }
  try {
    await helping
    // The descriptor was sent before the helper ended.
    const received = receiveDescriptor(ours)
    if (received === undefined) throw new MountError(`${helper} did not hand over ${device}`)
    return received
  } finally {
    closeSync(ours)
  }
}

/** Unmounts a folder, with `lazy` even while it is in use. Throws EBUSY. */
export async function detach(
  mountpoint: string,
  { lazy }: { readonly lazy: boolean },
): Promise<void> {
  const words = ['-u', ...(lazy ? ['-z'] : []), '--', mountpoint]
  try {
    await promisify(execFile)(helper, words, { timeout: helperTimeoutMs })
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() || String(cause)
    throw new FuseError('EBUSY', said, { cause })
  }
}

async function assertPossible({ allowOther }: AttachOptions): Promise<void> {
  await access(device, constants.R_OK | constants.W_OK).catch((cause: unknown) => {
    throw new MountError(
      `${device} is missing or not accessible: load the kernel module (modprobe fuse), or give the container the device`,
      { cause },
    )
  })
  if (!allowOther || process.getuid?.() === 0) return
  const conf = await readFile(fuseConf, 'utf8').catch(() => '')
  if (!/^\s*user_allow_other\s*$/m.test(conf)) {
    throw new MountError(`allow_other needs a line "user_allow_other" in ${fuseConf}`)
  }
}

/** Runs fusermount3. Its promise may be ignored; it rejects when the mount could not be made. */
function startHelper(options: AttachOptions, socket: number): Promise<void> {
  const words = [
    // Unless told otherwise, the helper sets nodev and nosuid.
    ...(options.flags.includes('nodev') ? [] : ['dev']),
    ...(options.flags.includes('nosuid') ? [] : ['suid']),
    ...options.flags,
    ...(options.allowOther ? ['allow_other'] : []),
    ...(options.autoUnmount === true ? ['auto_unmount'] : []),
    // fusermount3 takes a backslash as the escape of a comma.
    `fsname=${options.fsname.replaceAll('\\', '\\\\')}`,
    `subtype=${options.subtype}`,
    ...(options.defaultPermissions ? ['default_permissions'] : []),
    `max_read=${payloadBytesMax}`,
  ]
  const child = spawn(helper, ['-o', words.join(','), '--', options.mountpoint], {
    cwd: '/',
    env: { ...process.env, _FUSE_COMMFD: String(helperSocket) },
    stdio: ['ignore', 'ignore', 'pipe', socket],
    ...(options.autoUnmount === true ? { detached: true } : { timeout: helperTimeoutMs }),
  })
  closeSync(socket)
  if (options.autoUnmount === true) {
    child.unref()
    if (child.stderr instanceof Socket) child.stderr.unref()
  }
  const ending = endOf(child)
  ending.catch(() => undefined)
  return ending
}

async function endOf(child: ChildProcess): Promise<void> {
  let said = ''
  child.stderr?.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  const [code] = (await once(child, 'close').catch((cause: unknown) => {
    throw new MountError(`${helper} is missing: install FUSE 3 (Debian: apt-get install fuse3)`, {
      cause,
    })
  })) as [number | null]
  if (code !== 0) throw new MountError(said.trim() || `${helper} ended with ${code}`)
}
