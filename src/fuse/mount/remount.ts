/**
 * mount(8) with -o remount: changes the kernel's flags of a mount, which stays. The daemon has none of these flags
 * itself: it carries out what the kernel lets through.
 */
import { constants } from 'node:os'
import { DfsError } from '../../errors.js'
import { remount as remountInKernel } from '../kernel/system-calls.js'
import type { MountWords } from './mount-options.js'
import { mountedAt, mountType } from './mount-table.js'

/** MS_* flags of mount(2), by the words of /proc/mounts. */
const flags: Readonly<Record<string, number>> = {
  ro: 1 << 0,
  nosuid: 1 << 1,
  nodev: 1 << 2,
  noexec: 1 << 3,
  sync: 1 << 4,
  dirsync: 1 << 7,
  nosymfollow: 1 << 8,
  noatime: 1 << 10,
  nodiratime: 1 << 11,
  relatime: 1 << 21,
}

/**
 * Changes the flags of the mount at `mountpoint`. Throws `notFound` when no mount of this program is there, and
 * `notPermitted` and `busy` as mount(2) does.
 */
export async function remount(mountpoint: string, words: MountWords): Promise<void> {
  const mounted = await mountedAt(mountpoint)
  if (mounted?.type !== mountType) {
    throw new DfsError('notFound', `${mountpoint} is not mounted`)
  }
  const errno = remountInKernel(mountpoint, flagsAfter(mounted.options, words))
  const { EBUSY, EPERM } = constants.errno
  if (errno === 0) return
  if (errno === EPERM) throw new DfsError('notPermitted', 'only root can remount')
  if (errno === EBUSY) throw new DfsError('busy', `files are being written in ${mountpoint}`)
  throw new DfsError('io', `${mountpoint} cannot be remounted: error ${errno}`)
}

/**
 * Computes the flags after a remount from `options`, those that the mount has: a flag that no word mentions stays.
 * mount(8) merges the present flags with the requested ones and passes on the result, in which nothing is left of a
 * pair such as "noexec" and "exec". Pure.
 */
export function flagsAfter(
  options: readonly string[],
  { readOnly, suid, dev, exec, sync, dirSync, isComplete }: MountWords,
): number {
  const unsaid = isComplete ? false : undefined
  const without = (is: boolean | undefined): boolean | undefined =>
    is === undefined ? unsaid : !is
  const said: Readonly<Record<string, boolean | undefined>> = {
    ro: readOnly,
    nosuid: without(suid),
    nodev: without(dev),
    noexec: without(exec),
    sync,
    dirsync: dirSync || undefined,
  }
  return Object.entries(flags).reduce((all, [word, flag]) => {
    return (said[word] ?? options.includes(word)) ? all | flag : all
  }, 0)
}
