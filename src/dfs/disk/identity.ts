/**
 * The identity of a server for the life of its folder: its random id, and the secret behind the salts that it offers.
 */
import { join } from 'node:path'
import type { Random } from '../../clock.js'
import { readJson, writeDurably } from '../../durable.js'
import { DfsError } from '../../errors.js'
import { isPlace, type Place } from './membership.js'

interface State {
  /** 16 random bytes, hexadecimal. */
  readonly server: string
  /** 32 random bytes, hexadecimal. */
  readonly secret: string
  /** The cluster and position of all accounts, in a folder that was made by 0.1.0. */
  readonly place: Place | undefined
}

export class Identity {
  readonly #state: State

  private constructor(state: State) {
    this.#state = state
  }

  /** The identity of `folder`, made and stored durably when it has none yet. */
  static open(folder: string, random: Random): Identity {
    const file = join(folder, 'identity.json')
    const known = read(file)
    if (known !== undefined) return new Identity(known)
    const { server, secret } = fresh(random)
    writeDurably(file, `${JSON.stringify({ server, secret }, undefined, 2)}\n`, 0o600)
    return new Identity({ server, secret, place: undefined })
  }

  /** An identity that is not stored anywhere. */
  static inMemory(random: Random): Identity {
    return new Identity(fresh(random))
  }

  get server(): string {
    return this.#state.server
  }

  get secret(): Buffer {
    return Buffer.from(this.#state.secret, 'hex')
  }

  /** The cluster and position of accounts that were here before each had its own. */
  get place(): Place | undefined {
    return this.#state.place
  }
}

function fresh(random: Random): State {
  const [server, secret] = [random.bytes(16), random.bytes(32)]
  return { server: server.toString('hex'), secret: secret.toString('hex'), place: undefined }
}

/** Undefined when there is no such file; a damaged one is refused, for a new one could not serve. */
function read(file: string): State | undefined {
  const value = readJson(file)
  if (value === null) return undefined
  const { server, secret, ...place } = (value ?? {}) as Record<string, unknown>
  const hasPlace = Object.values(place).some((one) => one !== null)
  if (isHex(server, 16) && isHex(secret, 32)) {
    if (!hasPlace) return { server, secret, place: undefined }
    if (isPlace(place)) return { server, secret, place }
  }
  throw new DfsError('configuration', `${file}: not a server's identity`)
}

function isHex(value: unknown, bytes: number): value is string {
  return typeof value === 'string' && value.length === bytes * 2 && /^[0-9a-f]*$/.test(value)
}
