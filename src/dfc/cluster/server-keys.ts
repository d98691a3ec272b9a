/**
 * The keys of the four servers of an account, as this machine knows them: those of the configuration, and those that
 * servers had which have shown that they know the password. A server that shows another one is shown no password's proof.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import type { ClientConfig, ServerAddress } from '../../config.js'
import { asDfsError, DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { warning } from '../../log.js'
import type { Network } from '../../network.js'
import { stateHome } from '../../state-home.js'

/** With as many addresses in common two configurations are for the same servers, some of which have moved. */
const sameAddresses = 2

const serverSchema = v.object({ address: v.string(), key: v.nullable(v.string()) })
const accountSchema = v.object({
  user: v.string(),
  cluster: v.nullable(v.string()),
  servers: v.pipe(v.array(serverSchema), v.length(limits.serverCount)),
})
const fileSchema = v.object({ accounts: v.array(accountSchema) })

/** The known keys and addresses of the servers of one account, by their positions. */
type KnownAccount = v.InferOutput<typeof accountSchema>

/** A server as it shows itself. */
export interface ShownKey {
  /** 0 .. 3: its position in the configuration. */
  readonly index: number
  /** Names its key, as `keyNameOf` does. */
  readonly key: string
}

/** Path of the file in which the programs of this user keep the keys of servers. */
export function serverKeysFile(): string {
  return join(stateHome(), 'server-keys.json')
}

/** Connects to a server over TLS and returns the name of its key. Nothing is sent. Throws `down`. */
export async function keyShownBy(
  network: Network,
  { name, address }: ServerAddress,
  timeoutMs: number,
): Promise<string> {
  const ignored = { data() {}, closed() {}, drained() {} }
  const connection = await network.connect({ ...address, tls: true }, timeoutMs, ignored)
  const { serverKey } = connection
  connection.destroy()
  if (serverKey === undefined) throw new DfsError('untrusted', `${name} shows no key`)
  return serverKey
}

export class ServerKeys {
  readonly #config: ClientConfig
  #file: string | undefined
  /** The known accounts of a program that keeps no file. */
  #accounts: readonly KnownAccount[] = []

  /** Without a `file` the keys are known for as long as this object lives. The file need not be there yet. */
  constructor(config: ClientConfig, file: string | undefined) {
    this.#config = config
    this.#file = file
  }

  /** The key that the server at `index` has to show; undefined when none is known. Throws `configuration`. */
  expected(index: number): string | undefined {
    return (
      this.#config.servers[index]?.key ?? this.#own(this.#read())?.servers[index]?.key ?? undefined
    )
  }

  /** Throws `untrusted` when the server shows another key than it has to. */
  assertKnown({ index, key }: ShownKey): void {
    const expected = this.expected(index)
    if (expected !== undefined && expected !== key) throw this.#anotherKey(index, key, expected)
  }

  /**
   * The server has shown that it knows the password, and is of `cluster` as far as that is known. Throws `untrusted`
   * when the server of this cluster and position is known by another key, from before all of its addresses changed.
   */
  learn({ index, key }: ShownKey, cluster: string | undefined): void {
    const accounts = this.#read()
    const own = this.#own(accounts) ?? this.#ofCluster(accounts, cluster)
    const known = own?.servers[index]
    const fixed = this.#config.servers[index]?.key
    if (known?.key != null && known.key !== key && fixed === undefined) {
      throw this.#anotherKey(index, key, known.key)
    }
    const isSame =
      own?.cluster === (cluster ?? own?.cluster) && known?.address === this.#address(index)
    if (isSame && known?.key === key) return
    this.#note(this.#with(accounts, own, { index, key }, cluster))
  }

  /** The servers are of `cluster`, which is new. */
  founded(cluster: string): void {
    const accounts = this.#read()
    const own = this.#own(accounts)
    if (own === undefined) return
    this.#note([...accounts.filter((other) => other !== own), { ...own, cluster }])
  }

