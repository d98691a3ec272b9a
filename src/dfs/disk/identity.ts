/**
 * The identity of a server: its random id, the cluster and position it was claimed for by the first client, and
 * the secret behind the salts of users it does not know. It stays with the folder for life, so that a config
 * with the servers in another order is refused instead of mixing up the pieces.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../../clock.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'
import { writeDurably } from './durable.js'

interface State {
  /** 16 random bytes, hexadecimal. */
  readonly server: string
  /** 16 random bytes, hexadecimal; null until claimed. */
  readonly cluster: string | null
  /** 0 .. 3; null until claimed. */
  readonly position: number | null
  /** 32 random bytes, hexadecimal. */
  readonly secret: string
}

export class Identity {
  readonly #store: (state: State) => void
  #state: State

  private constructor(state: State, store: (state: State) => void) {
    this.#state = state
    this.#store = store
  }

  /** The identity of `folder`, made and stored durably when it has none yet. */
  static open(folder: string, random: Random): Identity {
    const file = join(folder, 'identity.json')
    const store = (state: State): void =>
      writeDurably(file, `${JSON.stringify(state, undefined, 2)}\n`, 0o600)
    const known = read(file)
    const identity = new Identity(known ?? fresh(random), store)
    if (known === undefined) store(identity.#state)
    return identity
  }

  /** An identity that is not stored anywhere. */
  static inMemory(random: Random): Identity {
    return new Identity(fresh(random), () => {})
  }

  get server(): string {
    return this.#state.server
  }

  get cluster(): string | null {
    return this.#state.cluster
  }

  get position(): number | null {
    return this.#state.position
  }

  get secret(): Buffer {
    return Buffer.from(this.#state.secret, 'hex')
  }

  /** Becomes `position` of `cluster` for good. Throws `wrongServer` when it is another already. */
  claim(cluster: string, position: number): void {
    if (position >= limits.serverCount) throw new DfsError('invalid', 'no such position')
    if (this.#state.cluster === null) {
      const state = { ...this.#state, cluster, position }
      this.#store(state)
      this.#state = state
      return
    }
    if (this.#state.cluster !== cluster) {
      throw new DfsError('wrongServer', 'This server belongs to another cluster')
    }
    if (this.#state.position !== position) {
      const [is, asked] = [this.#state.position ?? 0, position].map((index) => index + 1)
      const why = `This server is number ${is} of its cluster, not number ${asked}`
      throw new DfsError('wrongServer', `${why}: the servers are in another order in the config`)
    }
  }
}

function fresh(random: Random): State {
  return {
    server: random.bytes(16).toString('hex'),
    cluster: null,
    position: null,
    secret: random.bytes(32).toString('hex'),
  }
}

/** Undefined when there is no such file; a damaged one is refused, for a new one could not serve. */
function read(file: string): State | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw thrown
  }
  const state = parse(text)
  if (state === undefined) throw new DfsError('configuration', `${file}: not a server's identity`)
  return state
}

function parse(text: string): State | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const { server, cluster, position, secret } = (value ?? {}) as Record<string, unknown>
  if (!isHex(server, 16) || !isHex(secret, 32)) return undefined
  if (cluster === null && position === null) return { server, secret, cluster, position }
  if (!isHex(cluster, 16) || !isPosition(position)) return undefined
  return { server, secret, cluster, position }
}

function isHex(value: unknown, bytes: number): value is string {
  return typeof value === 'string' && value.length === bytes * 2 && /^[0-9a-f]*$/.test(value)
}

function isPosition(value: unknown): value is number {
  return (
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < limits.serverCount
  )
}
