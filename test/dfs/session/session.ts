import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { limits } from '../../../src/limits.js'
import { checksumsOf } from '../../../src/wire/checksum.js'
import { frame } from '../../../src/wire/frame.js'
import { failureCodec, messages } from '../../../src/wire/messages.js'
import { encodeEntry, entryKey } from '../../../src/wire/records.js'
import { versionOf } from '../../../src/wire/version.js'
import { beginAccount } from '../../fixtures/bystander.js'
import { hurriedClock, startServer } from '../../fixtures/one-server.js'
import { RawClient } from '../../fixtures/raw-client.js'
import { Seeded } from '../../fixtures/seeded.js'
import { until } from '../../fixtures/servers.js'

const segment = 'ab112233445566778899aabbccddeeff'
const random = new Seeded(17)

/** Stores a piece of 1 MiB and returns it. */
async function putMegabyte(client: RawClient): Promise<Buffer> {
  const bytes = random.bytes(limits.framePayloadBytesMax)
  const place = { segment, piece: 1, pieceLength: bytes.length, offset: 0 }
  await client.call('putPiece', { ...place, checksums: checksumsOf(bytes) }, bytes)
  return bytes
}

t.test('answers every one of many requests that arrive together', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.open(port)
  const requests = Array.from({ length: 1000 }, () => client.bytes('ping', {}))
  const answers = requests.map(([id]) => client.answer('ping', id))
  client.send(...requests.map(([, bytes]) => bytes))
  t.equal((await Promise.all(answers)).length, 1000)
})

t.test('lets one request of many fail without the others', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.open(port)
  const cluster = '00112233445566778899aabbccddeeff'
  const claim = client.bytes('claim', { cluster, position: 1 })
  const read = client.bytes('read', { keys: ['i1'] })
  const wrong = client.bytes('claim', { cluster, position: 4 })
  const held = client.bytes('held', { segments: [segment] })
  const all = Promise.allSettled([
    client.answer('claim', claim[0]),
    client.answer('read', read[0]),
    client.answer('claim', wrong[0]),
    client.answer('held', held[0]),
  ])
  client.send(claim[1], read[1], wrong[1], held[1])
  const [first, second, third, fourth] = await all
  t.equal(first?.status, 'fulfilled')
  t.match(second, { reason: { code: 'blank' } })
  t.match(third, { reason: { code: 'invalid' } })
  t.match(fourth, { value: { reply: { held: [{ pieces: 0, lost: 0, referred: false }] } } })
})

t.test('applies what was sent first, first', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.open(port)
  const claims = [0, 1, 2].map((digit) =>
    client.bytes('claim', { cluster: `${digit}`.repeat(32), position: digit }),
  )
  const answers = Promise.allSettled(claims.map(([id]) => client.answer('claim', id)))
  client.send(...claims.map(([, bytes]) => bytes))
  await answers
  t.match(await client.call('status', {}), { cluster: '2'.repeat(32), position: 2 })
})

t.test('ends one connection at a message that cannot be, and no other', async (t) => {
  const { port, server, notices } = await startServer(t)
  const other = await RawClient.open(port)
  const [, ping] = other.bytes('ping', {})
  const unknown = Buffer.concat(frame(0x7e, 1, failureCodec, { code: 1, message: '' }))
  const trailing = Buffer.concat([
    ...frame(messages.ping.number, 9, messages.ping.request, {}),
    ping,
  ])
  trailing.writeUInt32BE(trailing.length - 4, 0)
  const truncated = Buffer.from('0000000900000000010000ffff', 'hex')
  truncated.writeUInt8(messages.read.number, 4)
  const huge = Buffer.alloc(4)
  huge.writeUInt32BE(limits.frameBytesMax + 1)
  const bad = { unknown, trailing, truncated, huge }
  for (const [name, bytes] of Object.entries(bad)) {
    const client = await RawClient.open(port)
    const [id, before] = client.bytes('ping', {})
    const answer = client.answer('ping', id)
    const told = notices.length
    client.send(before, bytes)
    t.ok(await answer, `${name}: what came before is answered`)
    await client.closed
    t.match(client.failures, [{ code: 'protocol' }], name)
    t.equal(notices.length - told, 1, 'one line in the log')
  }
  for (let seed = 0; seed < 30; seed += 1) {
    const client = await RawClient.open(port)
    client.send(new Seeded(seed).bytes(5000))
    client.socket.end()
    await client.closed
  }
  t.same(await other.call('ping', {}), {})
  await until(() => server.connections === 1)
})

