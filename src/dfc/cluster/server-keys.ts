/**
 * The keys of the four servers of an account, as this machine knows them: those of the configuration, and those that
 * servers had which have shown that they know the password. A server that shows another one is shown no password's proof.
 */
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import type { ClientConfig, ServerAddress } from '../../config.js'
import { sentenceOf } from '../../error-message.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { warning } from '../../log.js'
import type { Network } from '../../network.js'
import { makePrivateFolder } from '../../private-file.js'
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
type Accounts = readonly KnownAccount[]

/** For as long as another program changes the file. One that died while it did makes the next one wait for that long. */
const lockWaitMs = 1000
const lockPauseMs = 5

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
  readonly #config: () => ClientConfig
  #file: string | undefined
  /** The known accounts of a program that keeps no file. */
  #accounts: Accounts = []

  /**
   * `config` returns the present configuration. Without a `file` the keys are known for as long as this object lives.
   * The file need not be there yet.
   */
  constructor(config: () => ClientConfig, file: string | undefined) {
    this.#config = config
    this.#file = file
  }

  /** The key that the server at `index` has to show; undefined when none is known. Throws `configuration`. */
  expected(index: number): string | undefined {
    return (
      this.#config().servers[index]?.key ??
      this.#own(this.#read())?.servers[index]?.key ??
      undefined
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
    const change = (accounts: Accounts): Accounts =>
      this.#learned(accounts, { index, key }, cluster)
    const accounts = this.#read()
    if (change(accounts) !== accounts) this.#note(change)
  }

  /** The servers are of `cluster`, which is new. */
  founded(cluster: string): void {
    this.#note((accounts) => {
      const own = this.#own(accounts)
      return own === undefined ? accounts : replaced(accounts, own, { ...own, cluster })
    })
  }

  /**
   * From now on the server has to show this key, whatever it was before. Returns what it was. Throws when the file cannot
   * be written.
   */
  trust(shown: ShownKey): string | undefined {
    let before: string | undefined
    this.#change((accounts) => {
      const own = this.#own(accounts)
      before = own?.servers[shown.index]?.key ?? undefined
      return replaced(accounts, own, this.#with(own, shown, undefined))
    })
    return before
  }

  /** The accounts with what `learn` adds; themselves where that is known. */
  #learned(accounts: Accounts, { index, key }: ShownKey, cluster: string | undefined): Accounts {
    const own = this.#own(accounts) ?? this.#ofCluster(accounts, cluster)
    const known = own?.servers[index]
    const fixed = this.#config().servers[index]?.key
    if (known?.key != null && known.key !== key && fixed === undefined) {
      throw this.#anotherKey(index, key, known.key)
    }
    const isSame =
      own?.cluster === (cluster ?? own?.cluster) && known?.address === this.#address(index)
    if (isSame && known?.key === key) return accounts
    return replaced(accounts, own, this.#with(own, { index, key }, cluster))
  }

  /** The own account with the key that a server has shown. */
  #with(own: KnownAccount | undefined, shown: ShownKey, cluster: string | undefined): KnownAccount {
    return {
      user: this.#config().user,
      cluster: cluster ?? own?.cluster ?? null,
      servers: this.#config().servers.map((_, index) => ({
        address: this.#address(index),
        key: index === shown.index ? shown.key : (own?.servers[index]?.key ?? null),
      })),
    }
  }

  /** The account of this configuration: the newest of those with the same user and nearly the same addresses. */
  #own(accounts: Accounts): KnownAccount | undefined {
    return accounts.findLast(({ user, servers }) => {
      const same = servers.filter(({ address }, index) => address === this.#address(index))
      return user === this.#config().user && same.length >= sameAddresses
    })
  }

  #ofCluster(accounts: Accounts, wanted: string | undefined): KnownAccount | undefined {
    if (wanted === undefined) return undefined
    const { user: own } = this.#config()
    return accounts.findLast(({ user, cluster }) => user === own && cluster === wanted)
  }

  #address(index: number): string {
    const { host = '', port = 0 } = this.#config().servers[index]?.address ?? {}
    return `${host.toLowerCase()} ${port}`
  }

  #anotherKey(index: number, shown: string, expected: string): DfsError {
    const { name = '', key: fixed } = this.#config().servers[index] ?? {}
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
  #read(): Accounts {
    if (this.#file === undefined) return this.#accounts
    let text: string
    try {
      text = readFileSync(this.#file, 'utf8')
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw this.#unusable(sentenceOf(thrown))
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

  /** Changes the known accounts. Where the file cannot be written they are kept for as long as this object lives. */
  #note(change: (accounts: Accounts) => Accounts): void {
    try {
      this.#change(change)
    } catch (thrown) {
      if (!isError(thrown, 'io')) throw thrown
      warning(`${thrown.message}: they are known only for as long as this program runs`)
      this.#accounts = change(this.#read())
      this.#file = undefined
    }
  }

  /**
   * Changes the known accounts, one program after the other, so that of several which start at once none forgets what
   * the others have learnt. Throws `io` when the file cannot be written.
   */
  #change(change: (accounts: Accounts) => Accounts): void {
    const file = this.#file
    if (file === undefined) this.#accounts = change(this.#accounts)
    else {
      const unlock = noting(file, () => lock(file))
      try {
        const accounts = change(this.#read())
        noting(file, () => write(file, accounts))
      } finally {
        unlock()
      }
    }
  }
}

function replaced(
  accounts: Accounts,
  old: KnownAccount | undefined,
  account: KnownAccount,
): Accounts {
  return [...accounts.filter((other) => other !== old), account]
}

/** Runs `action`, which changes the file. Throws `io` with the name of the file and the reason. */
function noting<T>(file: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    const why = sentenceOf(cause)
    throw new DfsError('io', `${file}: cannot note the keys of the servers: ${why}`, { cause })
  }
}

/** Waits until no other program changes the file. Returns how to let the next one. */
function lock(file: string): () => void {
  makePrivateFolder(dirname(file))
  const path = `${file}.lock`
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let waitedMs = 0; ; waitedMs += lockPauseMs) {
    try {
      closeSync(openSync(path, 'wx', 0o600))
      return () => rmSync(path, { force: true })
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown
    }
    if (waitedMs >= lockWaitMs) rmSync(path, { force: true })
    else Atomics.wait(pause, 0, 0, lockPauseMs)
  }
}

function write(file: string, accounts: Accounts): void {
  const temporary = `${file}.${process.pid}`
  try {
    const text = `${JSON.stringify({ accounts }, undefined, 2)}\n`
    writeFileSync(temporary, text, { mode: 0o600, flush: true })
    renameSync(temporary, file)
  } catch (thrown) {
    rmSync(temporary, { force: true })
    throw thrown
  }
}
