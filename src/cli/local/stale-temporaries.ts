/**
 * The names of temporary files, and the removal of those that a process has left because it was killed. Whoever makes
 * some in a folder has that folder locked: where nobody has, those that are there belong to no process. A lock may hold
 * on one machine only, so a name says of which machine it is.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { lstat, readdir, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { localPath, textOf } from '../../byte-text.js'
import type { Random } from '../../clock.js'
import { debugDfc } from '../../log.js'
import type { LocalFolder } from './local-folder.js'

const prefix = '.dfc-temp-'
let ownPrefix: string | undefined

/** A new name that others cannot guess. */
export function temporaryName(random: Random): string {
  return `${prefixHere()}${random.bytes(12).toString('hex')}`
}

/** Whether a file of this name is, or was, about to get its own name. */
export function isTemporaryName(name: string): boolean {
  return name.startsWith(prefix)
}

/** Removes the temporary files in a folder that this user has left there. To be called when nobody else has it locked. */
export async function removeStaleTemporaries(folder: LocalFolder): Promise<void> {
  const names = await readdir(folder.self, { encoding: 'buffer' }).catch(() => [])
  for (const name of names.map(textOf)) {
    if (!name.startsWith(prefixHere())) continue
    const path = localPath(folder.at(name))
    try {
      const info = await lstat(path)
      if (info.isDirectory() || info.uid !== process.geteuid?.()) continue
      await unlink(path)
    } catch (error) {
      debugDfc('%s: %o', folder.pathOf(name), error)
    }
  }
}

function prefixHere(): string {
  ownPrefix ??= `${prefix}${createHash('sha256').update(machine()).digest('hex').slice(0, 8)}-`
  return ownPrefix
}

function machine(): string {
  try {
    return readFileSync('/etc/machine-id', 'latin1').trim() || hostname()
  } catch {
    return hostname()
  }
}
