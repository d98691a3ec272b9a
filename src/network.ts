/**
 * Byte streams between a client and a server. The program uses TCP (`tcpNetwork`); the simulation passes a network of
 * its own. A connection hands over bytes as they arrive, reports when its send queue has drained, and closes exactly
 * once.
 */
import { createServer, type OnReadOpts, type Socket, connect as tcpConnect } from 'node:net'
import { DfsError } from './errors.js'
import { limits } from './limits.js'
import { receivingInto } from './node-internals.js'

export interface Address {
  readonly host: string
  readonly port: number
}

/** Callbacks for the owner of a connection. `closed` comes exactly once, last. */
export interface ConnectionEvents {
  /**
   * Returns memory for the next bytes: the next `data` then begins at its start. Bytes may arrive in other memory all
   * the same: the first ones always, and all of them where the network cannot receive into given memory.
   */
  buffer?(): Buffer
  data(bytes: Buffer): void
  closed(reason: Error | undefined): void
  drained(): void
}

export interface Connection {
  readonly remote: string
  /** Over TLS: 32 bytes that only the two ends of this connection know (RFC 9266). */
  readonly exporter?: Buffer | undefined
  /** Bytes handed to `send` that have not left this process yet. */
  readonly queuedBytes: number
  /**
   * Queues `parts` in order, without copying. The caller must not change them, or not before `sent` was called, which
   * happens once, when they have left this process or never will.
   */
  send(parts: readonly Uint8Array[], sent?: () => void): void
  /** Stops (true) or resumes reading from the peer: back-pressure. */
  pause(paused: boolean): void
  /** Closes the connection after the queue has been sent. */
  end(): void
  /** Closes the connection at once. */
  destroy(): void
}

export interface Listener {
  readonly port: number
  close(): Promise<void>
}

export interface Network {
  /** Connects within `timeoutMs` or throws `down`. */
  connect(address: Address, timeoutMs: number, events: ConnectionEvents): Promise<Connection>
  /** Listens on `address`. Throws when the port is in use. `accept` returns the callbacks of a new connection. */
  listen(address: Address, accept: (connection: Connection) => ConnectionEvents): Promise<Listener>
}

export const tcpNetwork: Network = {
  connect(address, timeoutMs, events) {
    return new Promise((resolve, reject) => {
      const { host, port } = address
      const socket = tcpConnect({ host, port, noDelay: true, ...receiving(() => events) })
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
      const options = { noDelay: true, pauseOnConnect: true, ...keepAlive }
      const server = createServer(options, (accepted) => {
        let events: ConnectionEvents | undefined
        const socket = receivingInto(accepted, receiving(() => events).onread)
        sockets.add(socket)
        socket.once('close', () => sockets.delete(socket))
        cutOffWhenStalled(socket)
        const connection = new TcpConnection(socket)
        events = accept(connection)
        connection.start(events)
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
 * Options that let a socket receive into its owner's memory. Without them each 64 KiB would arrive in memory of its
 * own, which costs as much as all other work on it.
 */
function receiving(owner: () => ConnectionEvents | undefined): { readonly onread: OnReadOpts } {
  return {
    onread: {
      buffer: () => owner()?.buffer?.() ?? Buffer.allocUnsafeSlow(limits.blockBytes),
      callback(count, bytes) {
        owner()?.data(Buffer.from(bytes.buffer, bytes.byteOffset, count))
        return true
      },
    },
  }
}

/**
 * Ends a connection whose peer has read nothing of its queue for `replyStallMs`. A socket's timer may notice only the
 * second time it fires that there was no progress, hence half the time.
 */
function cutOffWhenStalled(socket: Socket): void {
  socket.setTimeout(limits.replyStallMs / 2, () => {
    if (socket.writableLength === 0) return
    socket.destroy(new DfsError('timedOut', 'the peer does not read'))
  })
}

const nothing = Buffer.alloc(0)

class TcpConnection implements Connection {
  readonly remote: string
  readonly #socket: Socket
  #isPaused = false

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
    if (!this.#isPaused) this.#socket.resume()
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  send(parts: readonly Uint8Array[], sent?: () => void): void {
    // Bytes behind the end would destroy the connection before the rest was sent.
    if (this.#socket.destroyed || this.#socket.writableEnded) {
      sent?.()
      return
    }
    const [first, second] = parts
    // Holding it back for others that follow would cost as much as sending it.
    if (first !== undefined && second === undefined && sent === undefined) {
      this.#socket.write(first)
      return
    }
    this.#socket.cork()
    for (const part of parts) if (part.length > 0) this.#socket.write(part)
    // The callback of an empty write comes when all before it has been sent.
    if (sent !== undefined) this.#socket.write(nothing, sent)
    this.#socket.uncork()
  }

  pause(paused: boolean): void {
    this.#isPaused = paused
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
