/**
 * Where the programs look for their configuration when no option names it. The package that they were installed from
 * is no such place: the next installation would replace what is written there.
 */
import { chmodSync, existsSync, lstatSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { sentenceOf } from './error-message.js'
import { DfsError } from './errors.js'
import { baseFolder, dataHome } from './state-home.js'

export const clientFileName = 'dfc.conf'
export const serverFileName = 'dfs.conf'
/** The variable of the environment that names the client's configuration. */
export const configVariable = 'DFC_CONFIG'

type Environment = Readonly<Record<string, string | undefined>>

/** The folder with the configuration of a whole machine. */
export const systemConfigHome = '/etc/dfs'

/** `${XDG_CONFIG_HOME:-~/.config}/dfs`. */
export function configHome(environment: Environment = process.env): string {
  return join(baseFolder(environment, 'XDG_CONFIG_HOME', '.config'), 'dfs')
}

/** The client's configurations of a user and of a machine, of which the first that is there counts. */
export function clientConfigPlaces(
  environment: Environment = process.env,
  system: string = systemConfigHome,
): readonly string[] {
  return [configHome(environment), system].map((folder) => join(folder, clientFileName))
}

/**
 * Finds the client's configuration: the one that DFC_CONFIG names, whether it is there or not, else that of the user,
 * else that of the machine. Undefined when there is none. Throws `configuration` where it cannot tell.
 */
export function clientConfigFile(
  environment: Environment = process.env,
  system: string = systemConfigHome,
): string | undefined {
  return environment[configVariable] || clientConfigPlaces(environment, system).find(isThere)
}

/** Finds the configuration of the four servers that `dfs-mount --local` runs for this user. */
export function localConfigFile(environment: Environment = process.env): string | undefined {
  const file = join(dataHome(environment), clientFileName)
  return isThere(file) ? file : undefined
}

/**
 * The servers' configuration of the server on `folder`: the one in that folder if it is there, else that of the
 * machine, whether it is there or not.
 */
export function serverConfigFile(folder: string, system: string = systemConfigHome): string {
  const own = join(folder, serverFileName)
  return isThere(own) ? own : join(system, serverFileName)
}

/**
 * Makes the folder of a configuration that is to be written, and those above it, for their owner alone. That of the
 * machine can be entered by everybody, since its files have modes of their own. One that is there stays as it is.
 */
export function makeConfigFolder(file: string): void {
  const folder = dirname(file)
  if (existsSync(folder)) return
  makeConfigFolder(folder)
  mkdirSync(folder, { mode: 0o700 })
  if (folder === systemConfigHome) chmodSync(folder, 0o755)
}

/** Describes what was looked for in vain, and what to do. */
export function noClientConfig(environment: Environment = process.env): DfsError {
  const places = clientConfigPlaces(environment).join(' and ')
  return new DfsError(
    'configuration',
    `there is no configuration: looked for ${places}. "dfc init" makes one, and "dfs-mount FOLDER" starts four servers on this machine for a trial`,
  )
}

/** A link that leads nowhere is there: its owner wants what it should lead to, and no other file. */
export function isThere(file: string): boolean {
  try {
    return lstatSync(file, { throwIfNoEntry: false }) !== undefined
  } catch (cause) {
    const why = sentenceOf(cause)
    throw new DfsError('configuration', `${file}: cannot look for the configuration: ${why}`, {
      cause,
    })
  }
}
