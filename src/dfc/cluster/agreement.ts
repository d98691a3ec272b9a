/**
 * The cluster that the account of a config belongs to, as its four servers say. Two that agree outvote one that
 * says otherwise: so a single server, which may be a wrong one or a false one, cannot keep a client from the three
 * others.
 */
import { limits } from '../../limits.js'

/** Servers that have to name one cluster before a client goes by it while others have not answered. */
const agreeing = 2

export class ClusterAgreement {
  /** Position of a server -> the cluster it names; null: none, since the account is new there. */
  readonly #named = new Map<number, string | null>()
  readonly #failed = new Set<number>()
  readonly #waiting: (() => void)[] = []
  #cluster: string | undefined

  /** 16 bytes, hexadecimal; undefined while it is not known, and while the account belongs to none. */
  get cluster(): string | undefined {
    return this.#cluster
  }

  /** The server at `index` has shown that it knows the password, and names its cluster. */
  name(index: number, cluster: string | null): void {
    this.#named.set(index, cluster)
    this.#failed.delete(index)
    this.#decide()
  }

  /** The server at `index` cannot be asked now. */
  fail(index: number): void {
    this.#named.delete(index)
    this.#failed.add(index)
    this.#decide()
  }

  /** A new cluster was founded, or joined. */
  settle(cluster: string): void {
    this.#cluster = cluster
    this.#wake()
  }

  /** Resolves when the cluster is known, or every server has said or failed to say. */
  async decided(): Promise<void> {
    if (this.#isDecided) return
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  get #isDecided(): boolean {
    return this.#cluster !== undefined || this.#answered >= limits.serverCount
  }

  get #answered(): number {
    return this.#named.size + this.#failed.size
  }

  #decide(): void {
    this.#cluster ??= this.#agreed()
    if (this.#isDecided) this.#wake()
  }

  #agreed(): string | undefined {
    const names = [...this.#named.values()].filter((name) => name !== null)
    const different = new Set(names)
    for (const name of different) {
      if (names.filter((other) => other === name).length >= agreeing) return name
    }
    // One server alone is believed where all have been asked and none contradicts it.
    const [only] = names
    return different.size === 1 && this.#answered >= limits.serverCount ? only : undefined
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
