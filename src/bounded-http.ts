/**
 * A listener over HTTP for a few readers, such as the one for metrics and that of `dfc web`. Its connections are bounded,
 * and none can keep others away by being slow: for one too many the oldest is closed. Each has one answer.
 */
import { createServer, type RequestListener, type Server } from 'node:http'
import type { Socket } from 'node:net'
import { debugWire } from './log.js'

export interface HttpBounds {
  readonly connectionsMax: number
  /** Time in ms within which a request has to arrive. */
  readonly arrivalMs: number
}

/** How often Node looks for requests that take longer. */
const lookEveryMs = 1_000

/** Returns a server that does not listen yet. */
export function boundedHttpServer(
  { connectionsMax, arrivalMs }: HttpBounds,
  answer: RequestListener,
): Server {
  const server = createServer(
    {
      requestTimeout: arrivalMs,
      headersTimeout: arrivalMs,
      connectionsCheckingInterval: lookEveryMs,
    },
    answer,
  )
  // Answers that nobody reads must not pile up, nor requests of one connection keep others waiting.
  server.maxRequestsPerSocket = 1
  // In the order in which they came.
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    const [oldest] = open
    if (open.size > connectionsMax) oldest?.destroy()
  })
  // What one connection meets must not end the program.
  server.on('error', (error) => debugWire('http: %o', error))
  return server
}
