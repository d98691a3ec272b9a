/** The names that belong to user and group numbers on this machine, as ls shows them. */
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

/** passwd(5) and group(5) agree in the fields that matter: name:password:number:... */
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
