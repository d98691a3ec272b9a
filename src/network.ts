/**
 * Byte streams between a client and a server. The program uses TCP, with TLS where it is asked for (`tcpNetwork`); the
 * simulation passes a network of its own. A connection hands over bytes as they arrive, reports when its send queue has
 * drained, and closes exactly once.
 */
import { createServer, type OnReadOpts, type Socket, connect as tcpConnect } from 'node:net'
import { createSecureContext, TLSSocket, connect as tlsConnect } from 'node:tls'
import { sentenceOf } from './error-message.js'
import { asDfsError, DfsError } from './errors.js'
import { limits } from './limits.js'
import { receiveInto } from './node-internals.js'
import { hostOf } from './remote-host.js'
import {
  channelBinding,
  HandshakePace,
  isLoopback,
  keyNameOf,
  type TlsKey,
  tlsFirstByte,
  tlsVersion,
} from './tls.js'

export interface Address {
  readonly host: string
  readonly port: number
}

/** Formats an address as configurations and URLs have it: IPv6 in brackets (RFC 3986, 3.2.2). */
export function addressText({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Where a client connects to, and how. */
export interface Target extends Address {
  /** Over TLS. Whose key the server has is for the client to check, before it sends anything. */
  readonly tls?: boolean
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
  /** Whether the peer is on this machine. */
  readonly isLocal: boolean
  /** Over TLS, from the first byte of `data` on: 32 bytes that only the two ends of this connection know (RFC 9266). */
  readonly exporter?: Buffer | undefined
  /** Over TLS, at the client: names the key of the server, as `keyNameOf` does. */
  readonly serverKey?: string | undefined
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
  connect(target: Target, timeoutMs: number, events: ConnectionEvents): Promise<Connection>
  /**
   * Listens on `address`. Throws when the port is in use. `accept` returns the callbacks of a new connection, at once
   * and before anything has arrived. With a `key`, peers may use TLS or not as they like; it is asked for when the first
   * one does.
   */
  listen(
    address: Address,
    accept: (connection: Connection) => ConnectionEvents,
    key?: () => Promise<TlsKey>,
  ): Promise<Listener>
}

export const tcpNetwork: Network = {
  connect(target, timeoutMs, events) {
    return new Promise((resolve, reject) => {
      const { host, port, tls = false } = target
      const options = { host, port, noDelay: true, ...receiving(() => events) }
      // The key is what a server is known by; no authority has signed it.
      const socket = tls
        ? tlsConnect({ ...options, ...tlsVersion, rejectUnauthorized: false })
        : tcpConnect(options)
      const fail = (cause: Error | undefined): void => {
        socket.destroy()
        reject(failureOf(`${host}:${port}`, cause))
      }
      const timer = setTimeout(fail, timeoutMs, undefined)
      socket.once('error', fail)
      socket.once(tls ? 'secureConnect' : 'connect', () => {
        clearTimeout(timer)
        socket.off('error', fail)
        const connection = new TcpConnection(socket)
        connection.start(events)
        resolve(connection)
      })
      socket.once('close', () => clearTimeout(timer))
    })
  },

  listen(address, accept, key) {
    return new Promise((resolve, reject) => {
      const sockets = new Set<Socket>()
      const pace = new HandshakePace()
      const keepAlive = { keepAlive: true, keepAliveInitialDelay: limits.keepAliveMs }
      const options = { noDelay: true, pauseOnConnect: true, ...keepAlive }
      const server = createServer(options, (accepted) => {
        sockets.add(accepted)
        accepted.once('close', () => sockets.delete(accepted))
        const connection = new TcpConnection(accepted)
        const events = accept(connection)
        connection.attach(events)
        const waitMs = () => pace.waitMs(hostOf(connection.remote), performance.now())
        if (key === undefined) connection.readFrom(accepted)
        else void chosenBy(accepted, key, waitMs).then((socket) => connection.readFrom(socket))
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

/** The error of a connection that could not be made; without a `cause` it took too long. */
function failureOf(address: string, cause: NodeJS.ErrnoException | undefined): DfsError {
  if (cause?.code === 'ERR_SSL_WRONG_VERSION_NUMBER') {
    const why = 'what answers there does not speak TLS: an older dfs-server, or another program'
    return new DfsError('untrusted', `${address}: ${why}`, { cause })
  }
  return new DfsError(
    'down',
    `${address}: ${cause === undefined ? 'no answer' : sentenceOf(cause)}`,
    { cause },
  )
}

/**
 * The socket to go on with once the first bytes of an accepted one have arrived: TLS on top of it where they begin
 * that, `waitMs` later, or itself. One whose key cannot be had, or that would wait too long, is destroyed for that.
 */
async function chosenBy(
  accepted: Socket,
  key: () => Promise<TlsKey>,
  waitMs: () => number | undefined,
): Promise<Socket> {
  if (!(await beginsTls(accepted))) return accepted
  try {
    const restMs = waitMs()
    if (restMs === undefined) throw new DfsError('overloaded', 'too many TLS handshakes')
    if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs))
    const { privateKey, certificate } = await key()
    const secureContext = createSecureContext({ ...tlsVersion, key: privateKey, cert: certificate })
    if (!accepted.destroyed) return new TLSSocket(accepted, { isServer: true, secureContext })
  } catch (thrown) {
    accepted.destroy(asDfsError(thrown))
  }
  return accepted
}

/** Resolves when the first bytes of an accepted socket have arrived, which are left to be read. */
function beginsTls(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    socket.once('data', (bytes: Buffer) => {
      socket.pause()
      socket.unshift(bytes)
      resolve(bytes[0] === tlsFirstByte)
    })
    socket.resume()
  })
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
  readonly isLocal: boolean
  readonly serverKey: string | undefined
  #socket: Socket
  #exporter: Buffer | undefined
  #events: ConnectionEvents | undefined
  #isPaused = false

  constructor(socket: Socket) {
    this.#socket = socket
    const { remoteAddress = '?', remotePort = '?' } = socket
    this.remote = `${remoteAddress}:${remotePort}`
    this.isLocal = isLoopback(remoteAddress)
    if (!(socket instanceof TLSSocket)) return
    this.#exporter = channelBinding(socket)
    const certificate = socket.getPeerX509Certificate()
    this.serverKey = certificate && keyNameOf(certificate)
  }

  get exporter(): Buffer | undefined {
    return this.#exporter
  }

  /** Begins to hand over what arrives, and everything else that happens. */
  start(events: ConnectionEvents): void {
    this.attach(events)
    this.#read()
  }

  /** Reports the end of the connection to `events`, and nothing else before it is read from. */
  attach(events: ConnectionEvents): void {
    this.#events = events
    this.#watch()
  }

  /** Begins to read an accepted connection: `socket` is the one that was accepted, or TLS on top of it. */
  readFrom(socket: Socket): void {
    const accepted = this.#socket
    this.#socket = socket
    if (socket !== accepted) this.#watch()
    cutOffWhenStalled(socket)
    if (socket instanceof TLSSocket) {
      socket.once('secure', () => {
        this.#exporter = channelBinding(socket)
      })
    }
    this.#read()
    this.#receiveSoon(socket)
  }

  /** Has `socket` receive into its owner's memory as soon as nothing waits that has arrived elsewhere. */
  #receiveSoon(socket: Socket): void {
    const tryNow = (): void => {
      if (socket.destroyed || socket.isPaused() || socket.readableLength > 0) return
      socket.off('data', trySoon)
      receiveInto(socket, receiving(() => this.#events).onread)
    }
    const trySoon = (): void => process.nextTick(tryNow)
    socket.on('data', trySoon)
  }

  /** Reports the end of the socket. That of one which TLS has taken over shows in both. */
  #watch(): void {
    const socket = this.#socket
    let reason: Error | undefined
    socket.on('error', (error) => {
      reason = error
    })
    socket.on('close', () => {
      if (socket === this.#socket) this.#events?.closed(reason)
    })
  }

  #read(): void {
    const socket = this.#socket
    // A listener for data would let it flow.
    if (this.#isPaused) socket.pause()
    socket.on('data', (bytes: Buffer) => this.#events?.data(bytes))
    socket.on('drain', () => this.#events?.drained())
    socket.on('end', () => socket.end())
    if (!this.#isPaused) socket.resume()
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
