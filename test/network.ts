import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
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

t.test('both ends receive into the memory of their owner', async (t) => {
  const there = new Receiver()
  const here = new Receiver()
  let connection: Connection | undefined
  const listener = await tcpNetwork.listen({ host: '127.0.0.1', port: 0 }, (accepted) => {
    connection = accepted
    return there
  })
  const own = await tcpNetwork.connect({ host: '127.0.0.1', port: listener.port }, 1000, here)
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

t.test('says once when what was sent has gone, or never will', async (t) => {
  const receiver = new Receiver()
  const listener = await tcpNetwork.listen({ host: '127.0.0.1', port: 0 }, () => receiver)
  const address = { host: '127.0.0.1', port: listener.port }
  const closed = Promise.withResolvers<void>()
  const own = await tcpNetwork.connect(address, 1000, {
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

t.test('a paused connection receives nothing, and goes on', async (t) => {
  const receiver = new Receiver()
  let connection: Connection | undefined
  const listener = await tcpNetwork.listen({ host: '127.0.0.1', port: 0 }, (accepted) => {
    connection = accepted
    accepted.pause(true)
    return receiver
  })
  const client = connect(listener.port, '127.0.0.1')
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
