/** A folder under test. There are two kinds: our own mount, and any other folder. */
import { writeFile } from 'node:fs/promises'
import type { Cluster } from './cluster.js'
import { run, time } from './programs.js'

export interface Place {
  /** Absolute path of the folder for the works, which is empty at the beginning. */
  readonly folder: string
  /** Sentence for users about what `makeCold` does. */
  readonly coldness: string
  /** The servers and the mount behind the folder, if this run started them and may kill them. */
  readonly cluster: Cluster | undefined
  /** Empties caches, as far as possible, so that the next reads come from the disks. */
  makeCold(): Promise<void>
}

/** Empties the kernel's caches of the local disks: as root those of the machine, otherwise of `folder`. */
export async function dropKernelCaches(folder: string): Promise<void> {
  await time('sync', '--file-system', folder)
  if (isRoot) await writeFile('/proc/sys/vm/drop_caches', '3')
  else {
    const advise = 'find "$1" -type f -exec dd if={} iflag=nocache count=0 status=none ";"'
    await run('sh', ['-c', advise, 'sh', folder])
  }
}

export const isRoot = process.getuid?.() === 0

/** Runs the usual programs once, so that they are not read from the disk during a measurement. */
export async function warmPrograms(): Promise<void> {
  await time('sh', '-c', 'cat /dev/null; ls -l /proc/self; find /proc/self/task -maxdepth 0')
}
