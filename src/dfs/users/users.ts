/**
 * The users that may log in, those of dfs.conf, read again whenever the file has changed, so that a new user
 * needs no restart. A password in clear is turned into a verifier as soon as it is read.
 */
import { statSync } from 'node:fs'
import {
  type OldVerifiers,
  parseServerConfig,
  readConfig,
  type TlsWord,
  type UserConfig,
} from '../../config.js'
import { asDfsError, DfsError } from '../../errors.js'
import { Listeners } from '../../listeners.js'
import { notice } from '../../log.js'
import type { MetricsAddress } from '../../metrics-address.js'
import { assertPrivate, publicModeOf } from '../../private-file.js'
import { serverIndexes } from '../../wire/placement.js'
import {
  makeVerifier,
  parseVerifier,
  saltOf,
  scramIterations,
  type Verifier,
  type VerifierKeys,
} from '../../wire/scram.js'

export interface Users {
  /**
   * Finds the verifier of a user for the server at `position`, 0 .. 3, of its four; undefined when there is no such
   * user.
   */
  find(name: string, position: number): Promise<Verifier | undefined>
  /** Whether there is such a user. */
  knows(name: string): boolean
  /** Rounds of the key derivation, of each user. */
  readonly roundCounts: readonly number[]
  /** Whether the keys of a verifier that `find` gave are still those of a password of this user. */
  isCurrent(name: string, keys: VerifierKeys): boolean
  /** Whether the keys are those of an old password of this user, the time of which is over. */
  hasEnded(name: string, keys: VerifierKeys): boolean
  /** Bytes that the files of a user may have together; undefined where that is not bounded. */
  quotaBytes(name: string): number | undefined
  /** For how long what a user removes or replaces is kept, in ms; 0 for not at all. */
  trashMs(name: string): number
  /** Calls `listener` when users have changed. */
  onChange(listener: () => void): void
}

interface Known {
  readonly config: UserConfig<Verifier>
  readonly verifiers: readonly Verifier[] | Promise<readonly Verifier[]>
  readonly iterations: number
  /** Stored keys of `verifiers`, in hexadecimal, as soon as they are derived. */
  readonly keys: Set<string>
  readonly old: OldPassword | undefined
}

/** A password that a new one has replaced, and that is good for a while still. */
interface OldPassword extends OldVerifiers<Verifier> {
  readonly keys: ReadonlySet<string>
  /** Whether the end of its time was reported. */
  hasEnded: boolean
}

export class UsersFile implements Users {
  readonly #file: string
  readonly #secret: Buffer
  #users: ReadonlyMap<string, Known> = new Map()
  #tls: TlsWord
  #metrics: MetricsAddress | undefined
  readonly #changes = new Listeners()
  #seen = ''
  /** The file was readable by everybody when it was read last. */
  #isPublic = false

  /**
   * `secret`: 32 bytes of this server, from which the salts of passwords in clear follow. Throws `configuration`
   * when the file is missing or wrong, or others can read a password in it.
   */
  constructor(file: string, secret: Buffer) {
    this.#file = file
    this.#secret = secret
    this.#seen = fingerprintOf(file)
    this.#load()
  }

  /** Counts the users of `file`. Throws `configuration` when it is missing or wrong. */
  static count(file: string): number {
    return new UsersFile(file, Buffer.alloc(32)).#users.size
  }

  /** The address for metrics in dfs.conf. A server listens there when it starts. */
  get metrics(): MetricsAddress | undefined {
    return this.#metrics
  }

  /** The word `tls` of dfs.conf. A server goes by it when it starts. */
  get tls(): TlsWord {
    return this.#tls
  }

  async find(name: string, position: number): Promise<Verifier | undefined> {
    this.refresh()
    const known = this.#users.get(name)
    const verifiers = await known?.verifiers
    const verifier = verifiers?.[position] ?? verifiers?.[0]
    if (verifier === undefined || known?.old === undefined || !isGood(known.old)) return verifier
    return { ...verifier, old: known.old.verifiers[position] ?? known.old.verifiers[0] }
  }

  knows(name: string): boolean {
    return this.#users.has(name)
  }

  isCurrent(name: string, { storedKey }: VerifierKeys): boolean {
    const known = this.#users.get(name)
    const key = storedKey.toString('hex')
    return (
      known?.keys.has(key) === true || (known?.old?.keys.has(key) === true && isGood(known.old))
    )
  }

  hasEnded(name: string, { storedKey }: VerifierKeys): boolean {
    const old = this.#users.get(name)?.old
    return old?.keys.has(storedKey.toString('hex')) === true && !isGood(old)
  }

  quotaBytes(name: string): number | undefined {
    return this.#users.get(name)?.config.quotaBytes
  }

  trashMs(name: string): number {
    return this.#users.get(name)?.config.trashMs ?? 0
  }

  onChange(listener: () => void): void {
    this.#changes.add(listener)
  }

