/**
 * Sees to it that an open goes to the file, and a change of a name to the folder, that has the name which
 * the program came by. The kernel asks by number: it may have come from a name that it was told a
 * moment ago and that means another one since another mount has renamed, replaced or exchanged
 * it, or a folder on the way. So all names that it may have come by are looked up, each way with one question;
 * where one leads elsewhere by now the kernel is sent to look for them itself. A mount that is
 * alone knows that none does.
 */
import type { Clock } from '../../clock.js'
import type { Node } from '../../dfc/namespace/cache/node.js'
import type { Namespace } from '../../dfc/namespace/namespace.js'
import { DfsError, isError } from '../../errors.js'
import { limits } from '../../limits.js'
import { SecondAttempts } from './second-attempts.js'
import type { Route, ToldNames } from './told-names.js'

export interface NameCheckOptions {
  readonly namespace: Pick<Namespace, 'useLease' | 'cached' | 'follow' | 'node'>
  readonly names: Pick<ToldNames, 'routesTo'>
  readonly clock: Clock
  /** What else a listed name may stand for. */
  readonly plainName: (name: string) => string | undefined
}

/** All that the kernel believes was told, and asked for, since this mount is alone. */
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
   * The node as the servers have it now. Throws `stale` when the thread `pid` may have come by a name that
   * means another file, upon which the kernel looks for it once more.
   */
  async node(ino: number, pid: number): Promise<Node> {
    if (this.again.take(pid, ino)) return this.#found(ino)
    return this.#orBack([ino], pid, async () => {
      return (await this.#asNamed(ino)) ?? (await this.#namespace.node(ino, true))
    })
  }

  /**
   * As `node` of all of these, and asks nobody where only nodes would have to be asked for. Returns whether
   * it is the thread's second attempt.
   */
  async assertNamed(inos: readonly number[], pid: number): Promise<boolean> {
    if (inos.some((ino) => this.again.take(pid, ino))) return true
    await this.#orBack(inos, pid, () => Promise.all(inos.map((ino) => this.#asNamed(ino))))
    return false
  }

  /** Nobody else can have changed a name that the kernel believes. */
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

  /** It was there when the names were looked for, and may be gone again. */
  async #found(ino: number): Promise<Node> {
    const known = this.#namespace.cached(ino)
    try {
      return await this.#namespace.node(ino, true)
    } catch (error) {
      if (known === undefined || !isError(error, 'stale')) throw error
      return known
    }
  }

  /** Undefined where there was nothing to look for. Throws `stale`, `notFound`. */
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

  /** The node at its end. Throws `stale` when it leads elsewhere. */
  async #follow({ from, steps }: Route): Promise<Node> {
    const names = steps.map(({ name }) => name)
    const isAt = (nodes: readonly Node[], count: number): boolean =>
      nodes.length >= count && steps.every(({ ino }, at) => at >= count || nodes[at]?.ino === ino)
    let nodes = await this.#namespace.follow(from, names)
    const plain = this.#plainName(names.at(-1) ?? '')
    // It was listed under a name that it has not got.
    if (plain !== undefined && nodes.length < names.length && isAt(nodes, names.length - 1)) {
      nodes = await this.#namespace.follow(from, [...names.slice(0, -1), plain])
    }
    const last = nodes.at(-1)
    if (last === undefined || !isAt(nodes, steps.length)) throw new DfsError('stale')
    return last
  }
}
