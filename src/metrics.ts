/**
 * Metrics for Prometheus: a listener that answers GET /metrics with what a program has counted. The counters are
 * integers of the parts that count; they are read when somebody asks, and nothing is done before.
 */

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { boundedHttpServer } from './bounded-http.js'
import { type LatencyCounts, latencyBounds } from './latencies.js'
import { limits } from './limits.js'
import { notice } from './log.js'
import { isOwnHost } from './loopback.js'
import type { Labels, Metric } from './metric-rows.js'
import type { MetricsAddress } from './metrics-address.js'
import { addressText } from './network.js'

export class MetricsListener {
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  /**
   * Listens, and takes the figures whenever it is asked. Several programs of one machine may have one configuration:
   * where the port is taken it tries those that follow. When none is free this is a warning, and undefined.
   */
  static async start<F>(
    { host, port, isPublic }: MetricsAddress,
    metrics: readonly Metric<F>[],
    figures: () => F | Promise<F>,
  ): Promise<MetricsListener | undefined> {
    const registry = new Registry()
    collectDefaultMetrics({ register: registry })
    let taken: F | undefined
    for (const metric of metrics) register(registry, metric, () => taken)
    const answer = async (): Promise<string> => {
      taken = await figures()
      return registry.metrics()
    }
    const bounds = {
      connectionsMax: limits.metricsConnectionsMax,
      arrivalMs: limits.httpRequestMs,
    }
    const server = boundedHttpServer(bounds, (request, response) => {
      void reply(request, response, isPublic, answer, registry.contentType)
    })
    try {
      const found = await listenOnFree(server, host, port)
      // The program lives as long as what it is for, not as long as this.
      server.unref()
      const shown = addressText({ host, port: found })
      notice(`metrics are at http://${shown}/metrics`)
      if (isPublic) {
        notice(
          `metrics: whoever reaches ${shown} can read names of users and how much they store`,
          'warning',
        )
      }
      return new MetricsListener(server)
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown)
      notice(
        `there are no metrics: cannot listen on ${addressText({ host, port })}: ${why}`,
        'warning',
      )
      return undefined
    }
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

/** Returns the port. Throws what the system says about the last one that was tried. */
async function listenOnFree(server: Server, host: string, port: number): Promise<number> {
  const tries = port === 0 ? 1 : limits.metricsPortsMax
  for (let offset = 0; ; offset += 1) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ host, port: port + offset, exclusive: true }, () => {
          server.off('error', reject)
          resolve()
        })
      })
      return (server.address() as AddressInfo).port
    } catch (thrown) {
      const isTaken = (thrown as NodeJS.ErrnoException).code === 'EADDRINUSE'
      if (!isTaken || offset + 1 >= tries) throw thrown
    }
  }
}

/** Never rejects. */
async function reply(
  { method, url = '', headers }: IncomingMessage,
  response: ServerResponse,
  isPublic: boolean,
  answer: () => Promise<string>,
  contentType: string,
): Promise<void> {
  const refuse = (status: number, why: string): void => {
    response.writeHead(status, { 'content-type': 'text/plain' }).end(`${why}\n`)
  }
  try {
    // A page of the web that a browser of this machine shows may have its name lead here (DNS rebinding).
    if (!isPublic && !isOwnHost(headers.host)) return refuse(403, 'this is not its name')
    if (url !== '/metrics') return refuse(404, 'only /metrics is here')
    if (method !== 'GET' && method !== 'HEAD') return refuse(405, 'only GET is possible')
    const text = await answer()
    response.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' })
    response.end(method === 'HEAD' ? undefined : text)
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    notice(`the metrics cannot be read: ${why}`, 'warning')
    refuse(500, 'the metrics cannot be read now')
  }
}

function register<F>(registry: Registry, metric: Metric<F>, taken: () => F | undefined): void {
  const { name, help, type, labels: labelNames } = metric
  const values = (): ReturnType<Metric<F>['values']> => {
    const figures = taken()
    return figures === undefined ? [] : metric.values(figures)
  }
  const common = { name, help, labelNames, registers: [registry] }
  if (type === 'counter') {
    new Counter({
      ...common,
      collect() {
        this.reset()
        for (const [labels, value] of values()) this.inc(labels, Number(value))
      },
    })
  } else if (type === 'gauge') {
    new Gauge({
      ...common,
      collect() {
        this.reset()
        for (const [labels, value] of values()) this.set(labels, Number(value))
      },
    })
  } else {
    const counted = () =>
      values().flatMap(([labels, value]) => (typeof value === 'number' ? [] : [{ labels, value }]))
    new CountedHistogram(common, counted)
  }
}

interface Counted {
  readonly labels: Labels
  readonly value: LatencyCounts
}

/** A histogram whose values were counted elsewhere: prom-client would take longer than what is measured. */
class CountedHistogram extends Histogram {
  readonly #described: { readonly name: string; readonly help: string }
  readonly #counted: () => readonly Counted[]

  constructor(
    options: ConstructorParameters<typeof Histogram>[0],
    counted: () => readonly Counted[],
  ) {
    super({ ...options, buckets: [...latencyBounds] })
    this.#described = options
    this.#counted = counted
  }

  /** Returns the samples as a registry writes them into its text. */
  async getForPromString(): Promise<object> {
    const { name, help } = this.#described
    const values = this.#counted().flatMap(({ labels, value: { buckets, count, sumMs } }) => {
      let below = 0
      const cumulative = buckets.map((number, index) => {
        below += number
        const le = latencyBounds[index] ?? '+Inf'
        return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: below }
      })
      return [
        ...cumulative,
        { metricName: `${name}_sum`, labels, value: sumMs / 1000 },
        { metricName: `${name}_count`, labels, value: count },
      ]
    })
    return { name, help, type: 'histogram', values }
  }
}
