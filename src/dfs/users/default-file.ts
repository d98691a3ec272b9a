/** The file that `dfs-server user` edits when no option names one. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { serverFileName, systemConfigHome } from '../../config-home.js'
import { DfsError } from '../../errors.js'

/** Where systemd/dfs-server@.service has the folders of servers. */
export const unitsFolder = '/var/lib/dfs'
/** The users of all servers of a machine that have no file of their own. */
export const systemUsersFile = join(systemConfigHome, serverFileName)

/**
 * Throws `configuration` where `file` does not exist and the servers in `folder` have files of their own: no server
 * would read what was written.
 */
export function assertServersRead(file: string, folder: string): void {
  if (existsSync(file)) return
  const own = foldersIn(folder)
    .map((name) => join(folder, name, serverFileName))
    .filter((path) => existsSync(path))
  const [first] = own.sort()
  if (first === undefined) return
  throw new DfsError(
    'configuration',
    `${file}: there is no such file, and the servers in ${folder} have files of their own: name one, such as --config ${first}`,
  )
}

/** The names in a folder. One that is missing, or that this user may not read, has none to show. */
function foldersIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
