/** The mounts of this user on this machine, found by their state folders and asked by their control sockets. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { sentenceOf } from '../../error-message.js'
import { debugDfc } from '../../log.js'
import { askDaemon, type ControlRequest } from '../../mount-control.js'
import type { Why } from '../../noted-failure.js'
import { stateHome } from '../../state-home.js'

/** Asks the daemons of all mounts of this user. Those that are not meant do not answer. */
export async function askMounts(request: ControlRequest): Promise<readonly Why[]> {
  const home = stateHome()
  const answers = await Promise.all(
    foldersIn(home).map(async (name) => {
      try {
        return (await askDaemon(join(home, name), request)).why ?? []
      } catch (error) {
        debugDfc('%s: %s', name, sentenceOf(error))
        return []
      }
    }),
  )
  return answers.flat()
}

/** The names of the state folders, none if there is no home of them. */
export function foldersIn(home: string): readonly string[] {
  try {
    const entries = readdirSync(home, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  } catch {
    return []
  }
}