  /**
   * From now on the server has to show this key, whatever it was before. Returns what it was. Throws `configuration` when
   * the file cannot be written.
   */
  trust(shown: ShownKey): string | undefined {
    const accounts = this.#read()
    const own = this.#own(accounts)
    this.#write(this.#with(accounts, own, shown, undefined))
    return own?.servers[shown.index]?.key ?? undefined
  }

  /** The accounts with the key that a server of the own one has shown. */
  #with(
    accounts: readonly KnownAccount[],
    own: KnownAccount | undefined,
    shown: ShownKey,
    cluster: string | undefined,
  ): readonly KnownAccount[] {
    const account = {
      user: this.#config.user,
      cluster: cluster ?? own?.cluster ?? null,
      servers: this.#config.servers.map((_, index) => ({
        address: this.#address(index),
        key: index === shown.index ? shown.key : (own?.servers[index]?.key ?? null),
      })),
    }
    return [...accounts.filter((other) => other !== own), account]
  }

  /** The account of this configuration: the newest of those with the same user and nearly the same addresses. */
  #own(accounts: readonly KnownAccount[]): KnownAccount | undefined {
    return accounts.findLast(({ user, servers }) => {
      const same = servers.filter(({ address }, index) => address === this.#address(index))
      return user === this.#config.user && same.length >= sameAddresses
    })
  }

  #ofCluster(
    accounts: readonly KnownAccount[],
    wanted: string | undefined,
  ): KnownAccount | undefined {
    if (wanted === undefined) return undefined
    const { user: own } = this.#config
    return accounts.findLast(({ user, cluster }) => user === own && cluster === wanted)
  }

  #address(index: number): string {
    const { host = '', port = 0 } = this.#config.servers[index]?.address ?? {}
    return `${host.toLowerCase()} ${port}`
  }

  #anotherKey(index: number, shown: string, expected: string): DfsError {
    const { name = '', key: fixed } = this.#config.servers[index] ?? {}
    const remedy =
      fixed === undefined
        ? `If it was set up anew and "dfs-server key" there prints ${shown}: dfc trust ${name}`
        : `If "dfs-server key" there prints ${shown}, put that into the configuration`
    return new DfsError(
      'untrusted',
      `the key of ${name} is not the one that is known (${expected}): another server answers at its address. ${remedy}`,
    )
  }

  /** Reads the known accounts. Throws `configuration` about a file that cannot be read: the keys in it count. */
  #read(): readonly KnownAccount[] {
    if (this.#file === undefined) return this.#accounts
    let text: string
    try {
      text = readFileSync(this.#file, 'utf8')
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw this.#unusable(asDfsError(thrown).message)
    }
    try {
      return v.parse(fileSchema, JSON.parse(text)).accounts
    } catch {
      throw this.#unusable('it is damaged: remove it to trust the servers that answer now')
    }
  }

  #unusable(why: string): DfsError {
    return new DfsError(
      'configuration',
      `${this.#file}: cannot read the keys of the servers: ${why}`,
    )
  }

  /** Stores the known accounts. Where the file cannot be written they are kept for as long as this object lives. */
  #note(accounts: readonly KnownAccount[]): void {
    try {
      this.#write(accounts)
    } catch (thrown) {
      warning(`${asDfsError(thrown).message}: they are known only for as long as this program runs`)
      this.#file = undefined
    }
  }

  /** Stores the known accounts. Throws `configuration` when the file cannot be written. */
  #write(accounts: readonly KnownAccount[]): void {
    this.#accounts = accounts
    if (this.#file === undefined) return
    const temporary = `${this.#file}.${process.pid}`
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 })
      writeFileSync(temporary, `${JSON.stringify({ accounts }, undefined, 2)}\n`, {
        mode: 0o600,
        flush: true,
      })
      renameSync(temporary, this.#file)
    } catch (thrown) {
      rmSync(temporary, { force: true })
      const why = asDfsError(thrown).message
      throw new DfsError(
        'configuration',
        `${this.#file}: cannot note the keys of the servers: ${why}`,
      )
    }
  }
}
