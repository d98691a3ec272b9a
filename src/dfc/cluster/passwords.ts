/**
 * The passwords of one client. While an administrator changes one on four servers, some know the new one already and
 * others only the old one; so a server that refuses one is offered the other next, and the config is read again.
 */
import { notice } from '../../log.js'
import { type KeyDerivation, ScramCredentials } from '../../wire/scram.js'
import type { CurrentConfig } from './current-config.js'

export class Passwords {
  readonly #config: CurrentConfig
  readonly #keyDerivation: KeyDerivation | undefined
  /** The newest first; at most two. */
  #known: readonly { readonly password: string; readonly credentials: ScramCredentials }[]
  /** Refusals by each server. */
  readonly #refusals = new Map<number, number>()
  /** Servers that a login was begun to. */
  readonly #used = new Set<number>()

  constructor(config: CurrentConfig, keyDerivation?: KeyDerivation) {
    this.#config = config
    this.#keyDerivation = keyDerivation
    this.#known = [this.#entryOf(config.now.password)]
  }

  /**
   * Returns the credentials for the next login to the server at `index`. A server that was up may have ended the session
   * because the password is another one now: so the config is read before it is refused.
   */
  of(index: number): ScramCredentials {
    if (this.#used.has(index)) this.#renew()
    this.#used.add(index)
    const entry = this.#known[(this.#refusals.get(index) ?? 0) % this.#known.length]
    return (entry ?? this.#entryOf(this.#config.now.password)).credentials
  }

  /** The server at `index` has refused what it was shown. */
  refusedBy(index: number): void {
    if (!this.#renew()) this.#refusals.set(index, (this.#refusals.get(index) ?? 0) + 1)
  }

  /** Whether the config has another password now. */
  #renew(): boolean {
    this.#config.refresh()
    const { user, password } = this.#config.now
    const [newest] = this.#known
    if (newest === undefined || password === newest.password) return false
    this.#known = [this.#entryOf(password), newest]
    this.#refusals.clear()
    notice(`the configuration has another password for ${user}: it is used`)
    return true
  }

  #entryOf(password: string): { password: string; credentials: ScramCredentials } {
    const { user } = this.#config.now
    return { password, credentials: new ScramCredentials(user, password, this.#keyDerivation) }
  }
}
