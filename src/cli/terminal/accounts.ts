/**
 * Names of users and groups on this machine by their numbers, as ls shows them. They come from getent(1), which finds
 * those of LDAP and SSSD as well.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { debugDfc } from '../../log.js'

const run = promisify(execFile)
const getentMs = 2000
const outputBytesMax = 64 * 1024 * 1024

export class AccountNames {
  readonly #users: ReadonlyMap<number, string>
  readonly #groups: ReadonlyMap<number, string>

  private constructor(users: ReadonlyMap<number, string>, groups: ReadonlyMap<number, string>) {
    this.#users = users
    this.#groups = groups
  }

  /** Where getent is missing, fails, or takes too long, numbers stand for names. */
  static async read(): Promise<AccountNames> {
    const [users, groups] = await Promise.all([namesIn('passwd'), namesIn('group')])
    return new AccountNames(users, groups)
  }

  user(uid: number): string {
    return this.#users.get(uid) ?? String(uid)
  }

  group(gid: number): string {
    return this.#groups.get(gid) ?? String(gid)
  }
}

/** Reads passwd(5) or group(5), which agree in the fields used: name:password:number:... */
async function namesIn(database: 'passwd' | 'group'): Promise<ReadonlyMap<number, string>> {
  const names = new Map<number, string>()
  try {
    const limits = { timeout: getentMs, killSignal: 'SIGKILL', maxBuffer: outputBytesMax } as const
    const { stdout } = await run('getent', [database], limits)
    for (const line of stdout.split('\n')) {
      const [name, , number] = line.split(':')
      if (name && number && !names.has(Number(number))) names.set(Number(number), name)
    }
  } catch (error) {
    debugDfc('getent %s: %o', database, error)
  }
  return names
}
