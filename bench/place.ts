/** A folder under test. There are two kinds: our own mount, and any other folder. */
import { writeFile } from 'node:fs/promises'
import type { Cluster } from './cluster.js'
import { run, time } from './programs.js'

export interface Place {
  /** Where the works are done: absolute, empty at the beginning. */
  readonly folder: string
  /** How `makeCold` does it, for people. */
  readonly coldness: string
  /** The servers and the mount behind it, where they are ours to stop and to kill. */
  readonly cluster: Cluster | undefined
  /** Resolves when the next read of anything comes from the disks, as far as we can see to that. */
  makeCold(): Promise<void>
}

/** Makes what is cached of the local disks cold, as root for the whole machine. */
export async function dropKernelCaches(folder: string): Promise<void> {
  await time('sync', '--file-system', folder)
  if (isRoot) await writeFile('/proc/sys/vm/drop_caches', '3')
  else {
    const advise = 'find "$1" -type f -exec dd if={} iflag=nocache count=0 status=none ";"'
    await run('sh', ['-c', advise, 'sh', folder])
  }
}

export const isRoot = process.getuid?.() === 0

/** What a program needs to start is read from the disk now rather than within a measurement. */
export async function warmPrograms(): Promise<void> {
  await time('sh', '-c', 'cat /dev/null; ls -l /proc/self; find /proc/self/task -maxdepth 0')
}