t.test('shows a user nothing of another', async (t) => {
  const { port } = await startServer(t)
  const alice = await RawClient.open(port)
  const bob = await RawClient.open(port, 'bob')
  await putMegabyte(alice)
  t.same(await alice.call('held', { segments: [segment] }), {
    held: [{ pieces: 1, lost: 0, referred: false }],
  })
  t.same(await bob.call('held', { segments: [segment] }), {
    held: [{ pieces: 0, lost: 0, referred: false }],
  })
  const get = { segment, piece: 1, offset: 0, length: 1 }
  await t.rejects(bob.call('getPiece', get), { code: 'noPiece' })
})

t.test('shares an account between the connections of a user', async (t) => {
  const { port } = await startServer(t)
  const [first, second] = [await RawClient.open(port), await RawClient.open(port)]
  await putMegabyte(first)
  t.same(await second.call('held', { segments: [segment] }), {
    held: [{ pieces: 1, lost: 0, referred: false }],
  })
  first.close()
  await first.closed
  t.same(await second.call('held', { segments: [segment] }), {
    held: [{ pieces: 1, lost: 0, referred: false }],
  })
})

t.test('serves others while one client does not read, and serves it when it does', async (t) => {
  const { port } = await startServer(t)
  const slow = await RawClient.open(port)
  const bytes = await putMegabyte(slow)
  const requests = Array.from({ length: 100 }, () =>
    slow.bytes('getPiece', { segment, piece: 1, offset: 0, length: bytes.length }),
  )
  const answers = requests.map(([id]) => slow.answer('getPiece', id))
  slow.socket.pause()
  const before = process.memoryUsage.rss()
  slow.send(...requests.map(([, request]) => request))
  await new Promise((done) => setTimeout(done, 500))
  const grownMiB = (process.memoryUsage.rss() - before) / 2 ** 20
  t.ok(grownMiB < 60, `${Math.round(grownMiB)} MiB for replies that nobody reads`)
  const other = await RawClient.open(port, 'bob')
  t.same(await other.call('ping', {}), {})
  slow.socket.resume()
  for (const answer of answers) t.ok((await answer).payload.equals(bytes))
})

t.test('cuts off a client that never reads its replies', async (t) => {
  const { port, server, notices } = await startServer(t, {
    clock: hurriedClock(100, limits.replyStallMs),
  })
  const stuck = await RawClient.open(port)
  const bytes = await putMegabyte(stuck)
  const get = { segment, piece: 1, offset: 0, length: bytes.length }
  stuck.socket.pause()
  stuck.send(...Array.from({ length: 200 }, () => stuck.bytes('getPiece', get)[1]))
  await until(() => server.connections === 0)
  t.match(notices, [/alice at .* does not read its replies; connection closed/])
})

t.test('bounds what many big replies of small requests may take', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.open(port)
  const segments = Array.from({ length: limits.segmentsPerRequestMax }, () => segment)
  client.socket.pause()
  const requests = Array.from({ length: 512 }, () => client.bytes('held', { segments }))
  const answers = requests.map(([id]) => client.answer('held', id))
  client.send(...requests.map(([, bytes]) => bytes))
  client.socket.resume()
  for (const answer of answers) t.equal((await answer).reply.held.length, segments.length)
})

t.test('answers what is in progress before it stops', async (t) => {
  const { port, server } = await startServer(t)
  const client = await RawClient.open(port)
  const bytes = await putMegabyte(client)
  const answers = Array.from({ length: 8 }, () =>
    client.ask('getPiece', { segment, piece: 1, offset: 0, length: bytes.length }),
  )
  await client.call('ping', {})
  const stopping = server.stop()
  for (const answer of answers) t.equal((await answer).payload.length, bytes.length)
  await stopping
  await client.closed
  await t.rejects(RawClient.connect(port), { code: 'ECONNREFUSED' })
})

t.test('does not wait for ever for a client when it stops', async (t) => {
  const { port, server } = await startServer(t)
  const stuck = await RawClient.open(port)
  const bytes = await putMegabyte(stuck)
  const get = { segment, piece: 1, offset: 0, length: bytes.length }
  stuck.socket.pause()
  stuck.send(...Array.from({ length: 100 }, () => stuck.bytes('getPiece', get)[1]))
  const begin = performance.now()
  await server.stop(200)
  t.ok(performance.now() - begin < limits.stopDrainMs)
})

t.test('gives no user all connections', async (t) => {
  const { port } = await startServer(t)
  const all: RawClient[] = []
  while (all.length < limits.userConnectionsMax) all.push(await RawClient.open(port))
  await t.rejects(RawClient.open(port), { code: 'overloaded' })
  t.ok(await RawClient.open(port, 'bob'))
  const last = all.pop()
  last?.close()
  await last?.closed
  t.ok(await RawClient.open(port))
  for (const client of all) client.close()
})

