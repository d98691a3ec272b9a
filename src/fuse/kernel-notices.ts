/**
 * Tells the kernel to forget what it holds of a file, by a notification on /dev/fuse as in
 * linux/fuse.h. The binding has none for attributes and pages; the device is this process's own, and
 * every write to it is one whole message.
 */
import { readdirSync, readlinkSync, write } from 'node:fs'
import { endianness } from 'node:os'
import { debugFuse } from '../log.js'
import type { KernelNumbers } from './kernel-numbers.js'

const device = '/dev/fuse'
/** FUSE_NOTIFY_INVAL_INODE: struct fuse_out_header, struct fuse_notify_inval_inode_out. */
const invalidateInode = 2
const messageBytes = 40
/** A negative offset spares the pages. */
const noPages = -1n

export class KernelNotices {
  readonly #numbers: KernelNumbers
  readonly #device: number | undefined = findDevice()

  /** To be made when the mount is there. */
  constructor(numbers: KernelNumbers) {
    this.#numbers = numbers
  }

  /** Resolves when the kernel has forgotten, or when it cannot be told. */
  async forget(path: string, what: 'attributes' | 'all'): Promise<void> {
    const number = this.#device === undefined ? undefined : await this.#numbers.of(path)
    if (number === undefined || this.#device === undefined) return
    const message = invalidationOf(number, what === 'all' ? 0n : noPages)
    await new Promise<void>((resolve) => {
      // Not in the event loop, which may have to bring the very page that the kernel waits for.
      write(this.#device ?? -1, message, (error) => {
        if (error) debugFuse('forget %s: %o', path, error)
        resolve()
      })
    })
  }
}

function invalidationOf(number: bigint, offset: bigint): Buffer {
  const message = Buffer.alloc(messageBytes)
  const view = new DataView(message.buffer, message.byteOffset, messageBytes)
  const little = endianness() === 'LE'
  view.setUint32(0, messageBytes, little)
  view.setInt32(4, invalidateInode, little)
  view.setBigUint64(16, number, little)
  view.setBigInt64(24, offset, little)
  return message
}

function findDevice(): number | undefined {
  const open = readdirSync('/proc/self/fd').find((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === device
    } catch {
      // The listing's own handle is closed by now.
      return false
    }
  })
  return open === undefined ? undefined : Number(open)
}
