/**
 * Which servers were in trouble, as a client saw it, and when: an operation may fail for want of
 * servers only if two of them were.
 */
interface Impairment {
  readonly server: number
  /** Absent: for everybody. */
  readonly client?: string
  readonly fromMs: number
  untilMs: number
}

export class Impairments {
  readonly #all: Impairment[] = []
  readonly #graceMs: number

  /** After so long a client must have noticed that a server is well again. */
  constructor(graceMs: number) {
    this.#graceMs = graceMs
  }

  /** Returns how to end it. */
  begin(server: number, fromMs: number, client?: string): (untilMs: number) => void {
    const impairment: Impairment = {
      server,
      fromMs,
      untilMs: Number.POSITIVE_INFINITY,
      ...(client === undefined ? {} : { client }),
    }
    this.#all.push(impairment)
    return (untilMs) => {
      impairment.untilMs = Math.min(impairment.untilMs, untilMs)
    }
  }

  /** Returns the servers that were in trouble for `client` at some time between the two, or `graceMs` before. */
  servers(client: string, fromMs: number, toMs: number, graceMs = this.#graceMs): Set<number> {
    const servers = new Set<number>()
    for (const one of this.#all) {
      if (one.client !== undefined && one.client !== client) continue
      if (one.fromMs <= toMs && one.untilMs + graceMs >= fromMs) servers.add(one.server)
    }
    return servers
  }
}