t.test('shares the room for replies among many connections', async (t) => {
  const { port } = await startServer(t)
  const first = await RawClient.open(port)
  const bytes = await putMegabyte(first)
  const get = { segment, piece: 1, offset: 0, length: bytes.length }
  const deaf: RawClient[] = []
  while (deaf.length < 96) deaf.push(await RawClient.open(port))
  const before = process.memoryUsage.rss()
  for (const client of deaf) {
    client.socket.pause()
    client.send(...Array.from({ length: 64 }, () => client.bytes('getPiece', get)[1]))
  }
  await new Promise((done) => setTimeout(done, 2_000))
  const grownMiB = (process.memoryUsage.rss() - before) / 2 ** 20
  // What one connection may have is 16 MiB: together they would be 1,536 and more.
  t.ok(grownMiB < 600, `${Math.round(grownMiB)} MiB`)
  t.same(await first.call('ping', {}), {})
  for (const client of deaf) client.close()
})

t.test('says why it cuts a client off, also while it still owes replies', async (t) => {
  const { port } = await startServer(t)
  const client = await RawClient.open(port)
  const bytes = await putMegabyte(client)
  const get = { segment, piece: 1, offset: 0, length: bytes.length }
  client.socket.pause()
  const requests = Array.from({ length: 8 }, () => client.bytes('getPiece', get)[1])
  client.send(...requests, Buffer.from([0, 0, 0, 1]))
  await new Promise((done) => setTimeout(done, 300))
  client.socket.resume()
  await client.closed
  t.match(client.failures, [{ code: 'protocol' }])
})

t.test('gets back all memory that it lends, whatever becomes of a connection', async (t) => {
  const { port, server, storage } = await startServer(t, { folder: t.testdir({}) })
  const { memory } = storage
  if (memory === undefined) return t.fail('pieces of a folder have such memory')
  const free = (): number => {
    const taken: Buffer[] = []
    for (let buffer = memory.take(); buffer; buffer = memory.take()) taken.push(buffer)
    for (const buffer of taken) memory.give(buffer)
    return taken.length
  }
  const bytes = random.bytes(limits.framePayloadBytesMax)
  const checksums = checksumsOf(bytes)
  const part = (client: RawClient, piece: number, sums = checksums): Buffer => {
    const fields = { segment, piece, pieceLength: bytes.length, offset: 0, checksums: sums }
    return client.bytes('putPiece', fields, bytes)[1]
  }
  const get = { segment, piece: 1, offset: 0, length: bytes.length }
  const kept = await RawClient.open(port)
  t.same(await putMegabyte(kept), (await kept.ask('getPiece', get)).payload)
  kept.close()
  const deeds: Readonly<Record<string, (client: RawClient) => Promise<void>>> = {
    async 'half of a part'(client) {
      client.send(part(client, 2).subarray(0, 500_000))
      await until(() => free() < limits.pageBuffersMax)
    },
    async 'a part that does not match its checksums'(client) {
      client.send(part(client, 2, [...checksums.slice(1), 0]))
      await client.ask('ping', {})
    },
    async 'more parts than there is memory, and gone'(client) {
      client.send(...Array.from({ length: limits.pageBuffersMax * 2 }, () => part(client, 3)))
      await until(() => client.socket.writableLength === 0)
    },
    async 'parts, and what is no frame'(client) {
      client.send(part(client, 3), part(client, 4), part(client, 5), Buffer.alloc(8))
      await client.closed
    },
    async 'answers that are not taken'(client) {
      client.socket.pause()
      client.send(...Array.from({ length: 40 }, () => client.bytes('getPiece', get)[1]))
      await until(() => free() < limits.pageBuffersMax)
    },
  }
  for (const [name, deed] of Object.entries(deeds)) {
    const client = await RawClient.open(port)
    await deed(client)
    client.close()
    await until(() => server.connections === 0 && free() === limits.pageBuffersMax)
    t.equal(free(), limits.pageBuffersMax, name)
  }
})

t.test('a client learns no path of the server', async (t) => {
  const folder = join(t.testdir({}), 'hidden')
  const { port, notices } = await startServer(t, { folder })
  const client = await RawClient.open(port)
  rmSync(folder, { recursive: true })
  const cluster = '00112233445566778899aabbccddeeff'
  const failed = await client.call('claim', { cluster, position: 1 }).catch((error: Error) => error)
  t.match(failed, { code: 'io', message: 'Input/output error' })
  t.ok(
    notices.some((line) => line.includes(`claim failed: Error: ENOENT`) && line.includes(folder)),
  )
})

/** Makes a folder with as many names as two pages of a listing have. */
async function fillFolder(client: RawClient): Promise<void> {
  await beginAccount(client)
  const value = encodeEntry({ ino: 0, type: 8 })
  for (let from = 0; from < 2048; from += 256) {
    const registers = Array.from({ length: 256 }, (_, index) => ({
      key: entryKey(1, `name ${from + index}`),
      version: versionOf(1_000_000, 0, '0badcafe'),
      value,
    }))
    await client.call('install', { registers })
  }
}

