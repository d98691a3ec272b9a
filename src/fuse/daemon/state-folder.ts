/** The local folder of a mount's own files: one for each mountpoint. */
import { createHash } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { makePrivateFolder } from '../../private-file.js'
import { recoveryFolderOf, stateHome } from '../../state-home.js'

export interface StateFolder {
  readonly path: string
  /** Where a daemon in the background writes its log, unless it is to go elsewhere. */
  readonly log: string
  readonly spill: string
  readonly recovery: string
}

/** The state folder of a mountpoint, which is an absolute path. */
export function stateFolderOf(mountpoint: string, home = stateHome()): StateFolder {
  const digest = createHash('sha256').update(mountpoint).digest('hex').slice(0, 12)
  const name = basename(mountpoint)
    .replaceAll(/[^A-Za-z0-9._-]/g, '_')
    .slice(0, 40)
  const path = join(home, `${name}-${digest}`)
  return {
    path,
    log: join(path, 'log'),
    spill: join(path, 'spill'),
    recovery: recoveryFolderOf(path),
  }
}

export async function makeStateFolder(folder: StateFolder): Promise<void> {
  makePrivateFolder(folder.path)
  // It may be there from before, and the files in it as well.
  await chmod(folder.path, 0o700)
}
