/**
 * Decides which cluster the account of a configuration belongs to, from the answers of its four servers. Two that
 * agree outvote one that differs, so a single wrong or false server cannot keep a client from the three others.
 */
import { limits } from '../../limits.js'

/** Number of servers that must name the same cluster before a client accepts it while others have not answered. */
const agreeing = 2

export class ClusterAgreement {
  /** The cluster that each server names, by its position; null where the account is new. */
  readonly #named = new Map<number, string | null>()
  readonly #failed = new Set<number>()
  readonly #waiting: (() => void)[] = []
  #cluster: string | undefined

  /**
   * The id of the cluster: 16 bytes, hexadecimal; undefined while it is not known, and while the account belongs to
   * none.
   */
  get cluster(): string | undefined {
    return this.#cluster
  }

  /** Notes the cluster named by the server at `index`, which has proved that it knows the password. */
  name(index: number, cluster: string | null): void {
    this.#named.set(index, cluster)
    this.#failed.delete(index)
    this.#decide()
  }

  /** Notes that the server at `index` cannot be asked now. */
  fail(index: number): void {
    this.#named.delete(index)
    this.#failed.add(index)
    this.#decide()
  }

  /** Notes that a new cluster was founded or joined. */
  settle(cluster: string): void {
    this.#cluster = cluster
    this.#wake()
  }

  /** Resolves when the cluster is known, or every server has answered or failed. */
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
    // The answer of a single server counts when all have been asked and none contradicts it.
    const [only] = names
    return different.size === 1 && this.#answered >= limits.serverCount ? only : undefined
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
