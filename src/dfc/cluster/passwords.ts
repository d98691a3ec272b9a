/**
 * The passwords of one client. While an administrator changes one on four servers, some know the new one already and
 * others only the old one; so a server that refuses one is offered the other next, and the config is read again.
 */
import type { ClientConfig } from '../../config.js'
import { asDfsError } from '../../errors.js'
import { debugDfc, notice } from '../../log.js'
import { type KeyDerivation, ScramCredentials } from '../../wire/scram.js'

export interface PasswordsOptions {
  readonly config: ClientConfig
  /** Reads the config again. May throw. */
  readonly passwordNow?: (() => string) | undefined
  readonly keyDerivation?: KeyDerivation | undefined
}

export class Passwords {
  readonly #options: PasswordsOptions
  /** The newest first; at most two. */
  #known: readonly { readonly password: string; readonly credentials: ScramCredentials }[]
  /** Refusals by each server. */
  readonly #refusals = new Map<number, number>()
  /** Servers that a login was begun to. */
  readonly #used = new Set<number>()

  constructor(options: PasswordsOptions) {
    this.#options = options
    this.#known = [this.#entryOf(options.config.password)]
  }

  /**
   * Returns the credentials for the next login to the server at `index`. A server that was up may have ended the session
   * because the password is another one now: so the config is read before it is refused.
   */
  of(index: number): ScramCredentials {
    if (this.#used.has(index)) this.#renew()
    this.#used.add(index)
    const entry = this.#known[(this.#refusals.get(index) ?? 0) % this.#known.length]
    return (entry ?? this.#entryOf(this.#options.config.password)).credentials
  }

  /** The server at `index` has refused what it was shown. */
  refusedBy(index: number): void {
    if (!this.#renew()) this.#refusals.set(index, (this.#refusals.get(index) ?? 0) + 1)
  }

  /** Whether the config has another password now. */
  #renew(): boolean {
    try {
      const password = this.#options.passwordNow?.()
      const [newest] = this.#known
      if (password === undefined || newest === undefined || password === newest.password)
        return false
      this.#known = [this.#entryOf(password), newest]
      this.#refusals.clear()
      notice(`the configuration has another password for ${this.#options.config.user}: it is used`)
      return true
    } catch (thrown) {
      debugDfc('config: %s', asDfsError(thrown).message)
      return false
    }
  }

  #entryOf(password: string): { password: string; credentials: ScramCredentials } {
    const { config, keyDerivation } = this.#options
    return { password, credentials: new ScramCredentials(config.user, password, keyDerivation) }
  }
}
