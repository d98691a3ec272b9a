/** Any folder to compare with: a local one, or the mount of another distributed file system. */
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { undoLater } from './clean-up.js'
import { dropKernelCaches, isRoot, type Place, warmPrograms } from './place.js'
import { run, time } from './programs.js'

const removalDeadlineMs = 120_000

export async function openForeignFolder(parent: string): Promise<Place> {
  const folder = await mkdtemp(join(parent, 'dfs-bench-'))
  undoLater(async () => {
    await run('rm', ['-rf', folder], { deadlineMs: removalDeadlineMs })
  })
  return {
    folder,
    cluster: undefined,
    coldness: isRoot
      ? 'sync, then the kernel drops its caches (what daemons of its own hold stays)'
      : 'sync, then the kernel drops the pages of each file (names stay; run as root to drop all)',
    async makeCold() {
      await time('sync', '--file-system', folder)
      await dropKernelCaches(folder)
      await warmPrograms()
    },
  }
}
