/**
 * Puts a mount into the kernel's tree. fusermount3 does it, as it may for ordinary users, and hands
 * over the open device through a socket as fuse_session_mount of libfuse has it: Node can make no pair
 * of sockets and receive no descriptor, so these two system calls are made directly.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import koffi from 'koffi'
import { DfsError } from '../../errors.js'
import { payloadBytesMax } from './protocol.js'

export interface AttachOptions {
  readonly mountpoint: string
  /** Other users than the one that mounts may enter. */
  readonly allowOther: boolean
  readonly dev: boolean
  readonly suid: boolean
  /** The source that df(1) shows. */
  readonly fsname: string
}

const device = '/dev/fuse'
const helper = 'fusermount3'
const fuseConf = '/etc/fuse.conf'
const helperTimeoutMs = 20_000
/** Where the helper finds its end of the socket: behind standard error. */
const helperSocket = 3

/** Resolves with the open device of the new mount. Throws `configuration`: what to do. */
export async function attach(options: AttachOptions): Promise<number> {
  await assertPossible(options)
  const [ours, theirs] = socketPair()
  try {
    await runHelper(options, theirs)
    return receiveDescriptor(ours)
  } finally {
    closeSync(ours)
  }
}

async function assertPossible({ allowOther }: AttachOptions): Promise<void> {
  await access(device, constants.R_OK | constants.W_OK).catch((cause: unknown) => {
    throw complaint(
      `${device} is missing or not accessible: load the kernel module (modprobe fuse), or give the container the device`,
      cause,
    )
  })
  if (!allowOther || process.getuid?.() === 0) return
  const conf = await readFile(fuseConf, 'utf8').catch(() => '')
  if (!/^\s*user_allow_other\s*$/m.test(conf)) {
    throw complaint(`allow_other needs a line "user_allow_other" in ${fuseConf}`)
  }
}

async function runHelper(options: AttachOptions, socket: number): Promise<void> {
  const words = [
    ...(options.dev ? ['dev'] : ['nodev']),
    ...(options.suid ? ['suid'] : ['nosuid']),
    ...(options.allowOther ? ['allow_other'] : []),
    // fusermount3 takes a backslash for the protection of a comma.
    `fsname=${options.fsname.replaceAll('\\', '\\\\')}`,
    ...['noatime', 'default_permissions', 'subtype=dfs', `max_read=${payloadBytesMax}`],
  ]
  const child = spawn(helper, ['-o', words.join(','), '--', options.mountpoint], {
    cwd: '/',
    env: { ...process.env, _FUSE_COMMFD: String(helperSocket) },
    stdio: ['ignore', 'ignore', 'pipe', socket],
    timeout: helperTimeoutMs,
  })
  closeSync(socket)
  let said = ''
  child.stderr?.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  const [code] = (await once(child, 'close').catch((cause: unknown) => {
    throw complaint(`${helper} is missing: install FUSE 3 (Debian: apt-get install fuse3)`, cause)
  })) as [number | null]
  if (code !== 0) throw complaint(said.trim() || `${helper} ended with ${code}`)
}

// ---- unix(7), recvmsg(2) -------------------------------------------------------------------------

const libc = koffi.load(null)
koffi.struct('iovec', { base: 'void *', length: 'size_t' })
koffi.struct('msghdr', {
  name: 'void *',
  nameLength: 'uint32_t',
  parts: 'iovec *',
  partCount: 'size_t',
  control: 'void *',
  controlLength: 'size_t',
  flags: 'int',
})
const socketpair = libc.func('int socketpair(int, int, int, _Out_ int *)')
const recvmsg = libc.func('long recvmsg(int, _Inout_ msghdr *, int)')

const unixFamily = 1
const streamSocket = 1
const closeOnExec = 0o2000000
const closeReceivedOnExec = 0x4000_0000
/** struct cmsghdr: its length, the level SOL_SOCKET and the type SCM_RIGHTS, then the descriptors. */
const controlHeaderBytes = 16
const oneDescriptorBytes = controlHeaderBytes + 4
const socketLevel = 1
const rights = 1

function socketPair(): readonly [number, number] {
  const pair: [number, number] = [-1, -1]
  if (socketpair(unixFamily, streamSocket | closeOnExec, 0, pair) !== 0) {
    throw complaint('no pair of sockets could be made')
  }
  return pair
}

/** The helper has sent it before it ended. */
function receiveDescriptor(socket: number): number {
  const bytes = Buffer.alloc(1)
  const control = Buffer.alloc(64)
  const message = {
    name: null,
    nameLength: 0,
    parts: [{ base: bytes, length: bytes.length }],
    partCount: 1,
    control,
    controlLength: control.length,
    flags: 0,
  }
  const received = recvmsg(socket, message, closeReceivedOnExec)
  const isDescriptor =
    received === 1 &&
    message.controlLength >= oneDescriptorBytes &&
    control.readUInt32LE(8) === socketLevel &&
    control.readUInt32LE(12) === rights
  if (!isDescriptor) throw complaint(`${helper} did not hand over ${device}`)
  return control.readInt32LE(controlHeaderBytes)
}

function complaint(message: string, cause?: unknown): DfsError {
  return new DfsError('configuration', `cannot mount: ${message}`, { cause })
}
