/**
 * Who may log in: the users of dfs.conf, read again whenever the file has changed, so that a new
 * user needs no restart. A password in clear is turned into a verifier as soon as it is read.
 */
import { statSync } from 'node:fs'
import type { Random } from '../../clock.js'
import { parseUsersConfig, readConfig, type UserConfig } from '../../config.js'
import { asDfsError } from '../../errors.js'
import { notice } from '../../log.js'
import { makeVerifier, parseVerifier, type Verifier } from '../../wire/scram.js'

export interface Users {
  /** What is known of the user's password, or undefined when there is no such user. */
  find(name: string): Verifier | undefined
}

interface Known {
  readonly config: UserConfig<Verifier>
  readonly verifier: Verifier
}

export class UsersFile implements Users {
  readonly #file: string
  readonly #random: Random
  #users: ReadonlyMap<string, Known> = new Map()
  #seen = ''

  /** Throws `configuration` when the file is missing or wrong. */
  constructor(file: string, random: Random) {
    this.#file = file
    this.#random = random
    this.#seen = fingerprintOf(file)
    this.#load()
  }

  find(name: string): Verifier | undefined {
    this.#refresh()
    return this.#users.get(name)?.verifier
  }

  /** Tells people which passwords lie in clear in the file, if any do. */
  warnOfPlainPasswords(): void {
    const plain = [...this.#users].filter(([, { config }]) => config.kind === 'password')
    if (plain.length === 0) return
    const names = plain.map(([name]) => name).join(', ')
    notice(
      `${this.#file}: passwords in clear text: ${names}; "dfs-server user passwd NAME" replaces one by a verifier`,
    )
  }

  /** A broken edit leaves the users as they were: nobody is locked out by a typing mistake. */
  #refresh(): void {
    const fingerprint = fingerprintOf(this.#file)
    if (fingerprint === this.#seen) return
    this.#seen = fingerprint
    try {
      this.#load()
      notice(`${this.#file}: reloaded, ${this.#users.size} users`)
      this.warnOfPlainPasswords()
    } catch (thrown) {
      notice(`${asDfsError(thrown).message}; the users of before stay in effect`)
    }
  }

  #load(): void {
    const configs = parseUsersConfig(readConfig(this.#file), this.#file, parseVerifier)
    const before = this.#users
    this.#users = new Map(
      [...configs].map(([name, config]) => [name, this.#known(config, before.get(name))] as const),
    )
  }

  /** The salt of a password in clear stays the same while the server runs. */
  #known(config: UserConfig<Verifier>, before: Known | undefined): Known {
    if (config.kind === 'verifier') return { config, verifier: config.verifier }
    const same = before?.config.kind === 'password' && before.config.password === config.password
    if (before !== undefined && same) return before
    return { config, verifier: makeVerifier(config.password, this.#random.bytes(16)) }
  }
}

/** Changes whenever the file is edited or replaced; '' when there is none. */
function fingerprintOf(file: string): string {
  const status = statSync(file, { bigint: true, throwIfNoEntry: false })
  if (status === undefined) return ''
  return [status.ino, status.size, status.mtimeNs, status.ctimeNs].join(' ')
}
