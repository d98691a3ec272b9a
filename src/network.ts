/**
 * Byte streams between a client and a server. The program speaks TCP (`tcpNetwork`); the simulation
 * passes a network of its own. A connection hands over what arrives as it arrives, says when its
 * send queue has drained, and closes exactly once.
 */
import { createServer, type Socket, connect as tcpConnect } from 'node:net'
import { DfsError } from './errors.js'
import { limits } from './limits.js'

export interface Address {
  readonly host: string
  readonly port: number
}

/** What the owner of a connection wants to hear. `closed` comes exactly once, last. */
export interface ConnectionEvents {
  data(bytes: Buffer): void
  closed(reason: Error | undefined): void
  drained(): void
}

export interface Connection {
  readonly remote: string
  /** Bytes handed to `send` that have not left this process yet. */
  readonly queuedBytes: number
  /** Queues `parts` in order, without copying: the caller must not change them any more. */
  send(parts: readonly Uint8Array[]): void
  /** Stops (true) or resumes reading from the peer: back-pressure. */
  pause(paused: boolean): void
  /** Closes after what is queued has been sent. */
  end(): void
  /** Closes at once. */
  destroy(): void
}

export interface Listener {
  readonly port: number
  close(): Promise<void>
}

export interface Network {
  /** Connects within `timeoutMs` or throws `down`. */
  connect(address: Address, timeoutMs: number, events: ConnectionEvents): Promise<Connection>
  /** Throws when the port is in use. `accept` returns the events of the new connection. */
  listen(address: Address, accept: (connection: Connection) => ConnectionEvents): Promise<Listener>
}

export const tcpNetwork: Network = {
  connect(address, timeoutMs, events) {
    return new Promise((resolve, reject) => {
      const socket = tcpConnect({ host: address.host, port: address.port, noDelay: true })
      const fail = (cause: Error | undefined): void => {
        socket.destroy()
        const why = cause === undefined ? 'no answer' : cause.message
        reject(new DfsError('down', `${address.host}:${address.port}: ${why}`, { cause }))
      }
      const timer = setTimeout(fail, timeoutMs, undefined)
      socket.once('error', fail)
      socket.once('connect', () => {
        clearTimeout(timer)
        socket.off('error', fail)
        const connection = new TcpConnection(socket)
        connection.start(events)
        resolve(connection)
      })
      socket.once('close', () => clearTimeout(timer))
    })
  },

  listen(address, accept) {
    return new Promise((resolve, reject) => {
      const sockets = new Set<Socket>()
      const keepAlive = { keepAlive: true, keepAliveInitialDelay: limits.keepAliveMs }
      const server = createServer({ noDelay: true, ...keepAlive }, (socket) => {
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
        cutOffWhenStalled(socket)
        const connection = new TcpConnection(socket)
        connection.start(accept(connection))
      })
      server.once('error', reject)
      server.listen(address.port, address.host, 1024, () => {
        server.off('error', reject)
        const bound = server.address()
        const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
        resolve({
          port,
          close: () =>
            new Promise((done) => {
              server.close(() => done())
              for (const socket of sockets) socket.destroy()
            }),
        })
      })
    })
  },
}

/**
 * Ends a connection whose peer has taken nothing of what is queued for it for `replyStallMs`. The
 * timer of a socket may see only the second time that it fires that there was no progress.
 */
function cutOffWhenStalled(socket: Socket): void {
  socket.setTimeout(limits.replyStallMs / 2, () => {
    if (socket.writableLength === 0) return
    socket.destroy(new DfsError('timedOut', 'the peer does not read'))
  })
}

class TcpConnection implements Connection {
  readonly remote: string
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
    this.remote = `${socket.remoteAddress ?? '?'}:${socket.remotePort ?? '?'}`
  }

  start(events: ConnectionEvents): void {
    let reason: Error | undefined
    this.#socket.on('data', (bytes: Buffer) => events.data(bytes))
    this.#socket.on('drain', () => events.drained())
    this.#socket.on('error', (error) => {
      reason = error
    })
    this.#socket.on('close', () => events.closed(reason))
    this.#socket.on('end', () => this.#socket.end())
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  send(parts: readonly Uint8Array[]): void {
    // What comes after the end would end the connection before the rest was sent.
    if (this.#socket.destroyed || this.#socket.writableEnded) return
    this.#socket.cork()
    for (const part of parts) if (part.length > 0) this.#socket.write(part)
    this.#socket.uncork()
  }

  pause(paused: boolean): void {
    if (paused) this.#socket.pause()
    else this.#socket.resume()
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
