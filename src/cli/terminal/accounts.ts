/** Names of users and groups on this machine by their numbers, as ls shows them. */
import { readFileSync } from 'node:fs'
import { debugDfc } from '../../log.js'

export class AccountNames {
  readonly #users = namesIn('/etc/passwd')
  readonly #groups = namesIn('/etc/group')

  user(uid: number): string {
    return this.#users.get(uid) ?? String(uid)
  }

  group(gid: number): string {
    return this.#groups.get(gid) ?? String(gid)
  }
}

/** Parses passwd(5) or group(5), which agree in the fields used: name:password:number:... */
function namesIn(file: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>()
  try {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const [name, , number] = line.split(':')
      if (name && number && !names.has(Number(number))) names.set(Number(number), name)
    }
  } catch (error) {
    debugDfc('%s: %o', file, error)
  }
  return names
}