const list = { folder: 1, after: '', entriesMax: 2048, withHeldPieces: false }

t.test('a light request of one user goes past what another one has queued', async (t) => {
  const { port } = await startServer(t)
  const alice = await RawClient.open(port)
  const bob = await RawClient.open(port, 'bob')
  await fillFolder(alice)
  const requests = Array.from({ length: 100 }, () => alice.bytes('list', list))
  let answered = 0
  const answers = requests.map(async ([id]) => {
    await alice.answer('list', id)
    answered += 1
  })
  alice.send(...requests.map(([, bytes]) => bytes))
  await until(() => answered > 0)
  const before = answered
  await bob.call('ping', {})
  t.ok(answered - before < 10, `${answered - before} listings went before`)
  await Promise.all(answers)
})

t.test('a connection that waits for its turn when it is closed is closed at once', async (t) => {
  const { port, server } = await startServer(t)
  const [alice, bob] = [await RawClient.open(port), await RawClient.open(port, 'bob')]
  await fillFolder(alice)
  const requests = Array.from({ length: 100 }, () => alice.bytes('list', list))
  const answers = requests.map(([id]) => alice.answer('list', id))
  alice.send(...requests.map(([, bytes]) => bytes))
  await answers[0]
  const [, ping] = bob.bytes('ping', {})
  bob.send(ping, Buffer.concat(frame(0x7e, 1, failureCodec, { code: 1, message: '' })))
  await bob.closed
  await until(() => server.connections === 1, 3_000)
  await Promise.all(answers)
  t.match(bob.failures, [{ code: 'protocol' }])
})

/** The first half of a frame that announces as many bytes as one may have. */
function half(): Buffer {
  const bytes = Buffer.alloc(limits.frameBytesMax / 2, messages.commit.number)
  bytes.writeUInt32BE(limits.frameBytesMax)
  return bytes
}

t.test('cuts off a client whose message does not come to its end', async (t) => {
  const { port, server, notices } = await startServer(t, {
    clock: hurriedClock(100, limits.frameStallMs),
  })
  const [stuck, slow, other] = [
    await RawClient.open(port),
    await RawClient.open(port),
    await RawClient.open(port),
  ]
  slow.send(half())
  const trickle = setInterval(() => slow.send(Buffer.alloc(limits.frameProgressBytes)), 50)
  t.teardown(() => clearInterval(trickle))
  stuck.send(half())
  await stuck.closed
  t.match(notices, [/alice at .* cut off: a message does not come to its end/])
  t.same(await other.call('ping', {}), {})
  t.equal(server.connections, 2, 'one that gets on goes on')
})

t.test('everything arrives in the end when more arrives than there is memory for', async (t) => {
  const { port } = await startServer(t)
  const bytes = random.bytes(limits.framePayloadBytesMax)
  const count = limits.userFrameBytesMax / bytes.length + 8
  const crowd = await Promise.all(Array.from({ length: count }, () => RawClient.open(port)))
  const answers = crowd.map(async (client, index) => {
    const name = { segment: index.toString(16).padStart(32, 'c'), piece: 1 }
    const place = { ...name, pieceLength: bytes.length, offset: 0 }
    const fields = { ...place, checksums: checksumsOf(bytes) }
    const [id, frame] = client.bytes('putPiece', fields, bytes)
    client.send(frame.subarray(0, frame.length / 2))
    const answer = client.answer('putPiece', id)
    return { rest: () => client.send(frame.subarray(frame.length / 2)), answer }
  })
  const begun = await Promise.all(answers)
  const bob = await RawClient.open(port, 'bob')
  t.same(await bob.call('ping', {}), {}, 'others are served meanwhile')
  for (const { rest } of begun.toReversed()) rest()
  for (const { answer } of begun) t.same((await answer).reply, {})
  for (const client of crowd) client.close()
})

t.test('a user who begins too many pieces is told so, and others store theirs', async (t) => {
  const { port, server } = await startServer(t, { descriptorsMax: 128 })
  const bytes = random.bytes(limits.blockBytes)
  const begin = (client: RawClient, count: number) => {
    const name = { segment: count.toString(16).padStart(32, 'a'), piece: 1 }
    const place = { ...name, pieceLength: 2 * bytes.length, offset: 0 }
    return client.call('putPiece', { ...place, checksums: checksumsOf(bytes) }, bytes)
  }
  const alice = await RawClient.open(port)
  for (let count = 0; count < 8; count += 1) await begin(alice, count)
  const second = await RawClient.open(port)
  await t.rejects(begin(second, 8), { code: 'overloaded', message: /too many pieces at once/ })
  const bob = await RawClient.open(port, 'bob')
  await t.resolves(begin(bob, 0))
  alice.close()
  await until(() => server.connections === 2)
  await t.resolves(begin(second, 9), 'what one leaves is given back')
})
