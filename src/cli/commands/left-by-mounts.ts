/** Finds what mounts on this machine answered and could not store: where it is now, and what to do about it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClientConfig } from '../../config.js'
import { entriesOf } from '../../dfc/namespace/journal.js'
import { sentenceOf } from '../../error-message.js'
import {
  damagedSuffix,
  isJournalLeft,
  isRecovered,
  journalFolder,
  recoveryFolderOf,
  stateHome,
} from '../../state-home.js'

export interface LeftByMount {
  readonly path: string
  readonly what: string
  readonly todo: string
}

/** `cluster` is the id of the servers, if it is known. */
export function leftByMounts(
  cluster: string | undefined,
  { user, recovery }: Pick<ClientConfig, 'user' | 'recovery'>,
): readonly LeftByMount[] {
  const home = stateHome()
  const folders = namesIn(home).map((name) => recoveryFolderOf(join(home, name)))
  if (recovery !== undefined) folders.push(recovery)
  const recovered = folders.flatMap((folder) =>
    namesIn(folder)
      .filter(isRecovered)
      .map((name) => contentAt(join(folder, name))),
  )
  if (cluster === undefined) return recovered
  const journals = journalFolder(cluster, user, home)
  const left = namesIn(journals).filter(isJournalLeft)
  const damaged = namesIn(journals).filter((name) => name.endsWith(damagedSuffix))
  return [
    ...recovered,
    ...left.flatMap((name) => changesIn(join(journals, name))),
    ...damaged.map((name) => damageAt(join(journals, name))),
  ]
}

function damageAt(path: string): LeftByMount {
  return {
    path,
    what: 'a damaged journal of a mount, of which not all could be stored',
    todo: 'look for what was changed last and is missing, then remove it',
  }
}

function contentAt(path: string): LeftByMount {
  return {
    path,
    what: 'content of a file that could not be stored',
    todo: 'copy it to where it belongs, or remove it',
  }
}

/** Returns nothing for a journal in which everything is stored. */
function changesIn(path: string): readonly LeftByMount[] {
  const todo = 'mount on this machine again'
  try {
    const count = entriesOf(readFileSync(path)).length
    if (count === 0) return []
    return [{ path, what: `${count} changes that a mount answered and has not stored`, todo }]
  } catch (error) {
    // A mount may be taking it over at this very moment.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    return [{ path, what: `changes of a mount that cannot be read: ${sentenceOf(error)}`, todo }]
  }
}

/** Returns the sorted names in a folder, none if it cannot be read: this user has nothing there then. */
function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}
