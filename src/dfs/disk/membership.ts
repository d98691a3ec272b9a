/**
 * Which cluster one account of a server belongs to, and which of its four servers this one is for it. Each
 * account has its own: so no user can give another one's account away, and a config with the servers in another
 * order is refused instead of mixing up the pieces.
 */
import { join } from 'node:path'
import { readJson, writeDurably } from '../../durable.js'
import { DfsError } from '../../errors.js'
import { limits } from '../../limits.js'

export interface Place {
  /** 16 bytes, hexadecimal. */
  readonly cluster: string
  /** 0 .. 3. */
  readonly position: number
}

const fileName = 'cluster.json'

export class Membership {
  readonly #store: (place: Place) => void
  #place: Place | undefined

  private constructor(place: Place | undefined, store: (place: Place) => void) {
    this.#place = place
    this.#store = store
  }

  /** The membership of the account in `folder`. `before`: what it was by an older way, where it has no file. */
  static open(folder: string, before: Place | undefined): Membership {
    const file = join(folder, fileName)
    const store = (place: Place): void =>
      writeDurably(file, `${JSON.stringify(place, undefined, 2)}\n`, 0o600)
    return new Membership(read(file) ?? before, store)
  }

  /** A membership that is not stored anywhere. */
  static inMemory(): Membership {
    return new Membership(undefined, () => {})
  }

  get cluster(): string | null {
    return this.#place?.cluster ?? null
  }

  /** 0 .. 3; null while the account belongs to no cluster. */
  get position(): number | null {
    return this.#place?.position ?? null
  }

  /** Throws `wrongServer` when a client means another position, or another cluster, if it knows of one. */
  assertIs({
    cluster,
    position,
  }: {
    readonly cluster: string | null
    readonly position: number
  }): void {
    if (this.#place === undefined) return
    if (cluster !== null && cluster !== this.#place.cluster) {
      throw new DfsError('wrongServer', 'This account belongs to another cluster on this server')
    }
    if (position !== this.#place.position) {
      const [is, asked] = [this.#place.position + 1, position + 1]
      const why = `This server is number ${is} of the cluster, not number ${asked}`
      throw new DfsError('wrongServer', `${why}: the servers are in another order in the config`)
    }
  }

  /**
   * The account is at `place` from now on. `isBound`: there is something in it, so that it stays where it is.
   * Throws `wrongServer` when that is elsewhere.
   */
  claim(place: Place, isBound: boolean): void {
    const { cluster, position } = place
    if (position >= limits.serverCount) throw new DfsError('invalid', 'no such position')
    if (isBound) this.assertIs({ cluster, position })
    if (this.#place?.cluster === cluster && this.#place.position === position) return
    this.#store({ cluster, position })
    this.#place = { cluster, position }
  }
}

/** Undefined when there is no such file; a damaged one is refused: its account must not be claimed anew. */
function read(file: string): Place | undefined {
  const value = readJson(file)
  if (value === null) return undefined
  if (isPlace(value)) return value
  throw new DfsError('disk', `${fileName} does not say which cluster the account belongs to`)
}

/** Whether JSON that was read says a cluster and a position. */
export function isPlace(value: unknown): value is Place {
  const { cluster, position } = (value ?? {}) as Record<string, unknown>
  return (
    typeof cluster === 'string' &&
    /^[0-9a-f]{32}$/.test(cluster) &&
    typeof position === 'number' &&
    Number.isInteger(position) &&
    position >= 0 &&
    position < limits.serverCount
  )
}
