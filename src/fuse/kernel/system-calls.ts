/**
 * System calls that a mount needs and Node lacks: socket pairs, receiving a descriptor through a socket, replacing
 * one descriptor by another, remounting, and leaving a session.
 */
import { closeSync } from 'node:fs'
import koffi from 'koffi'
import { FuseError } from './error.js'

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
const dup3 = libc.func('int dup3(int, int, int)')
const mount = libc.func('int mount(const char *, const char *, const char *, ulong, const char *)')
const fcntl = libc.func('int fcntl(int, int, ...)')
const setsid = libc.func('int setsid(void)')
const poll = libc.func('int poll(uint8_t *, ulong, int)')

const unixFamily = 1
const streamSocket = 1
const closeOnExec = 0o2000000
const nonBlocking = 0o4000
const closeReceivedOnExec = 0x4000_0000
const setStatusFlags = 4
/** POLLIN. */
const readable = 1
const remounting = 32
/** struct cmsghdr: its length, the level SOL_SOCKET and the type SCM_RIGHTS, then the descriptors. */
const controlHeaderBytes = 16
const oneDescriptorBytes = controlHeaderBytes + 4
const socketLevel = 1
const rights = 1

/** Makes a connected pair of stream sockets: socketpair(2). */
export function socketPair(): readonly [number, number] {
  const pair: [number, number] = [-1, -1]
  if (socketpair(unixFamily, streamSocket | closeOnExec, 0, pair) !== 0) {
    throw new FuseError('ENFILE', 'no pair of sockets could be made')
  }
  return pair
}

/** Receives a descriptor that was sent through `socket`, unix(7). Undefined when none has come. */
export function receiveDescriptor(socket: number): number | undefined {
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
  return isDescriptor ? control.readInt32LE(controlHeaderBytes) : undefined
}

/**
 * Moves the open file of `descriptor` to the number `place`, whose own file is closed, and makes reading it
 * non-blocking: dup(2), fcntl(2).
 */
export function moveTo(place: number, descriptor: number): void {
  setNonBlocking(descriptor)
  const isMoved = dup3(descriptor, place, closeOnExec) === place
  if (!isMoved) throw new FuseError('EIO', 'a descriptor cannot be moved')
  closeSync(descriptor)
}

/** Makes reading a descriptor fail with EAGAIN instead of blocking: fcntl(2). */
export function setNonBlocking(descriptor: number): void {
  if (fcntl(descriptor, setStatusFlags, 'int', nonBlocking) !== 0) {
    throw new FuseError('EIO', 'a descriptor cannot be made not to block')
  }
}

/** Resolves when `descriptor` has something to read or has failed, at the latest after `timeoutMs`: poll(2). */
export function waitUntilReadable(descriptor: number, timeoutMs: number): Promise<void> {
  // struct pollfd: the descriptor, the events to wait for, and those that occurred.
  const wanted = Buffer.alloc(8)
  wanted.writeInt32LE(descriptor, 0)
  wanted.writeInt16LE(readable, 4)
  return new Promise((resolve, reject) => {
    poll.async(wanted, 1, timeoutMs, (error: unknown) => {
      if (error === null || error === undefined) resolve()
      else reject(error)
    })
  })
}

/** Closes a descriptor, ignoring errors. */
export function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor)
  } catch {
    // The mount is gone either way.
  }
}

/** Remounts with mount(2), MS_REMOUNT. `flags` are all that the mount has afterwards. Returns 0 or the errno. */
export function remount(mountpoint: string, flags: number): number {
  return mount('none', mountpoint, null, flags | remounting, null) === 0 ? 0 : koffi.errno()
}

/** Begins a session without a terminal: setsid(2). The leader of a group of processes stays where it is. */
export function beginSession(): void {
  setsid()
}
