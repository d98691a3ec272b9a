import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import t, { type Test } from 'tap'
import { ServerKey } from '../src/dfs/disk/server-key.js'
import { type Connection, type ConnectionEvents, tcpNetwork } from '../src/network.js'
import { Seeded } from './fixtures/seeded.js'

const content = new Seeded(4).bytes(3_000_000)

/** Collects what arrives in a buffer of its own, and how often it came elsewhere. */
class Receiver implements ConnectionEvents {
  readonly memory = Buffer.alloc(content.length)
  readonly ended = Promise.withResolvers<void>()
  filled = 0
  strays = 0

  buffer(): Buffer {
    return this.memory.subarray(this.filled)
  }

  data(bytes: Buffer): void {
    const isMine = bytes.buffer === this.memory.buffer
    if (!isMine || bytes.byteOffset !== this.memory.byteOffset + this.filled) {
      this.strays += 1
      bytes.copy(this.memory, this.filled)
    }
    this.filled += bytes.length
    if (this.filled === this.memory.length) this.ended.resolve()
  }

  closed(): void {
    this.ended.resolve()
  }

  drained(): void {}
}

const host = '127.0.0.1'
const timeoutMs = 5000
const key = await ServerKey.open(t.testdir())

/** The three ways to be connected: to a server without a key, and with or without TLS to one that has a key. */
const ways = [
  { name: 'without TLS', serverKey: undefined, tls: false },
  { name: 'without TLS where it is possible', serverKey: async () => key.tls, tls: false },
  { name: 'over TLS', serverKey: async () => key.tls, tls: true },
]

for (const { name, serverKey, tls } of ways) {
  const listen = (accept: (connection: Connection) => ConnectionEvents) =>
    tcpNetwork.listen({ host, port: 0 }, accept, serverKey)

  t.test(`${name} both ends receive into the memory of their owner`, async (t) => {
    const there = new Receiver()
    const here = new Receiver()
    let connection: Connection | undefined
    const listener = await listen((accepted) => {
      connection = accepted
      return there
    })
    const own = await tcpNetwork.connect({ host, port: listener.port, tls }, timeoutMs, here)
    own.send([content.subarray(0, 1_000_000), content.subarray(1_000_000)])
    await there.ended.promise
    t.ok(there.memory.equals(content))
    t.ok(there.strays <= 1, 'but for what came first')
    t.match(connection?.remote, /^(::ffff:)?127\.0\.0\.1:\d+$/)

    connection?.send([content])
    await here.ended.promise
    t.ok(here.memory.equals(content))
    t.ok(here.strays <= 1)
    own.destroy()
    await listener.close()
  })

  t.test(`${name} it says once when what was sent has gone, or never will`, async (t) => {
    const receiver = new Receiver()
    const listener = await listen(() => receiver)
    const address = { host, port: listener.port, tls }
    const closed = Promise.withResolvers<void>()
    const own = await tcpNetwork.connect(address, timeoutMs, {
      data() {},
      drained() {},
      closed: () => closed.resolve(),
    })
    const told: string[] = []
    await new Promise<void>((resolve) => {
      own.send([content], () => {
        told.push('gone')
        resolve()
      })
    })
    await receiver.ended.promise
    // Far more than the kernel takes while nobody reads.
    own.pause(true)
    own.send([Buffer.alloc(50_000_000)], () => told.push('lost'))
    own.destroy()
    await closed.promise
    own.send([content], () => told.push('late'))
    t.same(told.sort(), ['gone', 'late', 'lost'])
    await listener.close()
  })

  t.test(`${name} a paused connection receives nothing, and goes on`, async (t) => {
    const receiver = new Receiver()
    let connection: Connection | undefined
    const listener = await listen((accepted) => {
      connection = accepted
      accepted.pause(true)
      return receiver
    })
    const client = tls
      ? tlsConnect({ host, port: listener.port, rejectUnauthorized: false })
      : connect(listener.port, host)
    client.write(content)
    await once(client, 'connect')
    await new Promise((resolve) => setTimeout(resolve, 50))
    t.equal(receiver.filled, 0)
    connection?.pause(false)
    await receiver.ended.promise
    t.ok(receiver.memory.equals(content))
    client.destroy()
    await listener.close()
  })
}

/** What a server that has a key does with one connection. */
async function accepting(t: Test) {
  const accepted = Promise.withResolvers<Connection>()
  const closed = Promise.withResolvers<Error | undefined>()
  const received: Buffer[] = []
  const listener = await tcpNetwork.listen(
    { host, port: 0 },
    (connection) => {
      accepted.resolve(connection)
      return {
        data: (bytes) => received.push(Buffer.from(bytes)),
        closed: (reason) => closed.resolve(reason),
        drained() {},
      }
    },
    async () => key.tls,
  )
  t.teardown(() => listener.close())
  return {
    port: listener.port,
    accepted: accepted.promise,
    closed: closed.promise,
    bytes: () => Buffer.concat(received),
  }
}

const ignored: ConnectionEvents = { data() {}, closed() {}, drained() {} }

t.test('over TLS both ends know the same bytes, and the client whom it speaks to', async (t) => {
  const exporters: (string | undefined)[] = []
  for (let count = 0; count < 2; count += 1) {
    const server = await accepting(t)
    const target = { host, port: server.port, tls: true }
    const connection = await tcpNetwork.connect(target, timeoutMs, ignored)
    connection.send([Buffer.from('x')])
    const there = await server.accepted
    while (server.bytes().length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    t.equal(connection.serverKey, key.name)
    t.match(key.name, /^sha256:[\w+/]{43}=$/)
    t.equal(connection.exporter?.length, 32)
    t.same(there.exporter, connection.exporter)
    t.ok(there.isLocal)
    exporters.push(connection.exporter?.toString('hex'))
    connection.destroy()
  }
  t.not(exporters[0], exporters[1], 'no two connections are bound alike')
})

t.test('an older version of TLS is refused', async (t) => {
  const server = await accepting(t)
  const options = {
    host,
    port: server.port,
    maxVersion: 'TLSv1.2',
    rejectUnauthorized: false,
  } as const
  const socket = tlsConnect(options)
  await t.rejects(once(socket, 'secureConnect'), {
    code: /TLSV1_ALERT_PROTOCOL_VERSION|ECONNRESET/,
  })
  t.ok((await server.closed) instanceof Error)
  t.equal(server.bytes().length, 0)
})

t.test('what only begins like TLS ends with an error, and hands nothing over', async (t) => {
  const server = await accepting(t)
  const socket = connect(server.port, host)
  socket.on('error', () => undefined)
  socket.write(Buffer.concat([Buffer.from([22, 3, 1, 0, 5]), Buffer.alloc(100, 'x')]))
  t.ok((await server.closed) instanceof Error)
  t.equal(server.bytes().length, 0)
  t.equal((await server.accepted).exporter, undefined)
})

t.test('a peer that never says anything can be given up, or go', async (t) => {
  const server = await accepting(t)
  const socket = connect(server.port, host)
  const there = await server.accepted
  there.destroy()
  await server.closed
  await once(socket, 'close')
  const other = await accepting(t)
  connect(other.port, host).end()
  await other.closed
})

t.test('a client that wants TLS takes nothing else', async (t) => {
  const listener = await tcpNetwork.listen({ host, port: 0 }, (connection) => ({
    ...ignored,
    data: () => connection.destroy(),
  }))
  t.teardown(() => listener.close())
  const connecting = tcpNetwork.connect(
    { host, port: listener.port, tls: true },
    timeoutMs,
    ignored,
  )
  await t.rejects(connecting, { code: 'down', message: /socket disconnected/ })
})
