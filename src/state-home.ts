/** The folders for what the programs keep of their own on this machine, by the XDG Base Directory Specification. */
import { createHash } from 'node:crypto'
import { userInfo } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { DfsError } from './errors.js'
import { isProcess } from './process-id.js'

type Environment = Readonly<Record<string, string | undefined>>

/** The end of the name of a mount's journal: a release with another format of records leaves these files alone. */
export const journalSuffix = '.journal-1'

/** The end of the name of a copy of a damaged journal, for people. */
export const damagedSuffix = '.damaged'

/** `${XDG_STATE_HOME:-~/.local/state}/dfs`. */
export function stateHome(environment: Environment = process.env): string {
  return join(baseFolder(environment, 'XDG_STATE_HOME', '.local/state'), 'dfs')
}

/** `${XDG_DATA_HOME:-~/.local/share}/dfs`: the folder for the servers of `dfs-mount --local`. */
export function dataHome(environment: Environment = process.env): string {
  return join(baseFolder(environment, 'XDG_DATA_HOME', '.local/share'), 'dfs')
}

/**
 * The folder that a variable of the XDG Base Directory Specification names, else `preset` in the home folder. A relative
 * path counts as unset, in HOME as well: what is found below the working folder may be somebody else's.
 */
export function baseFolder(environment: Environment, variable: string, preset: string): string {
  const named = environment[variable]
  return named !== undefined && isAbsolute(named) ? named : join(homeFolder(environment), preset)
}

/** The home folder of the user that runs this. Throws `configuration` where there is none. */
function homeFolder({ HOME: home }: Environment): string {
  if (home !== undefined && isAbsolute(home)) return home
  try {
    return userInfo().homedir
  } catch (cause) {
    const why = 'there is no home folder of this user: set HOME to one'
    throw new DfsError('configuration', why, { cause })
  }
}

/** The folder for the journals of an account's mounts on this machine. `cluster` is the id of its four servers. */
export function journalFolder(cluster: string, user: string, home = stateHome()): string {
  const digest = createHash('sha256').update(`${cluster} ${user}`).digest('hex').slice(0, 24)
  return join(home, 'journals', digest)
}

/** Whether a file in the folder for journals is that of a mount whose process has ended. */
export function isJournalLeft(name: string): boolean {
  return name.endsWith(journalSuffix) && !isProcess(name.slice(0, -journalSuffix.length))
}

/** Where a mount with this state folder keeps what it could not store, unless the configuration says otherwise. */
export function recoveryFolderOf(stateFolder: string): string {
  return join(stateFolder, 'recovery')
}

/** Whether a file in such a folder is a whole one, by the time in its name. */
export function isRecovered(name: string): boolean {
  return /\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z$/.test(name)
}
