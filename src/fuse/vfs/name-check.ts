/**
 * Checks that an open reaches the file, and a change of a name the folder, that now has the name which the program
 * used. The kernel's request has only an inode number, which may stem from a cached name that means another inode
 * since another mount renamed, replaced or exchanged it, or a folder on the way. So all names that may have led there
 * are looked up, each way with one question; where one leads elsewhere by now, the kernel is made to look them up
 * itself. A mount that is alone knows that none does.
 */
import type { Clock } from '../../clock.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import type { Namespace } from '../../dfc/namespace/namespace.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { SecondAttempts } from './second-attempts.js'
import type { Route, ToldNames } from './told-names.js'

export interface NameCheckOptions {
  readonly namespace: Pick<Namespace, 'names' | 'useLease'>
  readonly names: Pick<ToldNames, 'routesTo'>
  readonly clock: Clock
  /** The other name that a listed name may stand for, if any. */
  readonly plainName: (name: string) => string | undefined
}

/** How long this mount must have been alone, in ms, for all names in the kernel's cache to be from that time. */
const aloneMsMin = limits.nameBelievedMs + limits.cacheLifeMs

export class NameCheck {
  readonly again: SecondAttempts
  readonly #namespace: NameCheckOptions['namespace']
  readonly #names: NameCheckOptions['names']
  readonly #clock: Clock
  readonly #plainName: NameCheckOptions['plainName']

  constructor({ namespace, names, clock, plainName }: NameCheckOptions) {
    this.#namespace = namespace
    this.#names = names
    this.#clock = clock
    this.#plainName = plainName
    this.again = new SecondAttempts(clock)
  }

  /**
   * The node as the servers have it now. Throws `stale` when the thread `pid` may have used a name that means another
   * file; the kernel then looks it up once more.
   */
  async node(ino: number, pid: number): Promise<Node> {
    if (this.again.take(pid, ino)) return this.#found(ino)
    return this.#orBack([ino], pid, async () => {
      return (await this.#asNamed(ino)) ?? (await this.#namespace.names.node(ino, true))
    })
  }

  /**
   * Checks the names of all these inodes, as `node` does, without asking for the nodes themselves. Returns whether it
   * is the thread's second attempt.
   */
  async assertNamed(inos: readonly number[], pid: number): Promise<boolean> {
    if (inos.some((ino) => this.again.take(pid, ino))) return true
    await this.#orBack(inos, pid, () => Promise.all(inos.map((ino) => this.#asNamed(ino))))
    return false
  }

  /** Whether no other client can have changed a name in the kernel's cache. */
  isSure(): boolean {
    const sinceMs = this.#namespace.useLease()
    return sinceMs !== undefined && this.#clock.monotonic() - sinceMs > aloneMsMin
  }

  async #orBack<T>(inos: readonly number[], pid: number, check: () => Promise<T>): Promise<T> {
    try {
      return await check()
    } catch (error) {
      if (!isError(error, 'notFound', 'notDirectory', 'stale')) throw error
      this.again.expect(pid, ...inos)
      throw new DfsError('stale')
    }
  }

  /** Reads a node whose names were just found. It may be gone again. */
  async #found(ino: number): Promise<Node> {
    const known = this.#namespace.names.cached(ino)
    try {
      return await this.#namespace.names.node(ino, true)
    } catch (error) {
      if (known === undefined || !isError(error, 'stale')) throw error
      return known
    }
  }

  /** Finds the node by the names that led to it; undefined when there are none. Throws `stale`, `notFound`. */
  async #asNamed(ino: number): Promise<Node | undefined> {
    if (this.isSure()) return undefined
    const routes = this.#names.routesTo(ino)
    if (routes === undefined) throw new DfsError('stale')
    const nodes = await Promise.all(routes.map((route) => this.#follow(route)))
    return nodes.reduce<Node | undefined>(
      (newest, node) => (newest === undefined || node.version > newest.version ? node : newest),
      undefined,
    )
  }

  /** Follows a route and returns the node at its end. Throws `stale` when it leads elsewhere. */
  async #follow({ from, steps }: Route): Promise<Node> {
    const names = steps.map(({ name }) => name)
    const isAt = (nodes: readonly Node[], count: number): boolean =>
      nodes.length >= count && steps.every(({ ino }, at) => at >= count || nodes[at]?.ino === ino)
    let nodes = await this.#namespace.names.follow(from, names)
    const plain = this.#plainName(names.at(-1) ?? '')
    // The node was listed under a name that it does not have.
    if (plain !== undefined && nodes.length < names.length && isAt(nodes, names.length - 1)) {
      nodes = await this.#namespace.names.follow(from, [...names.slice(0, -1), plain])
    }
    const last = nodes.at(-1)
    if (last === undefined || !isAt(nodes, steps.length)) throw new DfsError('stale')
    return last
  }
}