  get roundCounts(): readonly number[] {
    return [...this.#users.values()].map(({ iterations }) => iterations)
  }

  /** Tells people which passwords lie in clear in the file, if any do. */
  warnOfPlainPasswords(): void {
    const plain = [...this.#users].filter(([, { config }]) => config.kind === 'password')
    if (plain.length === 0) return
    const names = plain.map(([name]) => name).join(', ')
    notice(
      `${this.#file}: passwords in clear text: ${names}; "dfs-server user passwd NAME" replaces one by a verifier`,
      'warning',
    )
  }

  /** Reads the file again if it has changed. A broken edit leaves the users as they were: a typing mistake locks no user out. */
  refresh(): void {
    const fingerprint = fingerprintOf(this.#file)
    if (fingerprint === this.#seen) {
      this.#endOld()
      return
    }
    this.#seen = fingerprint
    try {
      this.#load()
      notice(`${this.#file}: reloaded, ${this.#users.size} users`)
      this.warnOfPlainPasswords()
      this.#changes.call()
    } catch (thrown) {
      notice(`${asDfsError(thrown).message}; the previous users stay in effect`, 'warning')
    }
  }

  /** Reports old passwords whose time is over, once. */
  #endOld(): void {
    let ended = false
    for (const [name, { old }] of this.#users) {
      if (old === undefined || old.hasEnded || isGood(old)) continue
      old.hasEnded = true
      ended = true
      notice(`${this.#file}: the old password of ${name} is no longer good`)
    }
    if (ended) this.#changes.call()
  }

  #load(): void {
    const {
      users: configs,
      tls,
      metrics,
    } = parseServerConfig(readConfig(this.#file), this.#file, parseVerifier)
    this.#tls = tls
    this.#metrics = metrics
    assertDistinctFolders([...configs.keys()], this.#file)
    if ([...configs.values()].some(({ kind }) => kind === 'password')) assertPrivate(this.#file)
    else if (configs.size > 0) this.#tellPublic()
    const before = this.#users
    this.#users = new Map(
      [...configs].map(
        ([name, config]) => [name, this.#known(name, config, before.get(name))] as const,
      ),
    )
  }

  /** Verifiers cannot be used to log in, but passwords can be guessed from them: that is said once. */
  #tellPublic(): void {
    const mode = publicModeOf(this.#file)
    if (mode !== undefined && !this.#isPublic) {
      notice(
        `${this.#file}: everybody can read it (mode ${mode}) and guess at the passwords: chmod 600`,
        'warning',
      )
    }
    this.#isPublic = mode !== undefined
  }

  /** The salts of a password in clear are always the same, one for each position, as those of a name that is not known. */
  #known(name: string, config: UserConfig<Verifier>, before: Known | undefined): Known {
    if (config.kind === 'verifiers') {
      const { verifiers } = config
      const keys = keysOf(verifiers)
      const iterations = verifiers[0]?.iterations ?? scramIterations.plain
      return { config, verifiers, iterations, keys, old: this.#old(name, config) }
    }
    const same = before?.config.kind === 'password' && before.config.password === config.password
    if (before !== undefined && same) return { ...before, config }
    const { plain } = scramIterations
    const salts = serverIndexes.map((position) => saltOf(this.#secret, name, position))
    const keys = new Set<string>()
    const made = salts.map((salt) => makeVerifier(config.password, salt, plain))
    const verifiers = Promise.all(made).then((all) => {
      for (const key of keysOf(all)) keys.add(key)
      return all
    })
    return { config, verifiers, iterations: plain, keys, old: undefined }
  }

  /** Throws `configuration` when a client could not be offered both passwords by one salt. */
  #old(
    name: string,
    { verifiers, old }: UserConfig<Verifier> & { kind: 'verifiers' },
  ): OldPassword | undefined {
    if (old === undefined) return undefined
    const isAlike = old.verifiers.every(({ salt, iterations }, at) => {
      const now = verifiers[at] ?? verifiers[0]
      return now?.iterations === iterations && now.salt.equals(salt)
    })
    if (!isAlike) {
      throw new DfsError(
        'configuration',
        `${this.#file}: users.${name}.old: its verifiers have other salts or rounds than the new ones: "dfs-server user passwd --keep-old" writes both`,
      )
    }
    return { ...old, keys: keysOf(old.verifiers), hasEnded: !isGood(old) }
  }
}

function keysOf(verifiers: readonly Verifier[]): Set<string> {
  return new Set(verifiers.map(({ storedKey }) => storedKey.toString('hex')))
}

function isGood({ untilMs }: OldVerifiers<Verifier>): boolean {
  return Date.now() < untilMs
}

/** The common form of names whose folders are one on a disk that ignores case, or dots at the end. */
export function folderKeyOf(name: string): string {
  return name.toLowerCase().replace(/\.+$/, '')
}

/** Throws `configuration` when the files of two users would lie in one folder on some disks. */
function assertDistinctFolders(names: readonly string[], file: string): void {
  const keys = new Map<string, string>()
  for (const name of names) {
    const twin = keys.get(folderKeyOf(name))
    if (twin !== undefined) {
      const why = 'their folders would be the same on some disks'
      throw new DfsError('configuration', `${file}: users "${twin}" and "${name}": ${why}`)
    }
    keys.set(folderKeyOf(name), name)
  }
}

/** Changes whenever the file is edited or replaced; '' when there is none. */
function fingerprintOf(file: string): string {
  const status = statSync(file, { bigint: true, throwIfNoEntry: false })
  if (status === undefined) return ''
  return [status.ino, status.size, status.mtimeNs, status.ctimeNs].join(' ')
}
