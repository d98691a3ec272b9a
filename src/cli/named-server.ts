/** Servers as users name them. */
import type { ClientConfig, ServerAddress } from '../config.js'
import { DfsError } from '../errors.js'

export interface NamedServer {
  /** Position in the configuration, 0 .. 3. */
  readonly index: number
  readonly server: ServerAddress
}

/** Finds a server by its name, in capitals or not. Throws `invalid` with the names that there are. */
export function serverNamed({ servers }: ClientConfig, wanted: string): NamedServer {
  const index = servers.findIndex(({ name }) => name.toLowerCase() === wanted.toLowerCase())
  const server = servers[index]
  if (server !== undefined) return { index, server }
  const names = servers.map(({ name }) => name).join(', ')
  throw new DfsError('invalid', `${wanted}: there is no such server: expected one of ${names}`)
}
